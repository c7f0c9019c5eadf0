"""The files that `score` writes and `report` reads: scores.parquet and identification.parquet.

scores.parquet          system, scoring, condition, enrolment_id, test_id, is_target (null: unlabelled),
                        enrolment_speaker_id, test_speaker_id (null: unknown), score
                        metadata `reseed`: an `Origin` as JSON
identification.parquet  system, condition, test_id, speaker_id, rank (1 = right), speakers (how many were enrolled)

Beside them, what `score` and `calibrate` read: trials, enrolments, manifests and quality.parquet.
"""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from reseed.store import ManifestError, ReseedError, ScoringError

METADATA_KEY = b"reseed"
RAW = "raw"  # the system that nothing has enhanced
CALIBRATED = "+calibrated"  # ends the name of a scoring whose scores are natural-log likelihood ratios

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
_TRIALS = pa.schema(
    {"enrolment_id": pa.string(), "test_id": pa.string(), "is_target": pa.bool_(), "condition": pa.string()}
)
ENROLMENTS_SCHEMA = pa.schema(
    [pa.field("enrolment_id", pa.string(), nullable=False), pa.field("utterance_id", pa.string(), nullable=False)]
)
_DURATIONS = pa.schema({"utterance_id": pa.string(), "duration_s": pa.float64()})
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
        scorings: scoring -> what made it beyond the vectors: cohort, PLDA, calibration.
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
    scorings: dict[str, dict[str, Any]] = field(default_factory=dict)


def is_calibrated(scoring: str) -> bool:
    """Whether scores of this name went through `calibrate`: "as_norm+calibrated"."""
    return scoring.endswith(CALIBRATED)


def scores_schema(origin: Origin) -> pa.Schema:
    """Return SCORES_SCHEMA with what the scores come from as its metadata."""
    return SCORES_SCHEMA.with_metadata({METADATA_KEY: json.dumps(asdict(origin)).encode()})


def read_scores(path: Path) -> tuple[pa.Table, Origin]:
    """Return scores.parquet and what its metadata says it comes from.

    Raises:
        ScoringError: missing, not Parquet, or not written by this `reseed score`.
    """
    return _read(path, SCORES_SCHEMA, ScoringError, "a score file", "score"), read_origin(path)


def read_origin(path: Path) -> Origin:
    """Return what the metadata of scores.parquet says it comes from.

    Raises:
        ScoringError: missing, not Parquet, or not written by this `reseed score`.
    """
    with _translated(path, ScoringError, "a score file", "score"):
        metadata = (pq.read_schema(path).metadata or {}).get(METADATA_KEY)
    try:
        return Origin(**json.loads(metadata or b"{}"))
    except (TypeError, ValueError):
        raise ScoringError(f"{path} does not say what it was scored from; write it with `reseed score`") from None


def score_batches(path: Path, rows: int) -> Iterator[pa.Table]:
    """Yield scores.parquet by at most `rows` rows.

    Raises:
        ScoringError: missing, not Parquet, or a column missing.
    """
    with _translated(path, ScoringError, "a score file", "score"), pq.ParquetFile(path) as file:
        for batch in file.iter_batches(rows, columns=SCORES_SCHEMA.names):
            yield pa.table(batch).select(SCORES_SCHEMA.names)


def score_count(path: Path) -> int:
    """Return how many rows scores.parquet has.

    Raises:
        ScoringError: missing, or not Parquet.
    """
    with _translated(path, ScoringError, "a score file", "score"):
        return int(pq.read_metadata(path).num_rows)


def names_in(path: Path, columns: Sequence[str]) -> set[str]:
    """Return the names in some columns of scores.parquet.

    Raises:
        ScoringError: missing, not Parquet, or a column missing.
    """
    found = set[str]()
    with _translated(path, ScoringError, "a score file", "score"), pq.ParquetFile(path) as file:
        for batch in file.iter_batches(columns=list(columns)):
            found |= {name for column in batch.columns for name in column.cast(pa.string()).unique().to_pylist()}
    return found - {None}


def read_identification(path: Path) -> pa.Table:
    """Return identification.parquet.

    Raises:
        ScoringError: missing, not Parquet, or a column missing.
    """
    return _read(path, IDENTIFICATION_SCHEMA, ScoringError, "an identification file", "score")


def trial_row_groups(path: Path) -> list[int]:
    """Return the number of trials in each row group of a trial list.

    Raises:
        ManifestError: missing, not Parquet, or empty.
    """
    with _translated(path, ManifestError, "a trial list", "trials"), pq.ParquetFile(path) as file:
        sizes = [file.metadata.row_group(index).num_rows for index in range(file.num_row_groups)]
    if not sum(sizes):
        raise ManifestError(f"{path}: no trials; make a list with `reseed trials`")
    return sizes


def trial_batches(path: Path, row_groups: Sequence[int] | None, rows: int) -> Iterator[pa.Table]:
    """Yield a trial list, or some row groups of it, by at most `rows` trials, in the columns of `reseed trials`.

    Raises:
        ManifestError: missing, not Parquet, or a column missing.
    """
    with _translated(path, ManifestError, "a trial list", "trials"), pq.ParquetFile(path) as file:
        for batch in file.iter_batches(rows, row_groups=row_groups, columns=_TRIALS.names):
            yield pa.table(batch).select(_TRIALS.names).cast(_TRIALS).combine_chunks()


def read_enrolments(path: Path) -> pa.Table:
    """Return which utterances each enrolment model is made of: enrolment_id, utterance_id, each pair once.

    Raises:
        ManifestError: missing, not Parquet, or a column missing.
    """
    table = _read(path, ENROLMENTS_SCHEMA, ManifestError, "a list of enrolments", "trials")
    return table.group_by(ENROLMENTS_SCHEMA.names).aggregate([])


def read_speakers(path: Path) -> pa.Table:
    """Return who speaks in which utterance, from utterances.parquet: utterance_id, speaker_id.

    Raises:
        ManifestError: missing, not Parquet, or a column missing.
    """
    return _read(path, _SPEAKERS, ManifestError, "a corpus manifest", "prepare")


def read_durations(path: Path) -> pa.Table:
    """Return how long each utterance is, from utterances.parquet: utterance_id, duration_s.

    Raises:
        ManifestError: missing, not Parquet, or a column missing.
    """
    return _read(path, _DURATIONS, ManifestError, "a corpus manifest", "prepare")


def read_quality(path: Path) -> pa.Table:
    """Return quality.parquet.

    Raises:
        ScoringError: missing, not Parquet, or a column missing.
    """
    return _read(path, QUALITY_SCHEMA, ScoringError, "a file of quality measures", "quality")


def _read(path: Path, schema: pa.Schema, error_class: type[ReseedError], what: str, verb: str) -> pa.Table:
    with _translated(path, error_class, what, verb):
        return pq.read_table(path, columns=schema.names).select(schema.names).cast(schema).combine_chunks()


@contextmanager
def _translated(path: Path, error_class: type[ReseedError], what: str, verb: str) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError:
        raise error_class(f"{path} does not exist; make it with `reseed {verb}`") from None
    except (OSError, KeyError, pa.ArrowException) as error:
        raise error_class(f"{path} is not {what} ({error}); make it with `reseed {verb}`") from error
