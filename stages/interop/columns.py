"""From the columns of any source to those of the catalogue."""

from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from reseed.store import StoreError
from reseed.store.format import CATALOGUE_SCHEMA

_RESERVED = "embedding"
_DEFAULTS: dict[str, str | int] = {"view": "clean", "crop": 0}


@dataclass(frozen=True)
class Columns:
    """Which column of a source holds what.

    Attributes:
        utterance_id: the ids; there must be such a column.
        speaker_id, view, crop: None: the column of that name, where there is one. A row without a view is "clean", one
            without a crop is crop 0, one without a speaker has none.
    """

    utterance_id: str = "utterance_id"
    speaker_id: str | None = None
    view: str | None = None
    crop: str | None = None

    def catalogue(self, rows: pa.Table, where: Path) -> pa.Table:
        """Return the rows under the catalogue's names and types; further columns are kept as they are.

        Raises:
            StoreError: a column that is missing, whose values do not fit, or whose name is taken.
        """
        taken = {
            target: name or target
            for target, name in vars(self).items()
            if _is_there(name or target, target, name is not None, rows, where)
        }
        kept = [name for name in rows.column_names if name not in taken.values()]
        for name in kept:
            if name == _RESERVED or name in vars(self):
                raise StoreError(f"{where}: column {name!r} cannot be kept beside the one imported as it; rename it")
        columns = {target: rows[name] for target, name in taken.items()} | {name: rows[name] for name in kept}
        typed = {name: _typed(name, column, where) for name, column in columns.items()}
        for name, default in _DEFAULTS.items():
            typed[name] = pc.fill_null(typed[name], default) if name in typed else _constant(name, default, len(rows))
        return pa.table(typed)


def _is_there(name: str, target: str, is_required: bool, rows: pa.Table, where: Path) -> bool:
    if is_required and name not in rows.column_names:
        there = ", ".join(rows.column_names)
        raise StoreError(f"{where} has no column {name!r} for the {target}; name the right one of {there}")
    return name in rows.column_names


def conform(rows: pa.Table, schema: pa.Schema) -> pa.Table:
    """Return rows with the columns and types of `schema`; a column that they lack is null."""
    return pa.concat_tables([schema.empty_table(), rows], promote_options="permissive").select(schema.names)


def _constant(name: str, value: str | int, rows: int) -> pa.ChunkedArray:
    return pa.chunked_array([pa.repeat(pa.scalar(value, CATALOGUE_SCHEMA.field(name).type), rows)])


def _typed(name: str, column: pa.ChunkedArray, where: Path) -> pa.ChunkedArray:
    kind = CATALOGUE_SCHEMA.field(name).type if name in CATALOGUE_SCHEMA.names else column.type
    if pa.types.is_dictionary(kind):  # the dictionaries of two shards would differ, and so would their schemas
        kind = kind.value_type
    try:
        return column.cast(kind)
    except (pa.ArrowException, TypeError) as error:
        raise StoreError(f"{where}: column {name!r} holds {column.type} where {kind} is wanted ({error})") from None
