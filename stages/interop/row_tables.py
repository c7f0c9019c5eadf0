"""The rows of an array that lie in a file of their own: JSON lines, CSV, TSV, Parquet, or a plain list of ids."""

import csv
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from reseed.stages.interop.exchange import BATCH_ROWS, chunked, numbered_lines
from reseed.stages.interop.json_rows import parse_row, to_table
from reseed.store import StoreError
from reseed.store.bounded import check_regular

Row = dict[str, Any]
_FOLDER = "rows"  # the name of a table that is that of all arrays of its folder


def rows_beside(vectors: Path) -> Path:
    """Return the file that says what the rows of an array are: NAME.jsonl, .csv, .tsv, .parquet or .txt, else rows.*.

    Raises:
        StoreError: there is none.
    """
    names = [f"{stem}{suffix}" for stem in (vectors.stem, _FOLDER) for suffix in _KINDS]
    found = next((path for name in names if (path := vectors.with_name(name)).is_file()), None)
    if found is None:
        raise StoreError(
            f"{vectors.with_name(_FOLDER)}.jsonl is missing: one JSON object with an id for each vector; or lay "
            f"{vectors.stem}.csv beside {vectors.name}, or {vectors.stem}.txt with an id on each line"
        )
    return found


def row_tables(path: Path) -> Iterator[pa.Table]:
    """Yield the rows of such a file, some at a time; what CSV holds is text, what it leaves empty is null.

    Raises:
        StoreError: it cannot be read; says where.
    """
    yield from _KINDS[path.suffix](path)


def _tables(rows: Iterator[Row], path: Path) -> Iterator[pa.Table]:
    for chunk in chunked(rows):
        yield to_table(chunk, path)


def _json_lines(path: Path) -> Iterator[Row]:
    for number, line in numbered_lines(path):
        if line.strip():
            yield parse_row(line, f"{path} line {number}")


def _delimited(path: Path, delimiter: str) -> Iterator[Row]:
    lines = csv.DictReader((line for _, line in numbered_lines(path)), delimiter=delimiter)
    try:
        for row in lines:
            if None in row or None in row.values():
                raise StoreError(f"{path} line {lines.line_num} has not as many fields as the heading; mend it")
            yield {name: value or None for name, value in row.items()}
    except csv.Error as error:
        raise StoreError(f"{path} line {lines.line_num} cannot be read ({error}); mend it") from None


def _ids(path: Path) -> Iterator[Row]:
    for _, line in numbered_lines(path):
        if line.strip():
            yield {"utterance_id": line.strip()}


def _parquet(path: Path) -> Iterator[pa.Table]:
    try:
        check_regular(path)
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(BATCH_ROWS):
                yield pa.table(batch)
    except (OSError, pa.ArrowException) as error:
        raise StoreError(f"{path} cannot be read ({error}); give a Parquet file with a row for each vector") from None


_KINDS: dict[str, Callable[[Path], Iterator[pa.Table]]] = {
    ".jsonl": lambda path: _tables(_json_lines(path), path),
    ".csv": lambda path: _tables(_delimited(path, ","), path),
    ".tsv": lambda path: _tables(_delimited(path, "\t"), path),
    ".parquet": _parquet,
    ".txt": lambda path: _tables(_ids(path), path),
}
