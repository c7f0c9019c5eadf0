"""Groups of trials by who speaks, in what and for how long: gender and age of both speakers, their languages, duration.

Shapes: P trials, U utterances, T target and N non-target trials, G groupings.
"""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from reseed.stages.audio.manifest import MANIFEST
from reseed.stages.common.speakers import labels_of
from reseed.store.url import AnyPath, Url

Codes = NDArray[np.int8]

_GENDERS = ("female", "male")
AGE_EDGES_Y = (18, 60)  # a child's vocal tract still grows; past 60 voices change again
_AGES = ("both under 18", "both 18 to 59", "both 60 or older", "of different age bands")
_REQUIRED = ("utterance_id", "speaker_id")
_LANGUAGES = ("in one language", "across languages")
_ATTRIBUTES = (*_REQUIRED, "gender", "age", "language", "duration_s")


@dataclass(frozen=True)
class Grouping:
    """One way to group trials: what it goes by, and the names of its groups."""

    name: str
    labels: tuple[str, ...]


class Grouper:
    """Groups trials by what a manifest says of their utterances."""

    def __init__(self, utterances: AnyPath, tested: set[str]) -> None:
        """Read a manifest; the thirds of duration are those of the `tested` utterances.

        Raises:
            ManifestError: it is missing or not Parquet.
        """
        table = _attributes(utterances)
        columns = table.column_names
        self._ids, self._speakers = (table[name].cast(pa.string()) for name in ("utterance_id", "speaker_id"))
        self._codes_U: dict[str, NDArray[np.signedinteger]] = {}
        groupings = []
        if "gender" in columns:
            self._codes_U["gender"] = _genders(table["gender"])
            groupings.append(Grouping("gender", (*(f"both {name}" for name in _GENDERS), "of different gender")))
        if "age" in columns:
            self._codes_U["age"] = banded(_floats(table["age"]), AGE_EDGES_Y)
            groupings.append(Grouping("age", _AGES))
        if "language" in columns and pc.count_distinct(table["language"]).as_py() > 1:
            self._codes_U["language"] = _languages(table["language"])
            groupings.append(Grouping("language", _LANGUAGES))
        if "duration_s" in columns:
            duration_U = _floats(table["duration_s"])
            is_tested_U = pc.is_in(self._ids, value_set=pa.array(sorted(tested), pa.string())).to_numpy()
            edges = thirds(duration_U[is_tested_U])
            if edges:
                self._codes_U["duration"] = banded(duration_U, edges)
                groupings.append(Grouping("duration", _duration_labels(edges)))
        kept = [grouping for grouping in groupings if (self._codes_U[grouping.name] >= 0).any()]
        self.groupings = tuple(kept)

    def codes(
        self, enrolment_P: pa.DictionaryArray, enrolment_speaker_P: pa.DictionaryArray, test_P: pa.DictionaryArray
    ) -> Codes:
        """Return the group of each trial in each grouping, [P, G]; -1 where the manifest does not say.

        An enrolment of several utterances, whose id is none of an utterance, is known by its speaker, whose languages
        may be several.
        """
        by_speaker_P = _rows(enrolment_speaker_P, self._speakers)
        enrolled_P = _rows(enrolment_P, self._ids)
        who_P, tested_P = np.where(enrolled_P < 0, by_speaker_P, enrolled_P), _rows(test_P, self._ids)
        columns = [
            self._group(grouping, enrolled_P if grouping.name == "language" else who_P, tested_P)
            for grouping in self.groupings
        ]
        return np.stack(columns, axis=1) if columns else np.empty((len(test_P), 0), np.int8)

    def _group(self, grouping: Grouping, enrolled_P: NDArray[np.int64], tested_P: NDArray[np.int64]) -> Codes:
        code_U = np.append(self._codes_U[grouping.name], -1)  # row -1: not in the manifest
        if grouping.name == "duration":
            return code_U[tested_P].astype(np.int8)
        first_P, second_P = code_U[enrolled_P], code_U[tested_P]
        different = np.int8(len(grouping.labels) - 1)
        same_P = np.zeros_like(first_P) if grouping.name == "language" else first_P
        paired_P = np.where(first_P == second_P, same_P, different)
        return np.where((first_P < 0) | (second_P < 0), np.int8(-1), paired_P).astype(np.int8)


def _attributes(utterances: AnyPath) -> pa.Table:
    """Return what a manifest says of utterances; a store, no more than who speaks."""
    if isinstance(utterances, Url) or utterances.is_dir():
        return labels_of(utterances)
    with MANIFEST.open(utterances) as file:
        MANIFEST.require(file, _REQUIRED)
        columns = file.schema_arrow.names
        return file.read([name for name in _ATTRIBUTES if name in columns]).combine_chunks()


def _rows(values_P: pa.DictionaryArray, among: pa.ChunkedArray) -> NDArray[np.int64]:
    """Return the first row of `among` that holds each value, [P]; -1 where none does or the value is null."""
    row_of_value = pc.fill_null(pc.index_in(values_P.dictionary, value_set=among, skip_nulls=True), -1).to_numpy()
    code_P = pc.fill_null(values_P.indices, -1).to_numpy()
    rows_P: NDArray[np.int64] = np.append(row_of_value, -1).astype(np.int64)[code_P]
    return rows_P


def _genders(column: pa.ChunkedArray) -> Codes:
    initials = pc.utf8_lower(pc.utf8_slice_codeunits(column.cast(pa.string()), 0, 1))
    known = pa.array([name[0] for name in _GENDERS])
    codes: Codes = pc.fill_null(pc.index_in(initials, value_set=known), -1).to_numpy().astype(np.int8)
    return codes


def _languages(column: pa.ChunkedArray) -> NDArray[np.int32]:
    """Return a number for each language; -1 where it is not known."""
    known = column.cast(pa.string()).combine_chunks().dictionary_encode()
    codes: NDArray[np.int32] = pc.fill_null(known.indices, -1).to_numpy()
    return codes


def _floats(column: pa.ChunkedArray) -> NDArray[np.float64]:
    values: NDArray[np.float64] = pc.fill_null(column.cast(pa.float64()), np.nan).to_numpy()
    return values


def banded(value_U: NDArray[np.float64], edges: tuple[float, ...]) -> Codes:
    """Return which band each value is in, an edge being in the upper one; -1 for NaN."""
    return np.where(np.isnan(value_U), -1, np.searchsorted(edges, value_U, side="right")).astype(np.int8)


def thirds(duration_U: NDArray[np.float64]) -> tuple[float, float] | None:
    """Return what parts durations into thirds; None where they hardly differ."""
    known = duration_U[np.isfinite(duration_U)]
    if not known.size:
        return None
    low, high = (float(edge) for edge in np.round(np.quantile(known, [1 / 3, 2 / 3]), 2))
    return (low, high) if known.min() < low < high else None


def _duration_labels(edges: tuple[float, float]) -> tuple[str, str, str]:
    low, high = (f"{edge:.2f}" for edge in edges)
    return f"under {low} s", f"{low} to {high} s", f"{high} s or longer"
