"""Recordings that an earlier manifest lists already: they are taken from it, and not decoded once more."""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path

import pyarrow as pa

from reseed.stages.audio.listed import SECONDS, ListedRecording
from reseed.stages.audio.location import Location
from reseed.stages.audio.manifest import Manifest
from reseed.stages.audio.opener import sha256_of
from reseed.store import ManifestError


class Known:
    """What an earlier manifest lists.

    A recording whose file the file system says was touched since the manifest was written is hashed, and decoded where
    it is another one now. One of a store is taken to be what it was: `extract` hashes it when it reads it.

    Attributes:
        changed: how many were listed by it and are others now.

    Raises:
        ManifestError: missing, not Parquet, or a column missing.
    """

    def __init__(self, path: Path) -> None:
        manifest = Manifest(path)
        self.path, self.changed = path, 0
        self._table, self._written_ns = manifest.table(), path.stat().st_mtime_ns
        self._kept: list[int] = []
        self._rows: dict[tuple[str, str], list[int]] = defaultdict(list)
        for number, row in enumerate(manifest):
            self._rows[row.path, row.utterance_id].append(number)
            listed_as = row.utterance_id.removesuffix(f"-ch{row.channel}")
            if listed_as != row.utterance_id:  # one of several channels of what the list names once
                self._rows[row.path, listed_as].append(number)

    def __len__(self) -> int:
        """How many of its rows are listed again, as they were, among what `new` was given so far."""
        return len(self._kept)

    def new(self, recordings: Iterable[ListedRecording]) -> Iterator[ListedRecording]:
        """Yield those that it does not list as they are now."""
        for recording in recordings:
            rows = self._rows.get((str(Location.of(recording.path).resolved()), recording.utterance_id), [])
            if recording.problem is None and rows and self._is_same(recording, rows[0]):
                self._kept += rows
            else:
                yield recording

    def in_words(self) -> str:
        """Return how many of its rows stay, and how many of its recordings do not."""
        changed = f", {self.changed} of those it lists are others now" if self.changed else ""
        return f"beside {len(self)} known by {self.path}{changed}"

    def kept(self, schema: pa.Schema) -> pa.Table:
        """Return its rows of recordings that are listed again, as they were.

        Raises:
            ManifestError: it lacks a column that cannot be left empty.
        """
        table = self._table.take(pa.array(sorted(self._kept), pa.int64()))
        for field in schema:
            if field.name not in table.column_names and (field.name == "speech_s" or not field.nullable):
                raise ManifestError(f"{self.path} says nothing of {field.name}; prepare without it once")
            if field.name not in table.column_names:
                table = table.append_column(field, pa.nulls(len(table), field.type))
        return table.select(schema.names).cast(schema)

    def _is_same(self, recording: ListedRecording, number: int) -> bool:
        row = {name: self._table[name][number].as_py() for name in ("speaker_id", "start_s", "split", "sha256")}
        in_seconds = recording.units[0] == SECONDS
        listed = (recording.speaker_id, recording.split, recording.start_s if in_seconds else row["start_s"])
        if listed != (row["speaker_id"], row["split"], row["start_s"]):
            return False
        is_same = self._is_untouched(recording) or self._digest(recording) == row["sha256"]
        self.changed += not is_same
        return is_same

    def _is_untouched(self, recording: ListedRecording) -> bool:
        location = Location.of(recording.path)
        try:
            return location.is_remote or location.path.stat().st_ctime_ns < self._written_ns
        except OSError:
            return False

    @staticmethod
    def _digest(recording: ListedRecording) -> str:
        try:
            return sha256_of(Location.of(recording.path))
        except (OSError, ManifestError):
            return ""
