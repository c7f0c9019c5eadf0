"""VoxConverse, conversations with who speaks when, and VC-Mix, the trials that SEED makes of it and VoxCeleb1.

VoxConverse: Chung et al., "Spot the conversation: speaker diarisation in the wild", Interspeech 2020.
    audio/NAME.wav (development) and voxconverse_test_wav/NAME.wav; voxconverse-master/{dev,test}/NAME.rttm
VC-Mix: Heo et al., "Rethinking Session Variability", arXiv 2309.14741, as SEED (arXiv 2505.16798) publishes it.
    voxconverse_test_SV/FOLDER/CLIP.wav for the non-targets beside voxceleb1/ for the targets
"""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

from reseed.stages.audio.datasets.base import Dataset, folder_of, splits_of, stretch_id
from reseed.stages.audio.datasets.voxceleb import VOXCELEB1
from reseed.stages.audio.listed import ListedRecording, read_lines
from reseed.store import ManifestError

_MERGED = "vox1-evals"  # where SEED's script links both data sets into one folder

Turn = tuple[float, float, str]  # start and end in s, speaker


def _voxconverse(title: str, root: Path, split: str, *, whole_turns: bool) -> Iterator[ListedRecording]:
    """Yield the turns of each conversation; speakers are known within one conversation only."""
    unpacked = {"dev": "audio", "test": "voxconverse_test_wav"}[split]
    places = (unpacked, f"{split}/{unpacked}", f"voxconverse_{split}_wav/audio", f"{split}/audio", split)
    audio = folder_of(title, root, *places, holding="*.wav")
    above = ("voxconverse-master", "voxconverse", "labels", "rttm", ".")
    turns = folder_of(title, root, *(f"{folder}/{split}" for folder in above), holding="*.rttm")
    for rttm in sorted(turns.glob("*.rttm")):
        spoken = _read_rttm(rttm)
        for start_s, end_s, speaker in spoken if whole_turns else _without_overlap(spoken):
            utterance_id = stretch_id(f"{rttm.stem}-{speaker}", start_s, end_s)
            path, duration_s = audio / f"{rttm.stem}.wav", round(end_s - start_s, 6)
            yield ListedRecording(utterance_id, path, f"{rttm.stem}/{speaker}", start_s, duration_s, split)


def _read_rttm(path: Path) -> list[Turn]:
    """Read the SPEAKER lines of an RTTM file: SPEAKER file channel start duration <NA> <NA> speaker <NA> <NA>."""
    turns: list[Turn] = []
    for number, line in read_lines(path):
        fields = line.split()
        if fields[0] != "SPEAKER":
            continue
        try:
            start_s, duration_s, speaker = float(fields[3]), float(fields[4]), fields[7]
        except (ValueError, IndexError):
            raise ManifestError(f"{path}, line {number}: is no SPEAKER line with start, duration and speaker") from None
        turns.append((start_s, round(start_s + duration_s, 6), speaker))  # the files count microseconds
    return sorted(turns)


def _without_overlap(turns: list[Turn]) -> Iterator[Turn]:
    """Yield what is left of each turn where nobody else speaks."""
    for start_s, end_s, speaker in turns:
        others = [turn for turn in turns if turn[2] != speaker and turn[0] < end_s and turn[1] > start_s]
        for other_start_s, other_end_s, _ in others:  # in order of their starts
            if other_start_s > start_s:
                yield start_s, other_start_s, speaker
            start_s = max(start_s, other_end_s)
        if start_s < end_s:
            yield start_s, end_s, speaker


def _vc_mix(title: str, root: Path, split: str) -> Iterator[ListedRecording]:
    """Yield VoxCeleb1's test half and the clips of VoxConverse, whose speakers only the trial list knows."""
    targets = next(place for place in (root / "voxceleb1", root / _MERGED, root) if place.is_dir())
    yield from VOXCELEB1.recordings(targets, "speech", "test")
    clips = folder_of(title, root, "voxconverse_test_SV", _MERGED, ".", holding="*/*.wav")
    for path in sorted(clips.glob("*/*.wav")):  # those of VoxCeleb1 lie one folder deeper
        yield ListedRecording(str(path.relative_to(clips).with_suffix("")), path, split=split)


_TITLE, _SPLITS = "VoxConverse", ("dev", "test")
VOXCONVERSE = Dataset(_TITLE, {"speech": splits_of(partial(_voxconverse, whole_turns=False), *_SPLITS)})
VOXCONVERSE_TURNS = Dataset(_TITLE, {"speech": splits_of(partial(_voxconverse, whole_turns=True), *_SPLITS)})
VC_MIX = Dataset("VC-Mix", {"speech": {"test": _vc_mix}})
