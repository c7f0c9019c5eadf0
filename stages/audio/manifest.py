"""The corpus manifest: one row per utterance (or noise, or room response), as a Parquet table.

A manifest is identified by what it lists, not by where that lies: its digest covers ids, content hashes and
stretches, so moving a corpus does not invalidate embeddings.
"""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from store import AudioError, ManifestError
from store.atomic import atomic_path, digest, sha256_file

UTTERANCES_SCHEMA = pa.schema(
    [
        pa.field("utterance_id", pa.string(), nullable=False),
        pa.field("path", pa.string(), nullable=False),
        pa.field("speaker_id", pa.string()),
        pa.field("start_s", pa.float64(), nullable=False),
        pa.field("duration_s", pa.float64(), nullable=False),
        pa.field("sample_rate_hz", pa.int32(), nullable=False),
        pa.field("channels", pa.int32(), nullable=False),
        pa.field("split", pa.string()),
        pa.field("sha256", pa.string(), nullable=False),
    ]
)


@dataclass(frozen=True)
class Utterance:
    """One row of a manifest: a stretch of a recording. `sha256` is that of the file's bytes."""

    utterance_id: str
    path: str
    speaker_id: str | None
    start_s: float
    duration_s: float
    sample_rate_hz: int
    channels: int
    split: str | None
    sha256: str


def write_manifest(path: Path, utterances: list[Utterance]) -> None:
    """Write a manifest, sorted by id, atomically."""
    ordered = sorted(utterances, key=lambda utterance: utterance.utterance_id)
    with atomic_path(path) as temporary:
        pq.write_table(pa.Table.from_pylist([vars(utterance) for utterance in ordered], UTTERANCES_SCHEMA), temporary)


def read_manifest(path: Path) -> list[Utterance]:
    """Read a manifest.

    Raises:
        ManifestError: missing, not Parquet, or a column missing.
    """
    try:
        table = pq.read_table(path, columns=UTTERANCES_SCHEMA.names)
    except FileNotFoundError:
        raise ManifestError(f"{path} does not exist; make it with `reseed prepare`") from None
    except (OSError, pa.ArrowException) as error:
        raise ManifestError(f"{path} is not a corpus manifest ({error}); make it with `reseed prepare`") from error
    return [Utterance(**row) for row in table.to_pylist()]


@lru_cache(maxsize=4096)
def check_unchanged(path: str, sha256: str) -> None:
    """Compare a recording with what `prepare` saw; each file is hashed once per process.

    Raises:
        AudioError: it is gone or another one now.
    """
    if not Path(path).is_file():
        raise AudioError("does not exist")
    if sha256_file(Path(path)) != sha256:
        raise AudioError("has changed since it was prepared; prepare the corpus again")


def manifest_digest(utterances: list[Utterance]) -> str:
    """Return the SHA-256 of what a manifest lists, whatever the order and wherever the files lie."""
    listed = sorted((u.utterance_id, u.speaker_id or "", u.sha256, u.start_s, u.duration_s) for u in utterances)
    return digest(listed)
