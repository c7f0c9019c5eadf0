"""NumPy: vectors.npy, one array [rows, D], and rows.jsonl, one JSON object for each of its rows.

Read is also an array of another name, with a table or a list of ids of that name beside it (see `row_tables`).

Shapes: D embedding dimension.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from reseed.stages.interop.exchange import Batch, ExportHeader
from reseed.stages.interop.json_rows import to_json
from reseed.stages.interop.output import EXPORT_HEADER, export_directory, read_export_header
from reseed.stages.interop.row_tables import row_tables, rows_beside
from reseed.store import StoreError, atomic
from reseed.store.bounded import check_regular

_VECTORS, _ROWS, _SUFFIX = "vectors.npy", "rows.jsonl", ".npy"


def write(output: Path, header: ExportHeader, batches: Iterator[Batch]) -> None:
    """Write OUTPUT/vectors.npy in the store's own dtype, OUTPUT/rows.jsonl and OUTPUT/export.json."""
    with (
        export_directory(output, header, f"{_VECTORS}|{_ROWS}") as directory,
        atomic.atomic_path(directory / _VECTORS) as vectors_path,
        atomic.atomic_path(directory / _ROWS) as rows_path,
        vectors_path.open("wb") as vectors_file,
        rows_path.open("w", encoding="utf-8", newline="\n") as rows_file,
    ):
        _write_header(vectors_file, header)
        for batch in batches:
            # Plain writes, not a memory map: on a full disk a map kills the process instead of raising.
            vectors_file.write(np.ascontiguousarray(batch.vectors, header.dtype).data)
            rows_file.writelines(f"{line}\n" for line in to_json(batch.rows))


class NpyReader:
    """A directory with vectors.npy, or any NAME.npy; the rows lie beside it: see `row_tables.rows_beside`.

    A row has one vector, so `embedding` chooses nothing, unless it is the name of an array in the directory.

    Raises:
        StoreError: a file missing, or no array [rows, D] of numbers.
    """

    def __init__(self, source: Path, embedding: str = "") -> None:
        name = embedding if embedding.endswith(_SUFFIX) else _VECTORS
        self._vectors_path = source / name if source.is_dir() else source
        directory = self._vectors_path.parent
        self.header = read_export_header(directory)
        self._vectors = _opened(self._vectors_path)
        self._rows_path = rows_beside(self._vectors_path)
        self.files = [self._vectors_path, self._rows_path]
        self.files += [directory / EXPORT_HEADER] if self.header else []

    def rows(self) -> Iterator[pa.Table]:
        """Yield the rows of the table; raises StoreError unless there is one for each vector."""
        read = 0
        for table in row_tables(self._rows_path):
            read += table.num_rows
            yield table
        if read != len(self._vectors):
            raise StoreError(
                f"{self._rows_path} has {read} rows, {self._vectors_path} {len(self._vectors)} vectors; "
                "write one row for each vector"
            )

    def batches(self) -> Iterator[Batch]:
        """Yield rows with their vectors."""
        start = 0
        for table in row_tables(self._rows_path):
            yield Batch(table, np.array(self._vectors[start : start + table.num_rows]))
            start += table.num_rows


def _write_header(file: BinaryIO, header: ExportHeader) -> None:
    descr = np.lib.format.dtype_to_descr(np.dtype(header.dtype))
    shape = (header.rows, header.dim)
    np.lib.format.write_array_header_1_0(file, {"descr": descr, "fortran_order": False, "shape": shape})


def _opened(path: Path) -> NDArray[Any]:
    try:
        check_regular(path)
        array: NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
    except Exception as error:  # a damaged header fails in as many ways as Python's own parser does
        raise StoreError(f"{path} cannot be read ({error}); give an .npy file of numbers") from None
    if not isinstance(array, np.ndarray):
        raise StoreError(f"{path} is an archive of arrays; give an .npy file of numbers")
    if array.ndim != 2 or array.dtype.kind not in "fiu":
        raise StoreError(f"{path} holds {array.dtype} {list(array.shape)}, not numbers [rows, dimensions]")
    return array
