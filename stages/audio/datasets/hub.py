"""Data sets that Hugging Face publishes as tables in Parquet which hold the recordings.

GLOBE: Wang, Song, Jha, Interspeech 2024; huggingface.co/datasets/MushanW/GLOBE and GLOBE_V2.
    data/{train,val,test}-NNNNN-of-NNNNN.parquet of audio {bytes, path}, speaker_id, age, gender, ...
People's Speech: Galvez et al., NeurIPS 2021; huggingface.co/datasets/MLCommons/peoples_speech.
    {clean,clean_sa,dirty,dirty_sa}/train-NNNNN-of-NNNNN.parquet of id, audio, duration_ms, text, beside
    {validation,test}-*.parquet that all of them share; nobody says who speaks
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from reseed.stages.audio.datasets.base import Dataset, Listing, folder_of, splits_of
from reseed.stages.audio.listed import ListedRecording
from reseed.stages.audio.lists.table import list_recordings


@dataclass(frozen=True)
class Tables:
    """The tables of a split: a listing, as `Dataset` takes it.

    Attributes:
        places: folders in which they may lie; the first that has any is it.
        files: their names, of which * is any part and {split} the name of the split.
    """

    places: tuple[str, ...]
    files: str = "{split}-*.parquet"

    def __call__(self, title: str, root: Path, split: str) -> Iterator[ListedRecording]:
        files = self.files.replace("{split}", split)
        folder = folder_of(title, root, *self.places, holding=files)
        for table in sorted(folder.glob(files)):
            for recording in list_recordings(table, speaker_depth=0, split=None):
                yield replace(recording, split=split)


_SUBSETS: dict[str, Listing] = {
    name: Tables((name,), "train-*.parquet") for name in ("clean", "clean_sa", "dirty", "dirty_sa")
}
GLOBE = Dataset("GLOBE", {"speech": splits_of(Tables(("data", ".")), "train", "val", "test")})
PEOPLES_SPEECH = Dataset(
    "People's Speech", {"speech": {**_SUBSETS, **splits_of(Tables(("clean", "*")), "validation", "test")}}
)
