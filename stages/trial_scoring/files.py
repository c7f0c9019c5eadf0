"""The files of scores: what `score`, `quality` and `calibrate` write, and what `report` and others read.

scores.parquet          system, scoring, condition, enrolment_id, test_id, is_target (null: unlabelled),
                        enrolment_speaker_id, test_speaker_id (null: unknown), score
                        metadata `reseed`: an `Origin` as JSON
identification.parquet  system, condition, test_id, speaker_id, rank (1 = right), speakers (how many were enrolled)
quality.parquet         utterance_id, condition (the view), duration_s, norm, snr_db
"""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from reseed.stages.trial_scoring.origin import Origin
from reseed.store import ScoringError
from reseed.store.bounded import parse_json
from reseed.store.tables import TableFile

METADATA_KEY = b"reseed"

SCORES = TableFile("a score file", "reseed score", ScoringError)
_IDENTIFICATION = TableFile("an identification file", "reseed score", ScoringError)
_QUALITY = TableFile("a file of quality measures", "reseed quality", ScoringError)

_NAME = pa.dictionary(pa.int32(), pa.string())
SCORES_SCHEMA = pa.schema(
    {
        "system": _NAME,
        "scoring": _NAME,
        "condition": _NAME,
        "enrolment_id": _NAME,
        "test_id": _NAME,
        "is_target": pa.bool_(),
        "enrolment_speaker_id": _NAME,
        "test_speaker_id": _NAME,
        "score": pa.float64(),
    }
)
IDENTIFICATION_SCHEMA = pa.schema(
    {
        "system": _NAME,
        "condition": _NAME,
        "test_id": _NAME,
        "speaker_id": _NAME,
        "rank": pa.int32(),
        "speakers": pa.int32(),
    }
)
QUALITY_SCHEMA = pa.schema(
    {
        "utterance_id": _NAME,
        "condition": _NAME,
        "duration_s": pa.float64(),
        "norm": pa.float64(),
        "snr_db": pa.float64(),
    }
)


def rows_of(schema: pa.Schema, names: Sequence[str], columns: Sequence[pa.Array]) -> pa.Table:
    """Return rows of a schema whose first columns hold one name each, and whose others are given."""
    codes = pa.array(np.zeros(len(columns[0]), np.int32))
    constant = [pa.DictionaryArray.from_arrays(codes, pa.array([name], pa.string())) for name in names]
    return pa.table([*constant, *columns], schema=schema)


def scores_schema(origin: Origin) -> pa.Schema:
    """Return SCORES_SCHEMA with what the scores come from as its metadata."""
    return SCORES_SCHEMA.with_metadata({METADATA_KEY: json.dumps(origin.to_json()).encode()})


def read_scores(path: Path) -> tuple[pa.Table, Origin]:
    """Return scores.parquet and what its metadata says it comes from.

    Raises:
        ScoringError: missing, not Parquet, or not written by this `reseed score`.
    """
    return SCORES.read(path, SCORES_SCHEMA), read_origin(path)


def read_origin(path: Path) -> Origin:
    """Return what the metadata of scores.parquet says it comes from.

    Raises:
        ScoringError: missing, not Parquet, or not written by this `reseed score`.
    """
    with SCORES.open(path) as file:
        metadata = (file.schema_arrow.metadata or {}).get(METADATA_KEY)
    try:
        return Origin.parse(parse_json(metadata or b"{}"))
    except (AttributeError, TypeError, ValueError):
        raise ScoringError(f"{path} does not say what it was scored from; write it with `reseed score`") from None


def score_batches(path: Path, rows: int) -> Iterator[pa.Table]:
    """Yield scores.parquet by at most `rows` rows.

    Raises:
        ScoringError: missing, not Parquet, or a column missing.
    """
    with SCORES.open(path) as file:
        for batch in file.iter_batches(rows, columns=SCORES_SCHEMA.names):
            yield pa.table(batch).select(SCORES_SCHEMA.names).cast(SCORES_SCHEMA)


def score_count(path: Path) -> int:
    """Return how many rows scores.parquet has.

    Raises:
        ScoringError: missing, or not Parquet.
    """
    with SCORES.open(path) as file:
        return int(file.metadata.num_rows)


def names_in(path: Path, columns: Sequence[str]) -> set[str]:
    """Return the names in some columns of scores.parquet.

    Raises:
        ScoringError: missing, not Parquet, or a column missing.
    """
    found = set[str]()
    with SCORES.open(path) as file:
        for batch in file.iter_batches(columns=list(columns)):
            found |= {name for column in batch.columns for name in column.cast(pa.string()).unique().to_pylist()}
    return found - {None}


def labels_of(scores: pa.Table) -> NDArray[np.int8]:
    """Return the label of each trial, [P]: 1 target, 0 non-target, -1 unlabelled."""
    label_P: NDArray[np.int8] = pc.fill_null(scores["is_target"].cast(pa.int8()), -1).to_numpy()
    return label_P


def speakers_of(scores: pa.Table, known: pa.StringArray) -> NDArray[np.intp]:
    """Return enrolment and test speaker of each trial as places in `known`, [P, 2]; -1 where unknown."""
    sides = (scores[f"{side}_speaker_id"].cast(pa.string()) for side in ("enrolment", "test"))
    found = [pc.fill_null(pc.index_in(side, value_set=known, skip_nulls=True), -1).to_numpy() for side in sides]
    return np.stack(found, axis=1).astype(np.intp)


def read_identification(path: Path) -> pa.Table:
    """Return identification.parquet.

    Raises:
        ScoringError: missing, not Parquet, or a column missing.
    """
    return _IDENTIFICATION.read(path, IDENTIFICATION_SCHEMA)


def read_quality(path: Path) -> pa.Table:
    """Return quality.parquet.

    Raises:
        ScoringError: missing, not Parquet, or a column missing.
    """
    return _QUALITY.read(path, QUALITY_SCHEMA)
