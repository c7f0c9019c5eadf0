"""MUSAN and RIRS_NOISES: what speech is mixed and convolved with.

MUSAN: Snyder, Chen, Povey, "MUSAN: A Music, Speech, and Noise Corpus", arXiv 1510.08484 (OpenSLR 17).
    musan/{noise,music,speech}/SOURCE/KIND-SOURCE-NNNN.wav
RIRS_NOISES: Ko et al., "A study on data augmentation of reverberant speech", ICASSP 2017 (OpenSLR 28).
    RIRS_NOISES/simulated_rirs/{small,medium,large}room/RoomNNN/RoomNNN-NNNNN.wav
    RIRS_NOISES/real_rirs_isotropic_noises/*.wav, of which rir_list and noise_list say which is which
    RIRS_NOISES/pointsource_noises/noise-free-sound-NNNN.wav
Where a speaker would stand, an entry names its room: responses of one room belong on one side of a split.
"""

from collections.abc import Iterator
from pathlib import Path

from reseed.stages.audio.datasets.base import WHOLE, Dataset, folder_of
from reseed.stages.audio.listed import ListedRecording, read_lines
from reseed.stages.audio.listing import audio_files

_MUSAN = "MUSAN"
_RIRS_NOISES = "RIRS_NOISES"
_SIMULATED = ("smallroom", "mediumroom", "largeroom")
_REAL = "real_rirs_isotropic_noises"


def _musan(root: Path, kind: str, split: str) -> Iterator[ListedRecording]:
    """Yield one kind; nobody says who speaks in its speech, so each recording is its own speaker in babble."""
    folder = folder_of(_MUSAN, root, kind, f"musan/{kind}", holding="*/*.wav")
    for path in audio_files(folder):
        yield ListedRecording(str(path.relative_to(folder.parent).with_suffix("")), path, split=split)


def _rirs_noises(root: Path, kind: str, split: str) -> Iterator[ListedRecording]:
    if split in _SIMULATED:
        yield from _simulated(root, split)
    elif split == "pointsource":
        folder = _part(root, "pointsource_noises", "*.wav")
        yield from (ListedRecording(f"{folder.name}/{path.stem}", path, split=split) for path in audio_files(folder))
    else:
        yield from _measured(root, {"rir": "rir_list", "noise": "noise_list"}[kind], split)


def _simulated(root: Path, split: str) -> Iterator[ListedRecording]:
    folder = _part(root, f"simulated_rirs/{split}", "Room*/*.wav", split)
    for path in audio_files(folder):
        room = f"{split}/{path.parent.name}"
        yield ListedRecording(f"simulated_rirs/{room}/{path.stem}", path, room, split=split)


def _measured(root: Path, list_name: str, split: str) -> Iterator[ListedRecording]:
    """Yield what a list names: "--rir-id ID --room-id ROOM ... PATH", the path beginning above RIRS_NOISES."""
    folder = _part(root, _REAL, list_name)
    for _, line in read_lines(folder / list_name):
        fields = line.split()
        options = dict(zip(fields[:-1:2], fields[1:-1:2], strict=False))
        path = folder / Path(fields[-1]).name
        room = options.get("--room-id") or options.get("--room-linkage")
        yield ListedRecording(f"{_REAL}/{path.stem}", path, room, split=split)


def _part(root: Path, inside: str, holding: str, *also: str) -> Path:
    return folder_of(_RIRS_NOISES, root, inside, f"{_RIRS_NOISES}/{inside}", *also, holding=holding)


MUSAN = Dataset(_MUSAN, {"noise": WHOLE, "music": WHOLE, "speech": WHOLE}, _musan)
RIRS_NOISES = Dataset(_RIRS_NOISES, {"rir": (*_SIMULATED, "real"), "noise": ("pointsource", "isotropic")}, _rirs_noises)
