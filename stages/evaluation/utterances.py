"""What a table says of the utterances of a trial list: who speaks, in which session, and by what trials are grouped.

Shapes: N names of a trial list.
"""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv

from reseed.stages.common.prose import first_few
from reseed.stages.evaluation.trials import Codes, numbers_of
from reseed.store import ScoringError
from reseed.store.tables import TableFile

_PARQUET = TableFile("a table of utterances", "reseed prepare", ScoringError)
_ID, SPEAKER, SESSION = "utterance_id", "speaker_id", "session_id"
_TEXTS = (_ID, SPEAKER, SESSION)


@dataclass(frozen=True)
class Described:
    """The rows of a table that describe the names of a trial list, in their order; null where it has none."""

    path: Path
    names: list[str]
    table_N: pa.Table

    @property
    def columns(self) -> list[str]:
        """What there is to group by."""
        return [name for name in self.table_N.column_names if name not in _TEXTS]

    def column(self, name: str) -> pa.ChunkedArray:
        """Return a column.

        Raises:
            ScoringError: there is none; names those that there are.
        """
        if name not in self.columns:
            known = ", ".join(self.columns) or "none to group by"
            raise ScoringError(f"{self.path} has no column {name!r}; its columns are {known}")
        return self.table_N[name]

    def codes(self, name: str) -> Codes | None:
        """Return numbers from 0 for the values of SPEAKER or SESSION; None: there is no such column.

        Raises:
            ScoringError: of some names it says nothing.
        """
        if name not in self.table_N.column_names:
            return None
        values = self.table_N[name].combine_chunks()
        unknown = [self.names[row] for row in np.flatnonzero(pc.is_null(values).to_numpy(zero_copy_only=False))]
        if unknown:
            raise ScoringError(f"{self.path} has no {name} of {first_few(unknown)}; add it, or leave out the column")
        codes_N: Codes = np.unique(values.to_numpy(zero_copy_only=False), return_inverse=True)[1].astype(np.int64)
        return codes_N


def describe(path: Path, names: list[str]) -> Described:
    """Read a table with a heading, CSV, TSV or Parquet, such as a manifest, and find the names in it.

    Names meet as in `reseed trials`: with or without the suffix of a file, with or without leading folders.

    Raises:
        ScoringError: it cannot be read, has no column utterance_id, lists an utterance twice, or describes no name.
    """
    table = _read(path)
    if _ID not in table.column_names:
        raise ScoringError(f"{path} has no column {_ID}; its columns are {', '.join(table.column_names)}")
    ids = table[_ID].to_pylist()
    twice, count = Counter(ids).most_common(1)[0] if ids else ("", 0)
    if count > 1:
        raise ScoringError(f"{path} lists {twice} twice; keep one row of each utterance")
    row_N = numbers_of(names, ids)
    if (row_N < 0).all():
        raise ScoringError(f"{path} describes none of the trials' ids, such as {first_few(names)}; compare its ids")
    return Described(path, names, table.take(pa.array(row_N, mask=row_N < 0)))


def _read(path: Path) -> pa.Table:
    if path.suffix == ".parquet":
        with _PARQUET.open(path) as file:
            return _as_text(file.read())
    try:
        with path.open() as file:
            delimiter = "\t" if "\t" in file.readline() else ","
        types = csv.ConvertOptions(column_types=dict.fromkeys(_TEXTS, pa.string()), strings_can_be_null=True)
        return csv.read_csv(path, parse_options=csv.ParseOptions(delimiter=delimiter), convert_options=types)
    except (OSError, UnicodeDecodeError, pa.ArrowException) as error:
        raise ScoringError(f"{path} is no table with a heading ({error}); give .csv, .tsv or .parquet") from error


def _as_text(table: pa.Table) -> pa.Table:
    for name in set(_TEXTS) & set(table.column_names):
        place = table.column_names.index(name)
        table = table.set_column(place, name, table[name].cast(pa.string()))
    return table
