"""Kaldi data directories: wav.scp, utt2spk, segments."""

from collections.abc import Iterator, Mapping
from pathlib import Path

from reseed.stages.audio.listed import ListedRecording, read_lines
from reseed.store import ManifestError


def list_kaldi(folder: Path, recordings_root: Path, split: str | None) -> Iterator[ListedRecording]:
    """Yield what a Kaldi data directory (wav.scp, utt2spk, segments) lists.

    Args:
        folder: the data directory.
        recordings_root: where relative paths of wav.scp start, unless the file is found from the current directory,
            which is where Kaldi looks.
        split: written into what is listed.

    Raises:
        ManifestError: a table cannot be read, or has a key twice or alone.
    """
    recordings = _read_kaldi_table(folder / "wav.scp")
    speakers = _read_kaldi_table(folder / "utt2spk") if (folder / "utt2spk").exists() else {}
    for utterance_id, recording, start_s, end_s in _segments(folder, recordings):
        location = recordings.get(recording)
        problem = None
        if location is None:
            problem = f"names the recording {recording}, which wav.scp does not list"
        elif location.endswith("|"):
            problem = "is a command in wav.scp; write its output to a file first"
        listed = Path(location or recording)
        in_current_folder = problem is None and not listed.is_absolute() and listed.exists()
        path = listed if in_current_folder else recordings_root / listed
        duration_s = None if end_s is None else end_s - start_s
        yield ListedRecording(utterance_id, path, speakers.get(utterance_id), start_s, duration_s, split, problem)


def _segments(folder: Path, recordings: Mapping[str, str]) -> Iterator[tuple[str, str, float, float | None]]:
    path = folder / "segments"
    if not path.exists():
        yield from ((recording, recording, 0.0, None) for recording in recordings)
        return
    for utterance_id, rest in _read_kaldi_table(path).items():
        try:
            recording, start, end = rest.split()
            start_s, end_s = float(start), float(end)
        except ValueError:
            raise ManifestError(f"{path}: {utterance_id} is not followed by recording, start and end") from None
        yield utterance_id, recording, start_s, None if end_s == -1 else end_s


def _read_kaldi_table(path: Path) -> dict[str, str]:
    """Read a Kaldi table "key rest of line"; a key that comes twice is an error."""
    table: dict[str, str] = {}
    for number, line in read_lines(path):
        key, *rest = line.split(maxsplit=1)
        if not rest:
            raise ManifestError(f"{path}, line {number}: {key!r} has nothing after it")
        if key in table:
            raise ManifestError(f"{path}, line {number}: {key!r} is listed twice")
        table[key] = rest[0]
    return table
