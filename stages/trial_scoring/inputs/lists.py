"""The lists that scoring reads: trials, enrolment models, and manifests, which say who speaks and for how long."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import pyarrow as pa

from reseed.stages.audio.manifest import MANIFEST
from reseed.stages.common.speakers import labels_of
from reseed.store import ManifestError
from reseed.store.tables import TableFile
from reseed.store.url import AnyPath, Url

_TRIALS = TableFile("a trial list", "reseed trials", ManifestError)
_ENROLMENTS = TableFile("a list of enrolments", "reseed trials", ManifestError)

TRIALS_SCHEMA = pa.schema(
    [
        pa.field("enrolment_id", pa.string(), nullable=False),
        pa.field("test_id", pa.string(), nullable=False),
        pa.field("is_target", pa.bool_()),
        pa.field("condition", pa.string()),
    ]
)
ENROLMENTS_SCHEMA = pa.schema(
    [pa.field("enrolment_id", pa.string(), nullable=False), pa.field("utterance_id", pa.string(), nullable=False)]
)
_DURATIONS = pa.schema({"utterance_id": pa.string(), "duration_s": pa.float64()})
_LANGUAGES = ["utterance_id", "language"]
_SPEAKERS = pa.schema({"utterance_id": pa.string(), "speaker_id": pa.string()})


def trial_row_groups(path: Path) -> list[int]:
    """Return the number of trials in each row group of a trial list.

    Raises:
        ManifestError: missing, not Parquet, or empty.
    """
    with _TRIALS.open(path) as file:
        sizes = [file.metadata.row_group(index).num_rows for index in range(file.num_row_groups)]
    if not sum(sizes):
        raise ManifestError(f"{path}: no trials; make a list with `reseed trials`")
    return sizes


def trial_batches(path: Path, row_groups: Sequence[int] | None, rows: int) -> Iterator[pa.Table]:
    """Yield a trial list, or some row groups of it, by at most `rows` trials, in the columns of `reseed trials`.

    Raises:
        ManifestError: missing, not Parquet, or a column missing.
    """
    names = TRIALS_SCHEMA.names
    with _TRIALS.open(path) as file:
        for batch in file.iter_batches(rows, row_groups=row_groups, columns=names):
            yield pa.table(batch).select(names).cast(TRIALS_SCHEMA).combine_chunks()


def read_enrolments(path: Path) -> pa.Table:
    """Return which utterances each enrolment model is made of: enrolment_id, utterance_id, each pair once.

    Raises:
        ManifestError: missing, not Parquet, or a column missing.
    """
    table = _ENROLMENTS.read(path, ENROLMENTS_SCHEMA)
    return table.group_by(ENROLMENTS_SCHEMA.names).aggregate([])


def read_speakers(path: AnyPath) -> pa.Table:
    """Return who speaks in which utterance, or of what class an item is: utterance_id, speaker_id.

    Args:
        path: utterances.parquet, or a store, whose catalogue says so.

    Raises:
        ManifestError: missing, not Parquet, or a column missing.
        StoreError: a folder that is no store.
    """
    if isinstance(path, Url) or path.is_dir():
        return labels_of(path)
    return MANIFEST.read(path, _SPEAKERS)


def read_languages(path: AnyPath) -> pa.Table | None:
    """Return the languages of utterances, from utterances.parquet: utterance_id, language; None where it has none.

    Raises:
        ManifestError: missing, or not Parquet.
    """
    if isinstance(path, Url) or path.is_dir():
        return None
    with MANIFEST.open(path) as file:
        return MANIFEST.columns(file, _LANGUAGES) if {*_LANGUAGES} <= {*file.schema_arrow.names} else None


def read_durations(path: Path) -> pa.Table:
    """Return how long each utterance is, from utterances.parquet: utterance_id, duration_s.

    Raises:
        ManifestError: missing, not Parquet, or a column missing.
    """
    return MANIFEST.read(path, _DURATIONS)
