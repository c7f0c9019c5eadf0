"""A store as a table of Arrow, pandas or Polars: its catalogue, and the vectors in a column `embedding`.

pandas and Polars are loaded when they are first asked for; reseed itself needs neither.

Shapes: M rows of a shard, D embedding dimension.
"""

import importlib
from collections.abc import Sequence
from types import ModuleType
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from reseed.store.errors import ConfigError, StoreError
from reseed.store.format import EMBEDDING
from reseed.store.layouts import vector_column
from reseed.store.shards import ShardReader

if TYPE_CHECKING:
    import pandas
    import polars


def arrow_table(readers: Sequence[ShardReader], places: slice, columns: Sequence[str] | None) -> pa.Table:
    """Return the catalogue and the vectors of some shards; see `EmbeddingStore.to_arrow`.

    Args:
        places: which rows of each shard.
    """
    tables = [_of_shard(reader, places, columns) for reader in readers]
    return pa.concat_tables(tables, promote_options="default")


def _of_shard(reader: ShardReader, places: slice, columns: Sequence[str] | None) -> pa.Table:
    wanted = reader.columns if columns is None else [name for name in columns if name != EMBEDDING]
    if unknown := [name for name in wanted if name not in reader.columns]:
        raise StoreError(f"{reader.store}: no column {unknown[0]!r}; there are {', '.join(reader.columns)}")
    vectors_MD = reader.vectors()[places]
    table = reader.rows(wanted)
    if len(vectors_MD) < len(table):
        table = table.take(pa.array(np.arange(len(table))[places]))
    column = vector_column(vectors_MD)
    if not wanted:  # Arrow gives a table without columns no rows
        return pa.table([column], pa.schema([pa.field(EMBEDDING, column.type, nullable=False)]))
    return table.append_column(pa.field(EMBEDDING, column.type, nullable=False), column)


def pandas_frame(table: pa.Table) -> "pandas.DataFrame":
    """Return a table as a pandas DataFrame."""
    _needed("pandas")
    return table.to_pandas()


def polars_frame(table: pa.Table) -> "polars.DataFrame":
    """Return a table as a Polars DataFrame; its vectors stay where they are."""
    frame: polars.DataFrame = _needed("polars").from_arrow(table, rechunk=False)
    return frame


def _needed(package: str) -> ModuleType:
    try:
        return importlib.import_module(package)
    except ImportError as error:
        raise ConfigError(f"{package} is not installed ({error}); run `uv pip install {package}`") from error
