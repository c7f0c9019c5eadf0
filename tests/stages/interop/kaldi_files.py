"""Archives as Kaldi's own code writes and reads them: kaldi_native_io is that code."""

from pathlib import Path

import numpy as np
import pytest

kaldi = pytest.importorskip("kaldi_native_io")

METHODS = list(kaldi.CompressionMethod.__members__)
_WRITERS = {
    (1, "float32"): kaldi.FloatVectorWriter,
    (1, "float64"): kaldi.DoubleVectorWriter,
    (1, "int32"): kaldi.Int32VectorWriter,
    (2, "float32"): kaldi.FloatMatrixWriter,
    (2, "float64"): kaldi.DoubleMatrixWriter,
}


def save_ark(path: Path, arrays: dict[str, np.ndarray], *, text: bool = False, method: str | None = None) -> Path:
    """Write an archive and, beside it, its index; returns the path of the index."""
    where = f"ark{',t' if text else ''},scp:{path},{path.with_suffix('.scp')}"
    first = next(iter(arrays.values()))
    if method is None:
        with _WRITERS[first.ndim, str(first.dtype)](where) as writer:
            for key, array in arrays.items():
                writer.write(key, array.tolist() if first.dtype == np.int32 else array)
    else:
        with kaldi.CompressedMatrixWriter(where) as writer:
            for key, array in arrays.items():
                writer.write(key, array, kaldi.CompressionMethod.__members__[method])
    return path.with_suffix(".scp")


def load_vectors(source: str) -> dict[str, np.ndarray]:
    """Read what `ark:PATH` or `scp:PATH` names."""
    with kaldi.SequentialFloatVectorReader(source) as reader:
        return {key: np.array(vector) for key, vector in reader}


def load_matrices(source: str) -> dict[str, np.ndarray]:
    """Read what `ark:PATH` or `scp:PATH` names."""
    with kaldi.SequentialFloatMatrixReader(source) as reader:
        return {key: np.array(matrix) for key, matrix in reader}
