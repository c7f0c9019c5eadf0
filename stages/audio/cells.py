"""Recordings in a column of a Parquet table, read row by row: of a table a few megabytes are held, whatever its size.

Rows are found again only by decoding what lies before them in their row group, so that reading in order is fast.
"""

from bisect import bisect_right
from collections import deque
from collections.abc import Iterator
from itertools import accumulate
from threading import Lock

import pyarrow as pa
import pyarrow.parquet as pq

from reseed.stages.audio.containers.layout import Stitched
from reseed.store import AudioError

_BATCH_BYTES = 2 << 20
_BATCHES = 2  # that are kept: threads that read ahead of one another are a few rows apart
_BUFFER = 1 << 20


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
        self._held: deque[tuple[str, int, pa.Array]] = deque(maxlen=_BATCHES)  # column, first row, values

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
        for name, first, values in self._held:
            if name == column and first <= row < first + len(values):
                return values[row - first].as_py()
        group = bisect_right(self._edges, row) - 1
        if self._place != (column, group) or row < self._next:
            self._start(column, group)
        while True:
            batch = next(self._batches)
            values = batch.column(0)
            for name in column.split(".")[1:]:
                values = values.field(name)
            first, self._next = self._next, self._next + len(values)
            self._held.append((column, first, values))
            if row < self._next:
                return values[row - first].as_py()

    def _start(self, column: str, group: int) -> None:
        metadata = self._file.metadata.row_group(group)
        sizes = {metadata.column(index).path_in_schema: metadata.column(index) for index in range(metadata.num_columns)}
        each = sizes[column].total_uncompressed_size / max(1, metadata.num_rows)
        rows = max(1, min(metadata.num_rows, int(_BATCH_BYTES / max(1.0, each))))
        self._batches = self._file.iter_batches(rows, row_groups=[group], columns=[column])
        self._place, self._next = (column, group), self._edges[group]
