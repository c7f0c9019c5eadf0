"""Recordings that an earlier manifest lists already: they are taken from it, and not decoded once more."""

import os
import stat
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
        self._folders: dict[str, str] = {}  # as listed -> with its links followed
        self._listed = [self._table[name].to_pylist() for name in ("speaker_id", "split", "start_s", "sha256")]
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
            place, changed_ns = self._resolved(Location.of(recording.path))
            rows = self._rows.get((place, recording.utterance_id), [])
            if recording.problem is None and rows and self._is_same(recording, rows[0], changed_ns):
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

    def _is_same(self, recording: ListedRecording, number: int, changed_ns: int | None) -> bool:
        speaker_id, split, start_s, sha256 = (column[number] for column in self._listed)
        in_seconds = recording.units[0] == SECONDS
        listed = (recording.speaker_id, recording.split, recording.start_s if in_seconds else start_s)
        if listed != (speaker_id, split, start_s):
            return False
        is_untouched = changed_ns is not None and changed_ns < self._written_ns
        is_same = is_untouched or self._digest(recording) == sha256
        self.changed += not is_same
        return is_same

    def _resolved(self, location: Location) -> tuple[str, int | None]:
        """Return a place with its links followed, and when the file system says that its file was touched last.

        The folder of a million files is resolved once, which of each would take a minute.
        """
        if location.is_remote:
            return str(location), 0
        above, _, name = location.file.rpartition("/")
        try:
            found = os.lstat(location.file)
            if location.part is not None or stat.S_ISLNK(found.st_mode) or name in ("", ".", ".."):
                return str(location.resolved()), location.path.stat().st_ctime_ns
        except OSError:
            return str(location.resolved()), None
        if above not in self._folders:
            self._folders[above] = os.path.realpath(above or ("/" if location.file.startswith("/") else "."))
        return f"{self._folders[above].rstrip('/')}/{name}", found.st_ctime_ns

    @staticmethod
    def _digest(recording: ListedRecording) -> str:
        try:
            return sha256_of(Location.of(recording.path))
        except (OSError, ManifestError):
            return ""
