"""Recordings that a wav.scp names inside archives, `x.ark:1234`, which say where they begin and not where they end."""

import re
from bisect import bisect_right
from collections.abc import Callable, Mapping
from pathlib import Path

from reseed.stages.audio.archives.ark import ark_entry
from reseed.stages.audio.location import ByteRange, Location
from reseed.stages.audio.opener import whole_file
from reseed.store import AudioError
from reseed.store.url import AnyPath

_ENTRY = re.compile(r"(?P<ark>.+):(?P<offset>\d{1,19})(?P<range>\[[\d:,]*\])?")


class ArkEntries:
    """The entries of a wav.scp that lie in archives.

    Args:
        recordings: key -> what wav.scp has after it.
        found: returns where a file lies that wav.scp names.
    """

    def __init__(self, recordings: Mapping[str, str], found: Callable[[str], AnyPath | Location]) -> None:
        self._found = found
        self._following: dict[str, list[tuple[int, str]]] = {}  # of each ark: offset and key
        for key, location in recordings.items():
            if match := _ENTRY.fullmatch(location):
                self._following.setdefault(match["ark"], []).append((int(match["offset"]), key))
        for entries in self._following.values():
            entries.sort()

    def location(self, listed: str) -> Location | None:
        """Return where the recording of an entry lies; None: it is in no archive.

        Raises:
            ValueError: it is in none whose parts can be told apart.
        """
        match = _ENTRY.fullmatch(listed)
        if match is None or _exists(self._found(listed)):
            return None
        if match["range"]:
            raise ValueError(f"takes a range of rows of {match['ark']}, which holds no sound")
        ark = Location.of(self._found(match["ark"]))
        offset = int(match["offset"])
        try:
            source = whole_file(ark)
            start, length = ark_entry(source, offset, self._bound(match["ark"], offset, source.size, source.at))
        except (AudioError, OSError) as error:
            raise ValueError(f"is at byte {offset} of {ark}, which {error}") from error
        return Location(ark.file, ByteRange(start, length))

    def _bound(self, ark: str, offset: int, size: int, at: Callable[[int, int], bytes]) -> int | None:
        """Return where the entry behind one begins; None: wav.scp does not tell."""
        entries = self._following.get(ark, [])
        place = bisect_right(entries, offset, key=lambda entry: entry[0])
        if place == len(entries):
            return size
        following, key = entries[place]
        begin = following - len(key.encode()) - 1
        return begin if begin > offset and at(begin, following - begin) == f"{key} ".encode() else None


def _exists(path: AnyPath | Location) -> bool:
    try:
        return isinstance(path, Path) and path.exists()
    except OSError:  # a name longer than any file has
        return False
