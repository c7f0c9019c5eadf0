"""VOiCES, read speech played and recorded again in real rooms, with and without a distractor.

Richey et al., "Voices Obscured in Complex Environmental Settings (VOiCES) corpus", Interspeech 2018.
    VOiCES_devkit/source-16k/{train,test}/spNNNN/Lab41-SRI-VOiCES-src-spNNNN-chNNNNNN-sgNNNN.wav
    VOiCES_devkit/distant-16k/speech/{train,test}/ROOM/DISTRACTOR/spNNNN/
        Lab41-SRI-VOiCES-ROOM-DISTRACTOR-spNNNN-chNNNNNN-sgNNNN-mcNN-TYPE-PLACE-dgNNN.wav
and its speaker recognition challenge: Nandwana et al., Interspeech 2019.
    Development_Data/Speaker_Recognition/sid_dev/spNNNN/*.wav and Speaker_Recognition/sid_eval/*.wav
"""

import re
from collections.abc import Iterator
from pathlib import Path

from reseed.stages.audio.datasets.base import Dataset, folder_of, splits_of
from reseed.stages.audio.listed import ListedRecording
from reseed.stages.audio.listing import audio_files

_HALVES = ("train", "test")
_ROOMS = ("rm1", "rm2", "rm3", "rm4")
_DISTRACTORS = ("none", "babb", "musi", "tele")
_SPEAKER = re.compile(r"-(sp\d{4})-")


def _listed(title: str, root: Path, split: str) -> Iterator[ListedRecording]:
    """Yield one split; an entry of the distant part says room and distractor as its split, e.g. test-rm1-babb."""
    if split.startswith("sid_"):
        yield from _challenge(title, root, split)
    elif split.startswith("source-"):
        folder = _devkit(title, root, f"source-16k/{split.removeprefix('source-')}")
        yield from (_entry(path, path.stem, split) for path in audio_files(folder))
    else:
        half, *condition = split.split("-")
        folder = _devkit(title, root, f"distant-16k/speech/{half}")
        for path in audio_files(folder.joinpath(*condition)):
            room, distractor = path.relative_to(folder).parts[:2]
            yield _entry(path, path.stem, f"{half}-{room}-{distractor}")


def _challenge(title: str, root: Path, split: str) -> Iterator[ListedRecording]:
    """Yield a set of the 2019 challenge, with ids as its lists name the files; who speaks in sid_eval is not given."""
    above = {"sid_dev": "Development_Data/", "sid_eval": "Evaluation_Data/"}[split]
    inside = f"Speaker_Recognition/{split}"
    folder = folder_of(title, root, f"{above}{inside}", inside, split)
    for path in audio_files(folder):
        yield _entry(path, str(path.relative_to(folder.parent).with_suffix("")), split)


def _devkit(title: str, root: Path, folder: str) -> Path:
    return folder_of(title, root, folder, f"VOiCES_devkit/{folder}", f"VOiCES_release/{folder}")


def _entry(path: Path, utterance_id: str, split: str) -> ListedRecording:
    speaker = _SPEAKER.search(path.stem)
    return ListedRecording(utterance_id, path, speaker[1] if speaker else None, split=split)


VOICES = Dataset(
    "VOiCES",
    {
        "speech": splits_of(
            _listed,
            *_HALVES,
            *(f"{half}-{room}" for half in _HALVES for room in _ROOMS),
            *(f"{half}-{room}-{noise}" for half in _HALVES for room in _ROOMS for noise in _DISTRACTORS),
            *(f"source-{half}" for half in _HALVES),
            *("sid_dev", "sid_eval"),
        )
    },
)
