"""`sql`: questions to the catalogue, the rejects and the scores of a store, by DuckDB; nothing can be changed."""

import math
from dataclasses import dataclass
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq

from reseed.stages.extraction.lineage import score_files
from reseed.stages.trial_scoring.files import SCORES
from reseed.store import ConfigError, EmbeddingStore
from reseed.store.format import CATALOGUE_SCHEMA, EMBEDDING, REJECTS_NAME
from reseed.store.layouts import catalogue_file

_WIDEST = 60
_MOST_ROWS = 1_000_000


@dataclass(frozen=True)
class Answer:
    """What a query gives: names of columns, and rows; `is_cut` where there are more."""

    columns: list[str]
    rows: list[tuple[object, ...]]
    is_cut: bool = False

    def to_json(self) -> list[dict[str, object]]:
        """Return the rows as JSON."""
        return [dict(zip(self.columns, map(_plain, row), strict=True)) for row in self.rows]

    def summary(self) -> str:
        """Return the rows as text, a column under its name."""
        cells = [[_text(value) for value in row] for row in self.rows]
        widths = [max(map(len, column)) for column in zip(self.columns, *cells, strict=True)]
        lines = [self.columns, ["-" * width for width in widths], *cells]
        text = ["  ".join(map(str.ljust, line, widths)).rstrip() for line in lines]
        return "\n".join([*text, *([f"… more than {len(self.rows):,} rows; add LIMIT"] if self.is_cut else [])])


def sql(*, store: Path, query: str) -> Answer:
    """Ask a question.

    The tables are `catalogue` (one row per vector), `rejects`, and `scores` where the run that the store
    lies in has scored it. Files are read as the query needs them; nothing else can be read, and nothing written.

    Raises:
        StoreError: not a store.
        ConfigError: the query is not one, or asks for what is not there.
    """
    opened = EmbeddingStore(store)
    with duckdb.connect(":memory:") as connection:
        tables = _tables(store, opened)
        for name, table in tables.items():
            connection.register(name, table)
        connection.execute("SET enable_external_access = false")
        connection.execute("SET python_enable_replacements = false")
        connection.execute("SET lock_configuration = true")
        try:
            answered = connection.execute(query)
            columns = [column[0] for column in answered.description or ()]
            rows = answered.fetchmany(_MOST_ROWS + 1)
        except (duckdb.Error, pa.ArrowException) as error:
            known = "; ".join(f"{name} ({', '.join(table.schema.names)})" for name, table in tables.items())
            raise ConfigError(f"{str(error).strip().splitlines()[0]}; there is {known}") from None
    return Answer(columns, rows[:_MOST_ROWS], len(rows) > _MOST_ROWS)


def _tables(store: Path, opened: EmbeddingStore) -> dict[str, pa.Table | ds.Dataset]:
    scores = list(score_files(store, opened.header))
    for path in scores:
        with SCORES.open(path):  # whole as it was written
            pass
    tables = {"catalogue": _catalogue(opened), "rejects": ds.dataset(store / REJECTS_NAME)}
    return {**tables, "scores": ds.dataset(list(map(str, scores)))} if scores else tables


def _catalogue(store: EmbeddingStore) -> pa.Table | ds.Dataset:
    """Return the catalogues of all shards as one table, without vectors."""
    files = [catalogue_file(store.path, shard.name) for shard in store.shards]
    if not files:
        return CATALOGUE_SCHEMA.empty_table()
    schema = pa.unify_schemas([pq.read_schema(file).remove_metadata() for file in files])
    names = [name for name in schema.names if name != EMBEDDING]
    return ds.dataset([str(file) for file in files], schema=pa.schema([schema.field(name) for name in names]))


def _plain(value: object) -> object:
    """JSON knows no NaN and no infinity."""
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _text(value: object) -> str:
    text = "" if value is None else f"{value + 0.0:.6g}" if isinstance(value, float) else str(value)  # no -0
    flat = " ".join(text.split())
    return flat if len(flat) <= _WIDEST else f"{flat[: _WIDEST - 1]}…"
