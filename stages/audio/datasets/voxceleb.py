"""VoxCeleb1 and VoxCeleb2, interviews cut into utterances.

Nagrani et al., "VoxCeleb: Large-scale speaker verification in the wild", Computer Speech & Language 2020.
    wav/idNNNNN/VIDEO/NNNNN.wav in each archive of VoxCeleb1, aac/idNNNNN/VIDEO/NNNNN.m4a in those of VoxCeleb2
Utterance ids are as in the trial lists, without a suffix: id10270/x6uYqmx31kE/00001.
"""

from collections.abc import Iterator
from pathlib import Path

from reseed.stages.audio.datasets.base import Dataset, folder_of, splits_of, wrong_folder
from reseed.stages.audio.listed import ListedRecording
from reseed.stages.audio.listing import audio_files

_SPEAKERS = "id[0-9][0-9][0-9][0-9][0-9]"
_TEST_SPEAKERS = range(10270, 10310)  # the 40 people of VoxCeleb1's test half: names that start with E

# The lists of trials by their speakers: Vox1-O has the test half's, Vox1-E and Vox1-H have all.
_HALVES = {
    "dev": ("dev",),
    "test": ("test",),
    "1-O": ("test",),
    "1-E": ("dev", "test"),
    "1-H": ("dev", "test"),
}


def _voxceleb1(title: str, root: Path, split: str) -> Iterator[ListedRecording]:
    """Yield one split; both archives unpack to wav/, so the halves are told apart by their speakers."""
    for half in _HALVES[split]:
        for speaker in _speakers_of(title, root, half):
            yield from _utterances(speaker, split)


def _speakers_of(title: str, root: Path, half: str) -> list[Path]:
    places = (f"{half}/wav", f"vox1_{half}_wav/wav", f"vox1_{half}_wav", half, "wav", ".")
    for place in places:
        speakers = sorted((root / place).glob(_SPEAKERS))
        of_half = [folder for folder in speakers if (int(folder.name[2:]) in _TEST_SPEAKERS) == (half == "test")]
        if of_half:
            return of_half
    raise wrong_folder(f"{title} with {half} speakers", root, [f"{place}/idNNNNN" for place in places])


def _voxceleb2(title: str, root: Path, split: str) -> Iterator[ListedRecording]:
    """Yield one split: the development archive unpacks to dev/aac, the test archive to aac."""
    whole = ("wav", "aac") if split == "test" else (".",)
    places = (f"{split}/wav", f"{split}/aac", f"vox2_{split}_wav", f"vox2_{split}_aac", split, *whole)
    folder = folder_of(title, root, *places, holding=f"{_SPEAKERS}/*/*")
    for speaker in sorted(folder.glob(_SPEAKERS)):
        yield from _utterances(speaker, split)


def _utterances(speaker: Path, split: str) -> Iterator[ListedRecording]:
    for path in audio_files(speaker):
        utterance_id = str(path.relative_to(speaker.parent).with_suffix(""))
        is_aac = path.suffix.lower() == ".m4a"
        if not (is_aac and any(path.with_suffix(suffix).exists() for suffix in (".wav", ".flac"))):
            yield ListedRecording(utterance_id, path, speaker.name, split=split)


VOXCELEB1 = Dataset("VoxCeleb1", {"speech": splits_of(_voxceleb1, *_HALVES)})
VOXCELEB2 = Dataset("VoxCeleb2", {"speech": splits_of(_voxceleb2, "dev", "test")})
