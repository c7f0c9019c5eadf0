"""CN-Celeb 1 and 2, Chinese celebrities in eleven genres.

Li et al., "CN-Celeb: multi-genre speaker recognition", Speech Communication 2022 (OpenSLR 82).
    CN-Celeb_flac/data/idNNNNN/GENRE-NN-NNN.flac, dev/dev.lst names the speakers for training
    CN-Celeb_flac/eval/enroll/idNNNNN-enroll.flac, the enrolment models, each the recordings of enroll.map in a row
    CN-Celeb_flac/eval/test/idNNNNN-GENRE-NN-NNN.flac; eval/lists/{enroll.lst,enroll.map,test.lst,trials.lst}
    CN-Celeb2_flac/data/idNNNNN/GENRE-NN-NNN.flac
The lists name .wav files although those of the release are .flac.
"""

from collections.abc import Iterator
from pathlib import Path

from reseed.stages.audio.datasets.base import WHOLE, Dataset, folder_of
from reseed.stages.audio.listed import ListedRecording, read_lines
from reseed.stages.audio.listing import AUDIO_SUFFIXES, audio_files
from reseed.store import ManifestError

_CN_CELEB = "CN-Celeb"
_CN_CELEB2 = "CN-Celeb2"


def _cn_celeb(root: Path, kind: str, split: str) -> Iterator[ListedRecording]:
    """Yield the speakers for training, the models and tests of the evaluation, or the recordings behind the models."""
    folder = _release(_CN_CELEB, root)
    if split == "dev":
        for speaker in _listed(folder / "dev" / "dev.lst"):
            yield from _of_speaker(folder / "data" / speaker, split)
    elif split == "eval":
        for path in (path for part in ("enroll", "test") for path in audio_files(folder / "eval" / part)):
            yield ListedRecording(
                str(path.relative_to(folder).with_suffix("")), path, path.name.split("-")[0], split=split
            )
    else:
        for name in dict.fromkeys(_recordings_of_models(folder / "eval" / "lists" / "enroll.map")):
            path = _as_released(folder / "data" / name)
            yield ListedRecording(str(Path(name).with_suffix("")), path, path.parent.name, split=split)


def _cn_celeb2(root: Path, kind: str, split: str) -> Iterator[ListedRecording]:
    for speaker in sorted((_release(_CN_CELEB2, root) / "data").glob("id*")):
        yield from _of_speaker(speaker, split)


def _release(title: str, root: Path) -> Path:
    above = (".", f"{title}_flac", f"{title}_wav", title)
    return folder_of(title, root, *(f"{folder}/data" for folder in above), holding="id*").parent


def _of_speaker(folder: Path, split: str) -> Iterator[ListedRecording]:
    for path in audio_files(folder):
        yield ListedRecording(f"{folder.name}/{path.stem}", path, folder.name, split=split)


def _recordings_of_models(enroll_map: Path) -> Iterator[str]:
    for line in _listed(enroll_map):
        yield from line.split()[1:]


def _as_released(path: Path) -> Path:
    """Return the file that a list names, whatever its suffix is on disk."""
    return next((found for suffix in sorted(AUDIO_SUFFIXES) if (found := path.with_suffix(suffix)).exists()), path)


def _listed(path: Path) -> Iterator[str]:
    if not path.exists():
        raise ManifestError(f"{path} does not exist; it comes with {_CN_CELEB} and is needed to tell its parts apart")
    return (line for _, line in read_lines(path))


CN_CELEB = Dataset(_CN_CELEB, {"speech": ("dev", "eval", "enroll")}, _cn_celeb)
CN_CELEB2 = Dataset(_CN_CELEB2, {"speech": WHOLE}, _cn_celeb2)
