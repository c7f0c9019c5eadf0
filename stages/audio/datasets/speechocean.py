"""speechocean762, English read by Mandarin speakers.

Zhang et al., "speechocean762: An Open-Source Non-native English Speech Corpus", Interspeech 2021 (OpenSLR 101).
    WAVE/SPEAKERNNNN/UTTERANCE.WAV; {train,test}/{wav.scp,utt2spk,spk2utt}
"""

from collections.abc import Iterator
from pathlib import Path

from reseed.stages.audio.datasets.base import Dataset, folder_of, splits_of
from reseed.stages.audio.kaldi import list_kaldi
from reseed.stages.audio.listed import ListedRecording


def _listed(title: str, root: Path, split: str) -> Iterator[ListedRecording]:
    """Yield a Kaldi directory whose wav.scp counts from the folder above it."""
    folder = folder_of(title, root, split, f"{title}/{split}", holding="wav.scp")
    return list_kaldi(folder, folder.parent, split)


SPEECHOCEAN762 = Dataset("speechocean762", {"speech": splits_of(_listed, "train", "test")})
