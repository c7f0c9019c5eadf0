"""LibriTTS-R and Libri-Light, read speech from LibriVox; SEED is trained on parts of both.

LibriTTS-R: Koizumi et al., "LibriTTS-R: A Restored Multi-Speaker Text-to-Speech Corpus", Interspeech 2023
(OpenSLR 141).
    LibriTTS_R/train-clean-100/SPEAKER/CHAPTER/SPEAKER_CHAPTER_PARAGRAPH_SENTENCE.wav, 24 kHz
Libri-Light: Kahn et al., "Libri-Light: A Benchmark for ASR with Limited or No Supervision", ICASSP 2020.
    small/SPEAKER/BOOK/CHAPTER.flac, and beside each a CHAPTER.json that repeats the speaker
"""

from collections.abc import Iterator
from pathlib import Path

from reseed.stages.audio.datasets.base import Dataset, folder_of
from reseed.stages.audio.listed import ListedRecording
from reseed.stages.audio.listing import audio_files

_LIBRITTS_R = "LibriTTS-R"
_LIBRI_LIGHT = "Libri-Light"


def _libritts_r(root: Path, kind: str, split: str) -> Iterator[ListedRecording]:
    """Yield sentences; their published ids name speaker and chapter and are unique in all splits."""
    spellings = (split, split.replace("-", "_"))
    candidates = [f"{above}{name}" for above in ("", "LibriTTS_R/") for name in spellings]
    folder = folder_of(_LIBRITTS_R, root, *candidates, holding="*/*/*.wav")
    for path in audio_files(folder):
        yield ListedRecording(path.stem, path, path.relative_to(folder).parts[0], split=split)


def _libri_light(root: Path, kind: str, split: str) -> Iterator[ListedRecording]:
    """Yield whole chapters; chapters of several books may share a name, so ids are paths."""
    folder = folder_of(_LIBRI_LIGHT, root, split, f"librilight/{split}", holding="*/*/*.flac")
    for path in audio_files(folder):
        relative = path.relative_to(folder)
        yield ListedRecording(f"{split}/{relative.with_suffix('')}", path, relative.parts[0], split=split)


LIBRITTS_R = Dataset(
    _LIBRITTS_R,
    {
        "speech": (
            "train-clean-100",
            "train-clean-360",
            "train-other-500",
            "dev-clean",
            "dev-other",
            "test-clean",
            "test-other",
        )
    },
    _libritts_r,
)
LIBRI_LIGHT = Dataset(_LIBRI_LIGHT, {"speech": ("small", "medium", "large")}, _libri_light)
