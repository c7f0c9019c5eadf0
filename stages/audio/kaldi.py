"""Kaldi data directories: wav.scp, utt2spk or spk2utt, utt2lang, segments, reco2file_and_channel."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from reseed.stages.audio.demographics import gender_of
from reseed.stages.audio.kaldi_arks import ArkEntries
from reseed.stages.audio.kaldi_pipes import Piped, read_pipe
from reseed.stages.audio.listed import MEAN, SAMPLES, SECONDS, ListedRecording, channel_of, read_lines
from reseed.stages.audio.location import Location
from reseed.store import ManifestError
from reseed.store.url import AnyPath, Url, is_url, without_secrets

_OVERSHOOT_S = 0.5  # by which a segment may end behind its recording: --max-overshoot of Kaldi's extract-segments
_SPLIT = re.compile(r"split(\d+)(utt)?")


def kaldi_directories(source: AnyPath) -> dict[AnyPath, AnyPath]:
    """Return the Kaldi data directories that a folder is, and where their recordings lie.

    It may be one, hold the parts that one was split into (split4, split4utt), or be none.

    Raises:
        ManifestError: it has features and no recordings, or lacks parts.
    """
    if (source / "wav.scp").exists():
        return {source: source.parent.parent if _SPLIT.fullmatch(source.parent.name) else source}
    if isinstance(source, Url):
        return {}
    parts = sorted((path.parent for path in source.glob("[0-9]*/wav.scp") if path.parent.name.isdecimal()), key=_number)
    if parts:
        wanted = _SPLIT.fullmatch(source.name)
        if wanted and len(parts) != int(wanted[1]):
            raise ManifestError(f"{source} has {len(parts)} parts with a wav.scp, not {wanted[1]}; split the data anew")
        return dict.fromkeys(parts, source.parent if wanted else source)
    if (source / "feats.scp").exists():
        raise ManifestError(f"{source} has feats.scp but no wav.scp: of features no sound can be had; add its wav.scp")
    return {}


def _number(part: Path) -> int:
    return int(part.name)


def list_kaldi(
    folder: AnyPath, recordings_root: AnyPath, split: str | None, notes: list[str] | None = None
) -> Iterator[ListedRecording]:
    """Yield what a Kaldi data directory lists.

    Args:
        folder: the data directory.
        recordings_root: where relative paths of wav.scp start, unless the file is found from the current directory,
            which is where Kaldi looks.
        split: written into what is listed.
        notes: gets a word on utterances without a speaker, once all is read.

    Raises:
        ManifestError: a table cannot be read, has a key twice or alone, or utt2spk and spk2utt contradict each other.
    """
    recordings = read_kaldi_table(folder / "wav.scp")
    speakers, languages, genders = _speakers(folder), _said(folder, "utt2lang"), _said(folder, "spk2gender")
    sides = KaldiSides(folder)
    arks = ArkEntries(recordings, partial(_found, root=recordings_root))
    known, unknown = 0, []
    for line in _segments(folder, sides, recordings):
        speaker_id = speakers.get(line.utterance_id)
        if speaker_id is None:
            unknown.append(line.utterance_id)
        else:
            known += 1
        file, channel, problem = sides.of(line.utterance_id, line.recording, line.channel)
        location = recordings.get(line.recording, recordings.get(file))
        if location is None:
            problem = f"names the recording {line.recording}, which wav.scp does not list"
            location = line.recording
        inside: Location | None = None
        try:
            piped = _piped(location) if problem is None else Piped(location)
            inside = arks.location(location) if problem is None else None
            start_s, duration_s = line.within(piped)
            if piped.is_mono:
                channel = MEAN if (one := piped.channel_of(line.channel)) is None else one
        except ValueError as error:
            piped, start_s, duration_s, problem = Piped(location), line.start_s, None, str(error)
        yield ListedRecording(
            line.utterance_id,
            inside or _found(piped.path, recordings_root, is_looked_for=problem is None),
            speaker_id,
            start_s,
            duration_s,
            split,
            problem,
            channel,
            overshoot_s=_OVERSHOOT_S,
            rate_hz=piped.rate_hz,
            units=(SAMPLES, SAMPLES) if piped.in_samples else (SECONDS, SECONDS),
            language=languages.get(line.utterance_id),
            gender=gender_of(genders.get(speaker_id or "", "")),
        )
    if speakers and unknown and notes is not None:
        table = "utt2spk" if (folder / "utt2spk").exists() else "spk2utt"
        total = known + len(unknown)
        notes.append(f"{folder / table} knows {known} of {total} utterances, e.g. {unknown[0]} is not in it")


@dataclass(frozen=True)
class _Segment:
    """One utterance: from start to end (None: to its end) of a recording, and the channel that segments names."""

    utterance_id: str
    recording: str
    start_s: float = 0.0
    end_s: float | None = None
    channel: int | None = None

    def within(self, piped: Piped) -> tuple[float, float | None]:
        """Return start and duration (None: to the end) in the file of what a command gives.

        Raises:
            ValueError: it ends too far behind that.
        """
        if piped.in_samples and (self.start_s or self.end_s is not None):
            raise ValueError("is cut in samples by its command, and in seconds by segments; cut it by one of them")
        start_s = piped.start_s + self.start_s
        end_s = None if self.end_s is None else piped.start_s + self.end_s
        if piped.end_s is not None:
            if end_s is not None and end_s >= piped.end_s + _OVERSHOOT_S:
                length_s = piped.end_s - piped.start_s
                raise ValueError(f"ends at {length_s:.2f} s by its command, before {self.end_s:.2f} s")
            end_s = piped.end_s if end_s is None else min(end_s, piped.end_s)
        return start_s, None if end_s is None else end_s - start_s


def _piped(location: str) -> Piped:
    if location.startswith("|") or location == "-":
        raise ValueError("is no recording: a command in wav.scp that takes one, or standard input")
    if not location.endswith("|"):
        if is_url(location):
            Url(location)  # says what is wrong with it
        return Piped(location)
    try:
        return read_pipe(location)
    except ValueError as error:
        raise ValueError(f"is a command in wav.scp: {error}; write its output to a file first") from None


def _found(listed: str, root: AnyPath, is_looked_for: bool = True) -> AnyPath | Location:
    """Return where a file lies that wav.scp names: from the current directory, else from the root of its directory."""
    if is_url(listed):
        return Location(without_secrets(listed))
    try:
        is_here = is_looked_for and Path(listed).exists()
    except OSError:  # a name longer than any file has
        is_here = False
    return Path(listed) if is_here or listed.startswith("/") else root / listed


def _speakers(folder: AnyPath) -> dict[str, str]:
    """Return the speaker of each utterance, by utt2spk, by spk2utt, or by both."""
    paths = folder / "utt2spk", folder / "spk2utt"
    speakers = read_kaldi_table(paths[0]) if paths[0].exists() else {}
    inverse = read_kaldi_table(paths[1]) if paths[1].exists() else {}
    for speaker, utterances in inverse.items():
        for utterance in utterances.split():
            known = speakers.setdefault(utterance, speaker)
            if known != speaker:
                raise ManifestError(f"{paths[1]}: {utterance} is of {speaker}, but elsewhere of {known}; correct one")
    return speakers


def _said(folder: AnyPath, table: str) -> dict[str, str]:
    return read_kaldi_table(folder / table) if (folder / table).exists() else {}


class KaldiSides:
    """`reco2file_and_channel` of a Kaldi directory: which side of which file a recording is.

    Raises:
        ManifestError: it cannot be read, or a line is not "recording file channel".
    """

    def __init__(self, folder: AnyPath) -> None:
        path = folder / "reco2file_and_channel"
        self._sides: dict[str, tuple[str, int]] = {}
        self._recordings: dict[str, list[str]] = {}  # of each file
        for recording, rest in (read_kaldi_table(path) if path.exists() else {}).items():
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


def _segments(folder: AnyPath, sides: KaldiSides, recordings: Mapping[str, str]) -> Iterator[_Segment]:
    """Yield each line of segments, or each recording."""
    path = folder / "segments"
    if not path.exists():
        for listed in recordings:
            yield from (_Segment(name, name) for name in sides.recordings(listed) or [listed])
        return
    for utterance_id, rest in read_kaldi_table(path).items():
        try:
            recording, start, end, *named = rest.split()
            start_s, end_s, channel = float(start), float(end), channel_of(named.pop()) if named else None
            if named:
                raise ValueError
        except ValueError:
            expected = "recording, start, end and, if need be, channel"
            raise ManifestError(f"{path}: {utterance_id} is not followed by {expected}") from None
        yield _Segment(utterance_id, recording, start_s, None if end_s == -1 else end_s, channel)


def read_kaldi_table(path: AnyPath) -> dict[str, str]:
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
