"""Catalogue rows as JSON and back. JSON knows no NaN, dates or decimals: null and text stand for them."""

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from reseed.store import StoreError
from reseed.store.bounded import parse_json


def to_json(rows: pa.Table) -> Iterator[str]:
    """Yield each row as one line of JSON, without the line feed."""
    columns = [_finite(column) for column in rows.columns]
    for row in pa.table(columns, names=rows.column_names).to_pylist():
        yield json.dumps(row, ensure_ascii=False, default=str)


def parse_row(text: str | bytes, where: str) -> dict[str, Any]:
    """Return one row.

    Raises:
        StoreError: not a JSON object; `where` says which.
    """
    try:
        row = parse_json(text)
    except ValueError as error:
        raise StoreError(f"{where} is not JSON ({error}); write it again") from None
    if not isinstance(row, dict):
        raise StoreError(f"{where} is not a JSON object but {type(row).__name__}; write one object for each vector")
    return row


def to_table(rows: list[dict[str, Any]], where: Path) -> pa.Table:
    """Return rows as a table; a name that a row lacks is null there.

    Raises:
        StoreError: values under one name that have no common type.
    """
    names = dict.fromkeys(name for row in rows for name in row)
    return pa.table({name: _column(name, (row.get(name) for row in rows), where) for name in names})


def _column(name: str, values: Iterable[Any], where: Path) -> pa.Array:
    values = list(values)
    try:
        try:
            return pa.array(values)
        except OverflowError:  # pyarrow infers int64 alone; the catalogue's seeds use all 64 bits
            return pa.array(values, pa.uint64())
    except (pa.ArrowException, OverflowError) as error:
        raise StoreError(f"{where}: the values of {name!r} have no common type ({error}); make them alike") from None


def _finite(column: pa.ChunkedArray) -> pa.ChunkedArray:
    return pc.if_else(pc.is_finite(column), column, None) if pa.types.is_floating(column.type) else column
