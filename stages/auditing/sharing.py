"""Arrays that all workers of a pass need: written to a file once, read once by each process."""

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray


@contextmanager
def shared(folder: Path | None, **arrays: NDArray[Any]) -> Iterator[Path]:
    """Write arrays where `read` finds them, for as long as they are needed.

    Args:
        folder: one that all workers see; none: the system's folder for temporary files.
    """
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder, prefix=".audit-") as own:
        path = Path(own).resolve() / "shared.npz"
        np.savez(path, **arrays)
        yield path


@lru_cache(maxsize=1)
def read(path: Path) -> Mapping[str, NDArray[Any]]:
    """Return the arrays of a file; its name is never used twice."""
    with np.load(path, allow_pickle=False) as found:
        return {name: found[name] for name in found.files}
