"""The lists that scoring reads: trials, enrolment models, and manifests, which say who speaks and for how long."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from reseed.store import ManifestError, ReseedError

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
_SPEAKERS = pa.schema({"utterance_id": pa.string(), "speaker_id": pa.string()})


def trial_row_groups(path: Path) -> list[int]:
    """Return the number of trials in each row group of a trial list.

    Raises:
        ManifestError: missing, not Parquet, or empty.
    """
    with readable(path, ManifestError, "a trial list", "trials"), pq.ParquetFile(path) as file:
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
    with readable(path, ManifestError, "a trial list", "trials"), pq.ParquetFile(path) as file:
        for batch in file.iter_batches(rows, row_groups=row_groups, columns=names):
            yield pa.table(batch).select(names).cast(TRIALS_SCHEMA).combine_chunks()


def read_enrolments(path: Path) -> pa.Table:
    """Return which utterances each enrolment model is made of: enrolment_id, utterance_id, each pair once.

    Raises:
        ManifestError: missing, not Parquet, or a column missing.
    """
    table = read_columns(path, ENROLMENTS_SCHEMA, ManifestError, "a list of enrolments", "trials")
    return table.group_by(ENROLMENTS_SCHEMA.names).aggregate([])


def read_speakers(path: Path) -> pa.Table:
    """Return who speaks in which utterance, from utterances.parquet: utterance_id, speaker_id.

    Raises:
        ManifestError: missing, not Parquet, or a column missing.
    """
    return read_columns(path, _SPEAKERS, ManifestError, "a corpus manifest", "prepare")


def read_durations(path: Path) -> pa.Table:
    """Return how long each utterance is, from utterances.parquet: utterance_id, duration_s.

    Raises:
        ManifestError: missing, not Parquet, or a column missing.
    """
    return read_columns(path, _DURATIONS, ManifestError, "a corpus manifest", "prepare")


def read_columns(path: Path, schema: pa.Schema, error_class: type[ReseedError], what: str, verb: str) -> pa.Table:
    """Return the columns of a schema from a Parquet file.

    Args:
        error_class: what is raised where the file is missing, not Parquet, or lacks a column.
        what, verb: what the file should be, and the command that makes it, for the message.
    """
    with readable(path, error_class, what, verb):
        return pq.read_table(path, columns=schema.names).select(schema.names).cast(schema).combine_chunks()


@contextmanager
def readable(path: Path, error_class: type[ReseedError], what: str, verb: str) -> Iterator[None]:
    """Turn the errors of reading a Parquet file into one that says what to do; arguments as `read_columns`."""
    try:
        yield
    except FileNotFoundError:
        raise error_class(f"{path} does not exist; make it with `reseed {verb}`") from None
    except (OSError, KeyError, ValueError, pa.ArrowException) as error:
        raise error_class(f"{path} is not {what} ({error}); make it with `reseed {verb}`") from error
