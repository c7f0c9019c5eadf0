"""Kaldi data directories: wav.scp, utt2spk, segments, reco2file_and_channel."""

from collections.abc import Iterator, Mapping
from pathlib import Path

from reseed.stages.audio.listed import ListedRecording, channel_of, read_lines
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
    sides = KaldiSides(folder)
    for utterance_id, recording, start_s, end_s, channel in _segments(folder, sides, recordings):
        file, channel, problem = sides.of(utterance_id, recording, channel)
        location = recordings.get(recording, recordings.get(file))
        if location is None:
            problem = f"names the recording {recording}, which wav.scp does not list"
        elif location.endswith("|"):
            problem = "is a command in wav.scp; write its output to a file first"
        listed = Path(location or recording)
        in_current_folder = problem is None and not listed.is_absolute() and listed.exists()
        path = listed if in_current_folder else recordings_root / listed
        duration_s = None if end_s is None else end_s - start_s
        speaker_id = speakers.get(utterance_id)
        yield ListedRecording(utterance_id, path, speaker_id, start_s, duration_s, split, problem, channel)


class KaldiSides:
    """`reco2file_and_channel` of a Kaldi directory: which side of which file a recording is.

    Raises:
        ManifestError: it cannot be read, or a line is not "recording file channel".
    """

    def __init__(self, folder: Path) -> None:
        path = folder / "reco2file_and_channel"
        self._sides: dict[str, tuple[str, int]] = {}
        self._recordings: dict[str, list[str]] = {}  # of each file
        for recording, rest in (_read_kaldi_table(path) if path.exists() else {}).items():
            *file, side = rest.rsplit(maxsplit=1)
            try:  # letters, or NIST's numbers, which begin at 1
                channel = channel_of(side) if side.isalpha() else int(side) - 1
            except ValueError:
                channel = -1
            if not file or channel is None or channel < 0:
                raise ManifestError(f"{path}: {recording} is not followed by file and channel (A, B, or 1, 2)")
            self._sides[recording] = (file[0], channel)
            self._recordings.setdefault(file[0], []).append(recording)

    def recordings(self, recording: str) -> list[str]:
        """Return the recordings that are sides of a file which wav.scp lists; itself where there are none."""
        return self._recordings.get(recording, []) if recording not in self._sides else [recording]

    def of(self, utterance_id: str, recording: str, channel: int | None) -> tuple[str, int | None, str | None]:
        """Return the file of a recording, its channel there (None: not named), and why that cannot be told."""
        if channel is not None:
            return self._sides.get(recording, (recording, 0))[0], channel, None
        if recording in self._sides:
            return *self._sides[recording], None
        sides = self._recordings.get(recording, [])
        meant = max((side for side in sides if _begins(utterance_id, side)), key=len, default=None)
        if meant is None and len({self._sides[side][1] for side in sides}) > 1:
            return recording, None, f"may be any of {', '.join(sides)} in reco2file_and_channel; name one in segments"
        if meant is None and not sides:
            return recording, None, None
        return recording, self._sides[meant or sides[0]][1], None


def _begins(utterance_id: str, recording: str) -> bool:
    """Return whether an utterance has its name from a recording: call-1-07 from call-1, and call-12-07 not."""
    return utterance_id.startswith(recording) and not utterance_id[len(recording) :][:1].isalnum()


def _segments(
    folder: Path, sides: KaldiSides, recordings: Mapping[str, str]
) -> Iterator[tuple[str, str, float, float | None, int | None]]:
    """Yield (utterance, recording, start, end or none, channel or none) of each line, or of each recording."""
    path = folder / "segments"
    if not path.exists():
        for listed in recordings:
            yield from ((name, name, 0.0, None, None) for name in sides.recordings(listed) or [listed])
        return
    for utterance_id, rest in _read_kaldi_table(path).items():
        try:
            recording, start, end, *named = rest.split()
            start_s, end_s, channel = float(start), float(end), channel_of(named.pop()) if named else None
            if named:
                raise ValueError
        except ValueError:
            expected = "recording, start, end and, if need be, channel"
            raise ManifestError(f"{path}: {utterance_id} is not followed by {expected}") from None
        yield utterance_id, recording, start_s, None if end_s == -1 else end_s, channel


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
