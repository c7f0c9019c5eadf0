"""The files that `score` writes and `report` reads: scores.parquet and identification.parquet.

scores.parquet          system, scoring, condition, enrolment_id, test_id, is_target (null: unlabelled),
                        enrolment_speaker_id, test_speaker_id (null: unknown), score
                        metadata `reseed`: an `Origin` as JSON
identification.parquet  system, condition, test_id, speaker_id, rank (1 = right), speakers (how many were enrolled)
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from store import ManifestError, ReseedError, ScoringError

METADATA_KEY = b"reseed"
RAW = "raw"  # the system that nothing has enhanced

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


@dataclass(frozen=True)
class Origin:
    """What scores were computed from, and how.

    Attributes:
        space: the embedding space of the store, e.g. "ge2e:1a2b3c4d+seed:5e6f7a8b".
        fingerprint: that of the store.
        conditions: view -> its recipe.
        enrolment_view: the view that enrolment embeddings come from.
        crops, crop_s: crops averaged per utterance, and their length in seconds where it is known and one.
        method: the enhancer that made the embeddings, the last one of several; "raw" where none did.
        config: that enhancer's settings.
        left_out: trials not scored, since the store lacks their utterances.
    """

    space: str
    fingerprint: str
    conditions: dict[str, Any]
    enrolment_view: str
    crops: int
    crop_s: float | None
    method: str
    config: dict[str, Any]
    left_out: int


def scores_schema(origin: Origin) -> pa.Schema:
    """Return SCORES_SCHEMA with what the scores come from as its metadata."""
    return SCORES_SCHEMA.with_metadata({METADATA_KEY: json.dumps(asdict(origin)).encode()})


def read_scores(path: Path) -> tuple[pa.Table, Origin]:
    """Return scores.parquet and what its metadata says it comes from.

    Raises:
        ScoringError: missing, not Parquet, or not written by this `reseed score`.
    """
    table = _read(path, SCORES_SCHEMA, ScoringError, "a score file", "score")
    metadata = (pq.read_schema(path).metadata or {}).get(METADATA_KEY)
    try:
        return table, Origin(**json.loads(metadata or b"{}"))
    except (TypeError, ValueError):
        raise ScoringError(f"{path} does not say what it was scored from; write it with `reseed score`") from None


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
