"""CN-Celeb 1 and 2, Chinese celebrities in eleven genres.

Li et al., "CN-Celeb: multi-genre speaker recognition", Speech Communication 2022 (OpenSLR 82).
    CN-Celeb_flac/data/idNNNNN/GENRE-NN-NNN.flac, dev/dev.lst names the speakers for training
    CN-Celeb_flac/eval/enroll/idNNNNN-enroll.flac, the enrolment models, each the recordings of enroll.map in a row
    CN-Celeb_flac/eval/test/idNNNNN-GENRE-NN-NNN.flac; eval/lists/{enroll.lst,enroll.map,test.lst,trials.lst}
    CN-Celeb2_flac/data/idNNNNN/GENRE-NN-NNN.flac
The lists name .wav files although those of the release are .flac.
"""

from collections.abc import Iterator
from itertools import chain
from pathlib import Path

from reseed.stages.audio.datasets.base import WHOLE, Dataset, as_released, folder_of, splits_of
from reseed.stages.audio.datasets.trees import Tree
from reseed.stages.audio.listed import ListedRecording, read_lines
from reseed.stages.audio.listing import audio_files
from reseed.store import ManifestError

_CN_CELEB = "CN-Celeb"


def _listed(title: str, root: Path, split: str) -> Iterator[ListedRecording]:
    """Yield the speakers for training, the models and tests of the evaluation, or the recordings behind the models."""
    above = (".", "CN-Celeb_flac", "CN-Celeb_wav", title)
    folder = folder_of(title, root, *(f"{name}/data" for name in above), holding="id*").parent
    if split == "dev":
        for speaker in _lines(folder / "dev" / "dev.lst"):
            for path in audio_files(folder / "data" / speaker):
                yield ListedRecording(f"{speaker}/{path.stem}", path, speaker, split=split)
    elif split == "eval":
        for path in (path for part in ("enroll", "test") for path in audio_files(folder / "eval" / part)):
            utterance_id = str(path.relative_to(folder).with_suffix(""))
            yield ListedRecording(utterance_id, path, path.name.split("-")[0], split=split)
    else:
        models = (line.split()[1:] for line in _lines(folder / "eval" / "lists" / "enroll.map"))
        for name in dict.fromkeys(chain.from_iterable(models)):
            path = as_released(folder / "data" / name)
            yield ListedRecording(str(Path(name).with_suffix("")), path, path.parent.name, split=split)


def _lines(path: Path) -> Iterator[str]:
    if not path.exists():
        raise ManifestError(f"{path} does not exist; it comes with {_CN_CELEB} and is needed to tell its parts apart")
    return (line for _, line in read_lines(path))


CN_CELEB = Dataset(_CN_CELEB, {"speech": splits_of(_listed, "dev", "eval", "enroll")})
CN_CELEB2 = Dataset(
    "CN-Celeb2",
    {
        "speech": {
            WHOLE: Tree(
                ("data", "CN-Celeb2_flac/data", "CN-Celeb2_wav/data", "CN-Celeb2/data"),
                "{speaker:id*}/*",
                speaker="{speaker}",
            )
        }
    },
)
