"""Parquet: one file with the catalogue's columns and the vectors in a FixedSizeList column, `embedding`.

DuckDB, Polars, pandas and Hugging Face datasets read it as it is. Read is also what `Dataset.save_to_disk` of Hugging
Face writes: a folder of Arrow streams, *.arrow.

Shapes: D embedding dimension, N rows of a batch.
"""

from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from reseed.stages.interop.exchange import BATCH_ROWS, Batch, Dimension, ExportHeader, Vectors, parse_header, rechunked
from reseed.store import StoreError
from reseed.store.bounded import check_regular
from reseed.store.outputs import check_file
from reseed.store.sealed import DamagedError, check_table, table_writer

EMBEDDING = "embedding"
ARROW = ".arrow"
_HEADER_KEY = b"reseed_export"


def write(output: Path, header: ExportHeader, batches: Iterator[Batch]) -> None:
    """Write one Parquet file; the header lies in its schema metadata as JSON.

    Vectors are float32 whatever the store holds: many readers stumble over half floats. They are neither compressed nor
    encoded by a dictionary, since neither makes them smaller.
    """
    check_file(output, "a Parquet file exported by reseed", _is_export, StoreError)
    tables = (_with_vectors(batch, header.dim) for batch in rechunked(batches, BATCH_ROWS))
    first = next(tables)
    schema = first.schema.with_metadata({_HEADER_KEY: header.model_dump_json()})
    with table_writer(output, schema, **_encoding(schema)) as writer:
        for table in chain([first], tables):
            writer.write_table(table)


class ParquetReader:
    """A Parquet file or an Arrow stream (.arrow), or a directory of either in the order of their names.

    The vectors are a column of lists, of fixed or variable length, of any numbers.

    Raises:
        StoreError: no such file, no such column, or files exported from different stores.
    """

    def __init__(self, source: Path, embedding: str = EMBEDDING) -> None:
        self._source, self._embedding = source, embedding
        self.files = (
            (sorted(source.glob("*.parquet")) or sorted(source.glob(f"*{ARROW}"))) if source.is_dir() else [source]
        )
        if not self.files:
            raise StoreError(f"{source} holds no .parquet file and no {ARROW} file")
        schemas = [_schema(path) for path in self.files]
        for path, schema in zip(self.files, schemas, strict=True):
            _check_column(path, schema, embedding)
        carried = {(schema.metadata or {}).get(_HEADER_KEY) for schema in schemas}
        if len(carried) > 1:
            raise StoreError(f"{source} holds exports of different stores; import them apart")
        text = carried.pop()
        self.header = None if text is None else parse_header(text, source)

    def rows(self) -> Iterator[pa.Table]:
        """Yield every column but the vectors."""
        for path in self.files:
            columns = [name for name in _schema(path).names if name != self._embedding]
            yield from _batches(path, columns)

    def batches(self) -> Iterator[Batch]:
        """Yield rows with their vectors; a missing vector, or a missing number in one, is NaN."""
        dimension = Dimension(self._source)
        for path in self.files:
            start = 0
            for table in _batches(path, None):
                vectors = _vectors(table[self._embedding].combine_chunks(), dimension, path.name, start)
                yield Batch(table.drop_columns(self._embedding), vectors)
                start += table.num_rows


def _with_vectors(batch: Batch, dim: int) -> pa.Table:
    kind = pa.list_(pa.field("element", pa.float32(), nullable=False), dim)
    numbers = pa.array(np.ascontiguousarray(batch.vectors, np.float32).reshape(-1))
    column = pa.FixedSizeListArray.from_arrays(numbers, type=kind)
    return batch.rows.append_column(pa.field(EMBEDDING, kind, nullable=False), column)


def _encoding(schema: pa.Schema) -> dict[str, Any]:
    """Dictionaries and statistics for plain columns alone; a nested one goes by the path of its leaf."""
    plain = [field.name for field in schema if not pa.types.is_nested(field.type)]
    compression = {field.name: "zstd" for field in schema} | {f"{EMBEDDING}.list.element": "none"}
    return {"use_dictionary": plain, "write_statistics": plain, "compression": compression}


def _is_export(path: Path) -> bool:
    return _HEADER_KEY in (pq.read_schema(path).metadata or {})


def _schema(path: Path) -> pa.Schema:
    try:
        if path.suffix == ARROW:
            check_regular(path)
            with pa.ipc.open_stream(path) as stream:
                return stream.schema
        check_table(path)
        return pq.read_schema(path)
    except DamagedError as error:
        raise StoreError(f"{path} is damaged: {error}; export the store again") from None
    except (OSError, pa.ArrowException) as error:
        raise StoreError(f"{path} cannot be read ({error}); give a Parquet file, or a stream of Arrow") from None


def _check_column(path: Path, schema: pa.Schema, name: str) -> None:
    if name not in schema.names:
        raise StoreError(f"{path} has no column {name!r}; it has {', '.join(schema.names)}: name the one of vectors")
    kind = schema.field(name).type
    is_list = pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)
    if not is_list or not (pa.types.is_floating(kind.value_type) or pa.types.is_integer(kind.value_type)):
        raise StoreError(f"{path}: column {name!r} holds {kind}, not lists of numbers")


def _batches(path: Path, columns: list[str] | None) -> Iterator[pa.Table]:
    try:
        if path.suffix == ARROW:
            with pa.memory_map(str(path)) as file, pa.ipc.open_stream(file) as stream:
                for batch in stream:
                    table = pa.table(batch) if columns is None else pa.table(batch).select(columns)
                    yield from (table.slice(start, BATCH_ROWS) for start in range(0, len(table), BATCH_ROWS))
            return
        with pq.ParquetFile(path, page_checksum_verification=True, buffer_size=1 << 20, pre_buffer=False) as file:
            for batch in file.iter_batches(BATCH_ROWS, columns=columns):
                yield pa.table(batch)
    except (OSError, pa.ArrowException) as error:
        raise StoreError(f"{path} cannot be read ({error}); the file is damaged") from None


def _vectors(column: pa.Array, dimension: Dimension, name: str, start: int) -> Vectors:
    """Return a column of lists as [N, D]; `start` numbers its first row for those who read an error."""
    lengths = pc.list_value_length(column)
    for dim in pc.unique(lengths.drop_null()).to_pylist():
        dimension.check(dim, f"{name} row {start + pc.index(lengths, dim).as_py()}")
    vectors = np.full((len(column), dimension.dim), np.nan, np.float32)
    present = pc.is_valid(column).to_numpy(zero_copy_only=False)
    vectors[present] = pc.list_flatten(column).to_numpy(zero_copy_only=False).reshape(-1, dimension.dim)
    return vectors
