"""Read speech from LibriVox: LibriSpeech, LibriTTS, LibriTTS-R and Libri-Light; SEED is trained on the last two.

LibriSpeech: Panayotov et al., ICASSP 2015 (OpenSLR 12).
    LibriSpeech/train-clean-100/SPEAKER/CHAPTER/SPEAKER-CHAPTER-NNNN.flac
LibriTTS: Zen et al., Interspeech 2019 (OpenSLR 60), 24 kHz. LibriTTS-R: Koizumi et al., "LibriTTS-R: A Restored
Multi-Speaker Text-to-Speech Corpus", Interspeech 2023 (OpenSLR 141).
    LibriTTS_R/train-clean-100/SPEAKER/CHAPTER/SPEAKER_CHAPTER_PARAGRAPH_SENTENCE.wav
Libri-Light: Kahn et al., "Libri-Light: A Benchmark for ASR with Limited or No Supervision", ICASSP 2020.
    small/SPEAKER/BOOK/CHAPTER.flac, and beside each a CHAPTER.json that repeats the speaker

Published ids name speaker and chapter and are unique in all splits. Chapters of Libri-Light are taken whole, and those
of several books may share a name, so that their ids are paths.
"""

from dataclasses import replace

from reseed.stages.audio.datasets.base import Dataset, splits_of
from reseed.stages.audio.datasets.trees import Tree

_PARTS = (
    "train-clean-100",
    "train-clean-360",
    "train-other-500",
    "dev-clean",
    "dev-other",
    "test-clean",
    "test-other",
)
_SENTENCES = Tree(("{split}", "LibriSpeech/{split}"), "{speaker}/*/*", id="{stem}", speaker="{speaker}")


def _tts(folder: str) -> Dataset:
    """Return LibriTTS or its like; archives of LibriTTS-R name splits with underscores, too."""
    listed = {}
    for part in _PARTS:
        names = (part, part.replace("-", "_"))
        places = tuple(f"{above}{name}" for above in ("", f"{folder}/") for name in names)
        listed[part] = replace(_SENTENCES, places=places)
    return Dataset(folder.replace("_", "-"), {"speech": listed})


LIBRISPEECH = Dataset("LibriSpeech", {"speech": splits_of(_SENTENCES, *_PARTS)})
LIBRITTS = _tts("LibriTTS")
LIBRITTS_R = _tts("LibriTTS_R")
LIBRI_LIGHT = Dataset(
    "Libri-Light",
    {
        "speech": splits_of(
            Tree(("{split}", "librilight/{split}"), "{speaker}/*/*", id="{split}/{path}", speaker="{speaker}"),
            *("small", "medium", "large"),
        )
    },
)
