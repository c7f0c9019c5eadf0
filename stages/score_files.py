"""The files that `score` writes and `report` reads: scores.parquet and identification.parquet.

scores.parquet          system, scoring, condition, enrolment_id, test_id, is_target (null: unlabelled),
                        enrolment_speaker_id, test_speaker_id (null: unknown), score
                        metadata `reseed`: {"backbone", "space", "fingerprint", "conditions": {view: recipe}, ...}
identification.parquet  system, condition, test_id, speaker_id, rank (1 = right), speakers (how many were enrolled)
"""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from store import ManifestError, ReseedError, ScoringError

METADATA_KEY = b"reseed"

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
_TRIALS = pa.schema(
    {"enrolment_id": pa.string(), "test_id": pa.string(), "is_target": pa.bool_(), "condition": pa.string()}
)
_SPEAKERS = pa.schema({"utterance_id": pa.string(), "speaker_id": pa.string()})


def scores_schema(described: dict[str, Any]) -> pa.Schema:
    """Return SCORES_SCHEMA with what the scores come from as its metadata."""
    return SCORES_SCHEMA.with_metadata({METADATA_KEY: json.dumps(described).encode()})


def read_scores(path: Path) -> tuple[pa.Table, dict[str, Any]]:
    """Return scores.parquet and what its metadata says it comes from.

    Raises:
        ScoringError: missing, not Parquet, or not written by `reseed score`.
    """
    table = _read(path, SCORES_SCHEMA, ScoringError, "a score file", "score")
    metadata = (pq.read_schema(path).metadata or {}).get(METADATA_KEY)
    if metadata is None:
        raise ScoringError(f"{path} does not say which store it was scored from; write it with `reseed score`")
    described: dict[str, Any] = json.loads(metadata)
    return table, described


def read_identification(path: Path) -> pa.Table:
    """Return identification.parquet.

    Raises:
        ScoringError: missing, not Parquet, or a column missing.
    """
    return _read(path, IDENTIFICATION_SCHEMA, ScoringError, "an identification file", "score")


def read_trials(path: Path) -> pa.Table:
    """Return the trial list: enrolment_id, test_id, is_target, condition.

    Raises:
        ManifestError: missing, not Parquet, or a column missing.
    """
    return _read(path, _TRIALS, ManifestError, "a trial list", "prepare")


def read_speakers(path: Path) -> pa.Table:
    """Return who speaks in which utterance, from utterances.parquet: utterance_id, speaker_id.

    Raises:
        ManifestError: missing, not Parquet, or a column missing.
    """
    return _read(path, _SPEAKERS, ManifestError, "a corpus manifest", "prepare")


def _read(path: Path, schema: pa.Schema, error_class: type[ReseedError], what: str, verb: str) -> pa.Table:
    try:
        return pq.read_table(path, columns=schema.names).select(schema.names).cast(schema).combine_chunks()
    except FileNotFoundError:
        raise error_class(f"{path} does not exist; make it with `reseed {verb}`") from None
    except (OSError, KeyError, pa.ArrowException) as error:
        raise error_class(f"{path} is not {what} ({error}); make it with `reseed {verb}`") from error
