"""Recordings in a column of a Parquet table, read row by row: of a table a few megabytes are held, whatever its size.

Rows are found again only by decoding what lies before them in their row group, so that reading in order is fast.
"""

from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Iterator
from itertools import accumulate
from threading import Lock

import pyarrow as pa
import pyarrow.parquet as pq

from reseed.stages.audio.containers.layout import Stitched
from reseed.store import AudioError

_HELD_BYTES = 4 << 20  # threads that read ahead of one another are a few rows apart
_BUFFER = 1 << 20
_MOST_BYTES = 1 << 30  # of a recording
_MOST_COMPRESSED = 100  # times; no recordings are so


def swollen(file: pq.ParquetFile, group: int, column: str) -> str | None:
    """Return why a column of a group of rows is not to be decompressed; None: it may be."""
    metadata = file.metadata.row_group(group)
    chunks = map(metadata.column, range(metadata.num_columns))
    found = next((chunk for chunk in chunks if chunk.path_in_schema == column), None)
    if found is None:
        return f"cannot be read from its table ({column} is missing)"
    size = found.total_uncompressed_size
    if size <= _MOST_BYTES or size <= _MOST_COMPRESSED * found.total_compressed_size:
        return None
    return f"is among rows of {size >> 20} MiB that take {found.total_compressed_size >> 10} KiB: no recordings are so"


class CellReader:
    """Reads the cells of one table; threads may share it.

    Raises:
        AudioError: it is no Parquet.
    """

    def __init__(self, file: Stitched) -> None:
        self._lock = Lock()
        try:
            self._file = pq.ParquetFile(file, buffer_size=_BUFFER)
        except (OSError, pa.ArrowException) as error:
            raise AudioError(f"cannot be read as Parquet ({error})") from error
        metadata = self._file.metadata
        groups = (metadata.row_group(number).num_rows for number in range(metadata.num_row_groups))
        self._edges = list(accumulate(groups, initial=0))
        self._place: tuple[str, int] | None = None  # column and row group that batches are of
        self._next = 0
        self._batches: Iterator[pa.RecordBatch] = iter(())
        self._held: OrderedDict[tuple[str, int], object] = OrderedDict()  # by column and row
        self._held_bytes = 0

    def read(self, column: str, row: int) -> bytes:
        """Return the bytes in a row of a column.

        Raises:
            AudioError: there is no such row or column, it is empty, or the table is damaged.
        """
        if row >= self._edges[-1]:
            raise AudioError(f"is cut short: its table has {self._edges[-1]} rows")
        with self._lock:
            try:
                value = self._value(column, row)
            except (OSError, pa.ArrowException, ValueError, KeyError, StopIteration) as error:
                raise AudioError(f"cannot be read from its table ({error or type(error).__name__})") from error
        if not isinstance(value, bytes):
            raise AudioError("has no bytes in its row of the table")
        return value

    def _value(self, column: str, row: int) -> object:
        if (column, row) in self._held:
            return self._held[column, row]
        group = bisect_right(self._edges, row) - 1
        if self._place != (column, group) or row < self._next:
            self._start(column, group)
        while True:
            values = next(self._batches).column(0)
            for name in column.split(".")[1:]:
                values = values.field(name)
            number, self._next = self._next, self._next + 1
            value = values[0].as_py()
            self._keep((column, number), value)
            if number == row:
                return value

    def _keep(self, key: tuple[str, int], value: object) -> None:
        self._held[key] = value
        self._held_bytes += _size(value)
        while self._held_bytes > _HELD_BYTES:
            self._held_bytes -= _size(self._held.popitem(last=False)[1])

    def _start(self, column: str, group: int) -> None:
        if fault := swollen(self._file, group, column):
            raise AudioError(fault)
        # One by one: the dictionary of a column may hold a recording once that is in each of a thousand rows.
        self._batches = self._file.iter_batches(1, row_groups=[group], columns=[column])
        self._place, self._next = (column, group), self._edges[group]


def _size(value: object) -> int:
    return len(value) if isinstance(value, bytes) else 0
