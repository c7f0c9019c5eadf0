"""Recordings in folders, by the names of their files. Nothing here opens audio."""

import os
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

from reseed.stages.audio.listed import ListedRecording
from reseed.stages.audio.patterns import expanded
from reseed.store.atomic import digest

KINDS = ("speech", "noise", "music", "rir")  # of recordings
_SUFFIXES = (
    "wav flac mp3 ogg oga opus aiff aif aifc au caf sph w64 rf64 m4a aac mp4 mp2 wma amr awb 3gp mka mkv webm mov avi"
)
AUDIO_SUFFIXES = frozenset(f".{suffix}" for suffix in _SUFFIXES.split())


def audio_files(folder: Path) -> Iterator[Path]:
    """Yield all recordings below a folder, by their suffix, in an order that depends on their names alone."""
    for path in files_below(folder):
        if path.suffix.lower() in AUDIO_SUFFIXES and not path.name.startswith("."):
            yield path


def listing_digest(source: Path) -> str:
    """Return a digest of which files a source is, by name, size and time of change: of a folder all below it."""
    files = chain.from_iterable(files_below(path) if path.is_dir() else [path] for path in expanded(source))
    return digest(sorted((str(path), *_size_and_time(path)) for path in files))


def list_folder(folder: Path, speaker_depth: int, split: str | None) -> Iterator[ListedRecording]:
    """Yield all recordings below a folder; their speakers are named by the path down to `speaker_depth`."""
    for path in audio_files(folder):
        relative = path.relative_to(folder)
        above = relative.parts[:-speaker_depth] if speaker_depth else ()
        yield ListedRecording(str(relative.with_suffix("")), path, "/".join(above) or None, split=split)


def _size_and_time(path: Path) -> tuple[int, int]:
    try:
        found = path.stat()
    except FileNotFoundError:  # a dangling link
        return (-1, -1)
    return (found.st_size, found.st_mtime_ns)


def files_below(folder: Path) -> Iterator[Path]:
    """Yield all files, those in linked folders too; a folder that is linked into itself is entered once."""
    seen: set[str] = set()
    for current, folders, names in os.walk(folder, followlinks=True):
        real = os.path.realpath(current)
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        folders.sort()
        yield from (Path(current) / name for name in sorted(names))
