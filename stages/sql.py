"""`sql`: questions to the catalogue, the rejects and the scores of a store, by DuckDB; nothing can be changed."""

import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import chain, islice
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
from rich.cells import cell_len, set_cell_size

from reseed.stages.common.terminal import as_json, printable
from reseed.stages.extraction.lineage import score_files
from reseed.stages.trial_scoring.files import SCORES
from reseed.store import ConfigError, EmbeddingStore
from reseed.store.format import CATALOGUE_SCHEMA, EMBEDDING, REJECTS_SCHEMA
from reseed.store.url import AnyPath

_WIDEST = 60  # cells of a terminal
_MEASURED = 1000  # rows that the widths of columns are taken from
_AT_ONCE = 10_000  # rows
_READS = {duckdb.StatementType.SELECT, duckdb.StatementType.EXPLAIN, duckdb.StatementType.MULTI}  # the last: PIVOT


@dataclass(frozen=True)
class Answer:
    """What a query gives: names of columns, and rows as they are worked out, which can be gone through once."""

    columns: list[str]
    rows: Iterator[tuple[object, ...]]

    def json(self) -> Iterator[str]:
        """Yield the lines of a JSON list, one object per row.

        Raises:
            ConfigError: two columns have one name.
        """
        twice = next((name for name, count in Counter(self.columns).items() if count > 1), None)
        if twice is not None:
            raise ConfigError(f"two columns are called {twice!r}, and JSON knows one; name them with AS")
        before = "["
        for row in self.rows:
            yield before + as_json(dict(zip(self.columns, map(_plain, row), strict=True)))
            before = ","
        yield "[]" if before == "[" else "]"

    def table(self) -> Iterator[str]:
        """Yield the lines of a table, a column under its name."""
        cells = ([*map(_text, row)] for row in self.rows)
        columns, first = [*map(_text, self.columns)], [*islice(cells, _MEASURED)]
        widths = [max(map(cell_len, column)) for column in zip(columns, *first, strict=True)]
        for line in chain([columns, ["-" * width for width in widths]], first, cells):
            padded = (text + " " * (width - cell_len(text)) for text, width in zip(line, widths, strict=True))
            yield "  ".join(padded).rstrip()


def sql(*, store: AnyPath, query: str) -> Answer:
    """Ask a question.

    The tables are `catalogue` (one row per vector), `rejects`, and `scores` where the run that the store
    lies in has scored it. Files are read as the query needs them; nothing else can be read, and nothing written.

    Raises:
        StoreError: not a store.
        ConfigError: the query is not one, or asks for what is not there.
    """
    tables = _tables(store, EmbeddingStore(store))
    known = "; ".join(f"{name} ({', '.join(table.schema.names)})" for name, table in tables.items())
    answered = _answered(query, tables, f"there is {known}")
    return Answer(next(answered), answered)


def _answered(query: str, tables: Mapping[str, pa.Table | ds.Dataset], known: str) -> Iterator[Any]:
    """Yield the names of the columns, then the rows."""
    try:
        with duckdb.connect(config={"temp_directory": ""}) as connection:  # no file, however large the answer is
            for name, table in tables.items():
                connection.register(name, table)
            for name in ("enable_external_access", "python_enable_replacements"):
                connection.execute(f"SET {name} = false")
            connection.execute("SET lock_configuration = true")
            query.encode()  # what came of bytes that are no UTF-8 is no text to DuckDB
            statements = connection.extract_statements(query)
            if len(statements) != 1:
                raise ConfigError(f"give one query, not {len(statements) or 'none'}; {known}")
            if statements[0].type not in _READS:
                raise ConfigError(f"{statements[0].type.name} is not a query: only SELECT and what it reads; {known}")
            _interruptible(connection, connection.execute, statements[0])
            yield [column[0] for column in connection.description or ()]
            while rows := _interruptible(connection, connection.fetchmany, _AT_ONCE):
                yield from rows
    except (duckdb.Error, pa.ArrowException, UnicodeError) as error:
        said = " ".join(str(error).partition("\n\nLINE ")[0].split())
        raise ConfigError(f"{said}; {known}") from None


def _interruptible(connection: duckdb.DuckDBPyConnection, work: Callable[..., Any], *arguments: Any) -> Any:
    """Call what takes DuckDB long in a thread of its own: the main one alone hears of signals, and DuckDB does not."""
    with ThreadPoolExecutor(1) as worker:
        future = worker.submit(work, *arguments)
        try:
            return future.result()
        except KeyboardInterrupt:
            connection.interrupt()
            raise


def _tables(store: AnyPath, opened: EmbeddingStore) -> dict[str, pa.Table | ds.Dataset]:
    scores = list(score_files(store, opened.header))
    for path in scores:
        with SCORES.open(path):  # whole as it was written
            pass
    rejects = pa.Table.from_pylist([vars(reject) for reject in opened.rejects()], REJECTS_SCHEMA)
    tables = {"catalogue": _catalogue(opened), "rejects": rejects}
    return {**tables, "scores": ds.dataset(list(map(str, scores)))} if scores else tables


def _catalogue(store: EmbeddingStore) -> pa.Table | ds.Dataset:
    """Return the catalogues of all shards as one table, without vectors."""
    files = [store.shard(position).catalogue() for position in range(len(store.shards))]
    if not files:
        return CATALOGUE_SCHEMA.empty_table()
    schema = pa.unify_schemas([pq.read_schema(file).remove_metadata() for file in files])
    names = [name for name in schema.names if name != EMBEDDING]
    return ds.dataset([str(file) for file in files], schema=pa.schema([schema.field(name) for name in names]))


def _plain(value: object) -> object:
    """JSON knows no NaN and no infinity, and its keys are text."""
    match value:
        case float():
            return value if math.isfinite(value) else None
        case list() | tuple():
            return [*map(_plain, value)]
        case dict():
            return {str(key): _plain(item) for key, item in value.items()}
        case None | bool() | int() | str():
            return value
    return str(value)


def _text(value: object) -> str:
    text = "" if value is None else f"{value + 0.0:.6g}" if isinstance(value, float) else str(value)  # no -0
    flat = printable(text[: _WIDEST + 1])
    return flat if cell_len(flat) <= _WIDEST else set_cell_size(flat, _WIDEST - 1) + "…"
