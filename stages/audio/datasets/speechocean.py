"""speechocean762, English read by Mandarin speakers.

Zhang et al., "speechocean762: An Open-Source Non-native English Speech Corpus", Interspeech 2021 (OpenSLR 101).
    WAVE/SPEAKERNNNN/UTTERANCE.WAV; {train,test}/{wav.scp,utt2spk,spk2utt}
"""

from collections.abc import Iterator
from pathlib import Path

from reseed.stages.audio.datasets.base import Dataset, folder_of
from reseed.stages.audio.kaldi import list_kaldi
from reseed.stages.audio.listed import ListedRecording

_TITLE = "speechocean762"


def _speechocean762(root: Path, kind: str, split: str) -> Iterator[ListedRecording]:
    """Yield a Kaldi directory whose wav.scp counts from the folder above it."""
    folder = folder_of(_TITLE, root, split, f"{_TITLE}/{split}", holding="wav.scp")
    return list_kaldi(folder, folder.parent, split)


SPEECHOCEAN762 = Dataset(_TITLE, {"speech": ("train", "test")}, _speechocean762)
