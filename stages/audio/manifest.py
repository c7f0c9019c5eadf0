"""The corpus manifest: one row per utterance (or noise, or room response), as a Parquet table.

A manifest is identified by what it lists, not by where that lies: its digest covers ids, content hashes and
stretches, so moving a corpus does not invalidate embeddings.
"""

import hashlib
import json
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path

import numpy as np
import pyarrow as pa

from reseed.stages.audio.location import Location
from reseed.stages.audio.opener import sha256_of
from reseed.store import AudioError, ManifestError
from reseed.store.tables import TableFile

_BATCH = 4096
ROW_GROUP = 16_384  # a reader takes a stretch of a manifest by its row groups

MANIFEST = TableFile("a corpus manifest", "reseed prepare", ManifestError)

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
        pa.field("channel", pa.int32()),
    ]
)
LATER = ("channel",)  # columns that a manifest written before lacks

# What is written beside it where it is known, and what no reader of audio needs. By `samples_sha256`, that of the
# decoded samples, a recording is found again that was renamed or put into another lossless container.
CONTENT_SCHEMA = pa.schema([pa.field("samples_sha256", pa.string())])
SPEECH_SCHEMA = pa.schema([("speech_s", pa.float64())])
DEMOGRAPHICS_SCHEMA = pa.schema([("gender", pa.string()), ("age", pa.float64()), ("language", pa.string())])


@dataclass(frozen=True)
class Utterance:
    """One row of a manifest: a stretch of a recording.

    Attributes:
        path: the text of a `Location`.
        sha256: of the recording's bytes.
        channel: the one that is read, counted from 0; None: the average of all.
    """

    utterance_id: str
    path: str
    speaker_id: str | None
    start_s: float
    duration_s: float
    sample_rate_hz: int
    channels: int
    split: str | None
    sha256: str
    channel: int | None = None


class Manifest:
    """A manifest on disk, read a stretch at a time: memory does not grow with the corpus.

    Attributes:
        columns: all that it has.

    Raises:
        ManifestError: missing, not Parquet, or a column missing.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        with MANIFEST.open(path) as file:
            self.columns: list[str] = file.schema_arrow.names
            MANIFEST.require(file, [name for name in UTTERANCES_SCHEMA.names if name not in LATER])
            groups = [file.metadata.row_group(number).num_rows for number in range(file.num_row_groups)]
        self._of_utterances = [name for name in UTTERANCES_SCHEMA.names if name in self.columns]
        self._edges: list[int] = list(accumulate(groups, initial=0))

    def __len__(self) -> int:
        return self._edges[-1]

    def __getitem__(self, stretch: slice) -> list[Utterance]:
        start, stop, _ = stretch.indices(len(self))
        first, last = bisect_right(self._edges, start) - 1, bisect_left(self._edges, stop)
        with MANIFEST.open(self.path) as file:
            table = file.read_row_groups(list(range(first, last)), columns=self._of_utterances)
        offset = self._edges[first] if first < last else 0
        return [Utterance(**row) for row in table.slice(start - offset, stop - start).to_pylist()]

    def __iter__(self) -> Iterator[Utterance]:
        with MANIFEST.open(self.path) as file:
            for batch in file.iter_batches(_BATCH, columns=self._of_utterances):
                yield from (Utterance(**row) for row in batch.to_pylist())

    def table(self, columns: Sequence[str] | None = None) -> pa.Table:
        """Return some columns (default: every one) of all rows."""
        wanted = list(dict.fromkeys([*self.columns, *LATER])) if columns is None else columns
        with MANIFEST.open(self.path) as file:
            table = MANIFEST.columns(file, [name for name in wanted if name in self.columns or name not in LATER])
        for name in LATER:
            if name in wanted and name not in table.column_names:
                table = table.append_column(UTTERANCES_SCHEMA.field(name), pa.nulls(len(table), pa.int32()))
        return table


def read_manifest(path: Path) -> list[Utterance]:
    """Read a whole manifest.

    Raises:
        ManifestError: missing, not Parquet, or a column missing.
    """
    return list(Manifest(path))


def check_unchanged(path: str, sha256: str) -> None:
    """Compare a recording with what `prepare` saw; each is hashed once.

    Raises:
        AudioError: it is gone, cannot be read, or is another one now.
    """
    try:
        found = sha256_of(Location.parse(path))
    except OSError as error:
        raise AudioError(f"cannot be read ({error.strerror or error})") from error
    if found != sha256:
        raise AudioError("has changed since it was prepared; prepare the corpus again")


def manifest_digest(utterances: Iterable[Utterance]) -> str:
    """Return the SHA-256 of what a manifest lists, whatever the order and wherever the files lie."""
    return digest_of(digest_rows(utterances))


def digest_rows(utterances: Iterable[Utterance]) -> bytes:
    """Return the SHA-256 of what each row lists, 32 bytes each, one after the other."""
    return b"".join(map(_row_digest, utterances))


def digest_of(rows: bytes) -> str:
    """Return the SHA-256 over row digests in sorted order."""
    return hashlib.sha256(np.sort(np.frombuffer(rows, "S32")).tobytes()).hexdigest()


def _row_digest(row: Utterance) -> bytes:
    listed = [row.utterance_id, row.speaker_id or "", row.sha256, row.start_s, row.duration_s]
    listed += [] if row.channel is None else [row.channel]
    return hashlib.sha256(json.dumps(listed, ensure_ascii=False).encode()).digest()
