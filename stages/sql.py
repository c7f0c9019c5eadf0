"""`sql`: questions to the catalogue, the rejects and the scores of a store, by DuckDB; nothing can be changed."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import pyarrow.dataset as ds

from stages.lineage import graph
from store import ConfigError, EmbeddingStore
from store.format import EMBEDDING, REJECTS_NAME
from store.layouts import catalogue_file

TABLES = ("catalogue", "rejects", "scores")
_WIDEST = 60


@dataclass(frozen=True)
class Answer:
    """What a query gives: names of columns, and rows."""

    columns: list[str]
    rows: list[tuple[Any, ...]]

    def facts(self) -> str:
        """Return the rows as JSON."""
        rows = [dict(zip(self.columns, row, strict=True)) for row in self.rows]
        return json.dumps(rows, indent=1, default=str, ensure_ascii=False)

    def table(self) -> str:
        """Return them as text, a column under its name."""
        cells = [[_text(value) for value in row] for row in self.rows]
        widths = [max(map(len, column)) for column in zip(self.columns, *cells, strict=True)]
        lines = [self.columns, ["-" * width for width in widths], *cells]
        return "\n".join("  ".join(map(str.ljust, line, widths)).rstrip() for line in lines)


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
        tables = {
            "catalogue": _catalogue(opened),
            "rejects": ds.dataset(store / REJECTS_NAME),
        }
        scores = [made.path for _, made in graph(store, opened.header)[1] if made.kind == "scores"]
        if scores:
            tables["scores"] = ds.dataset(scores)
        for name, table in tables.items():
            connection.register(name, table)
        connection.execute("SET enable_external_access = false")
        connection.execute("SET python_enable_replacements = false")
        connection.execute("SET lock_configuration = true")
        try:
            answered = connection.execute(query)
            columns = [column[0] for column in answered.description or ()]
            return Answer(columns, answered.fetchall())
        except duckdb.Error as error:
            known = "; ".join(f"{name} ({', '.join(table.schema.names)})" for name, table in tables.items())
            raise ConfigError(f"{str(error).strip().splitlines()[0]}; there is {known}") from None


def _catalogue(store: EmbeddingStore) -> ds.Dataset:
    """Return the catalogues of all shards as one table, without vectors."""
    files = [str(catalogue_file(store.path, shard.name)) for shard in store.shards]
    dataset = ds.dataset(files)
    if EMBEDDING not in dataset.schema.names:
        return dataset
    return dataset.replace_schema(dataset.schema.remove(dataset.schema.get_field_index(EMBEDDING)))


def _text(value: Any) -> str:
    text = "" if value is None else f"{value + 0.0:.6g}" if isinstance(value, float) else str(value)  # no -0
    flat = " ".join(text.split())
    return flat if len(flat) <= _WIDEST else f"{flat[: _WIDEST - 1]}…"
