"""Where recordings are listed: a folder, a CSV or JSONL list, a Kaldi directory. Nothing here opens audio."""

import csv
import os
from collections.abc import Iterator, Mapping
from itertools import chain
from pathlib import Path
from typing import Any

from reseed.stages.audio.kaldi import list_kaldi
from reseed.stages.audio.listed import ListedRecording, channel_of, file_errors, read_lines
from reseed.store import ManifestError
from reseed.store.atomic import digest
from reseed.store.bounded import lines, parse_json

KINDS = ("speech", "noise", "music", "rir")  # of recordings
_SUFFIXES = (
    "wav flac mp3 ogg oga opus aiff aif aifc au caf sph w64 rf64 m4a aac mp4 mp2 wma amr awb 3gp mka mkv webm mov avi"
)
AUDIO_SUFFIXES = frozenset(f".{suffix}" for suffix in _SUFFIXES.split())

# The names that NeMo, lhotse and SpeechBrain lists use for the same things.
_COLUMN_NAMES = {
    "path": ("path", "audio_filepath", "wav", "file"),
    "utterance_id": ("utterance_id", "id", "ID", "utt_id"),
    "speaker_id": ("speaker_id", "speaker", "spk_id", "label"),
    "start_s": ("start_s", "offset", "start"),
    "duration_s": ("duration_s", "duration"),
    "split": ("split",),
    "channel": ("channel",),
}


def list_recordings(source: Path, speaker_depth: int, split: str | None) -> Iterator[ListedRecording]:
    """Yield what `source` lists, folder by folder and by name, and in file order for lists.

    Raises:
        ManifestError: `source` does not exist, is of no known kind, cannot be read, or lacks the column `path`.
    """
    if not source.exists():
        raise ManifestError(f"{source} does not exist; give a folder of audio, a .csv, a .jsonl or a Kaldi directory")
    if source.is_dir():
        is_kaldi = (source / "wav.scp").exists()
        return list_kaldi(source, source, split) if is_kaldi else _list_folder(source, speaker_depth, split)
    if source.suffix.lower() in (".csv", ".tsv", ".jsonl", ".json"):
        return _list_file(source, split)
    raise ManifestError(f"{source} is neither a folder nor a .csv, .tsv or .jsonl list")


def audio_files(folder: Path) -> Iterator[Path]:
    """Yield all recordings below a folder, by their suffix, in an order that depends on their names alone."""
    for path in _files_below(folder):
        if path.suffix.lower() in AUDIO_SUFFIXES and not path.name.startswith("."):
            yield path


def listing_digest(source: Path) -> str:
    """Return a digest of which files lie below a folder, or of one file, by name, size and time of change."""
    files = _files_below(source) if source.is_dir() else [source]
    return digest(sorted((str(path), *_size_and_time(path)) for path in files))


def _list_folder(folder: Path, speaker_depth: int, split: str | None) -> Iterator[ListedRecording]:
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


def _files_below(folder: Path) -> Iterator[Path]:
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


def _list_file(source: Path, split: str | None) -> Iterator[ListedRecording]:
    rows = _json_rows(source) if source.suffix.lower() in (".jsonl", ".json") else _csv_rows(source)
    first = next(rows, None)
    if first is None:
        return
    if not any(name in first for name in _COLUMN_NAMES["path"]):
        choices, columns = ", ".join(_COLUMN_NAMES["path"]), ", ".join(map(str, first))
        raise ManifestError(f"{source} has no column for the path (one of {choices}); it has {columns}")
    for row in chain([first], rows):
        recording = _recording_of(row, source.parent)
        if split is None or recording.split in (None, split):
            yield recording


def _recording_of(row: Mapping[str, Any], folder: Path) -> ListedRecording:
    listed = str(_column(row, "path") or "")
    utterance_id = str(_column(row, "utterance_id") or listed.removesuffix(Path(listed).suffix) or "(no id)")
    speaker_id, duration, split = (_column(row, name) for name in ("speaker_id", "duration_s", "split"))
    try:
        start_s = float(_column(row, "start_s") or 0)
        duration_s = None if duration is None else float(duration)
        channel = channel_of(_column(row, "channel"))
    except (ValueError, TypeError) as error:
        problem = f"has a start, duration or channel that is no number ({error})"
        return ListedRecording(utterance_id, folder / listed, problem=problem)
    return ListedRecording(
        utterance_id,
        folder / listed,
        None if speaker_id is None else str(speaker_id),
        start_s,
        duration_s,
        None if split is None else str(split),
        problem=None if listed else "has no path in the list",
        channel=channel,
    )


def _column(row: Mapping[str, Any], name: str) -> Any:
    for candidate in _COLUMN_NAMES[name]:
        if row.get(candidate) not in (None, ""):
            return row[candidate]
    return None


def _csv_rows(source: Path) -> Iterator[Mapping[str, Any]]:
    with file_errors(source):
        yield from csv.DictReader(
            lines(source, "utf-8-sig", newline=""), delimiter="\t" if source.suffix.lower() == ".tsv" else ","
        )


def _json_rows(source: Path) -> Iterator[Mapping[str, Any]]:
    for number, line in read_lines(source):
        try:
            row = parse_json(line)
        except ValueError as error:
            raise ManifestError(f"{source}, line {number}: not JSON ({error}); one object per line") from error
        if not isinstance(row, dict):
            raise ManifestError(f"{source}, line {number}: not a JSON object; one object per line")
        yield row
