"""Mozilla Common Voice, sentences read by volunteers in many languages, an archive each.

Ardila et al., LREC 2020; layout as in lhotse/recipes/commonvoice.py.
    cv-corpus-VERSION/LANGUAGE/clips/common_voice_LANGUAGE_NNNNNNNN.mp3
    {train,dev,test,validated,other,invalidated}.tsv beside clips: client_id, path, sentence, age, gender, locale, ...
A client stands for a speaker, although several people may share one (Zhang et al., Interspeech 2025).
"""

from collections.abc import Iterator
from pathlib import Path

from reseed.stages.audio.datasets.base import Dataset, folder_of, splits_of
from reseed.stages.audio.demographics import gender_of, known_age
from reseed.stages.audio.listed import ListedRecording
from reseed.stages.audio.lists.delimited import delimited_rows


def _clips(title: str, root: Path, split: str) -> Iterator[ListedRecording]:
    """Yield the clips of one table; a row that cannot be read is a reject with its line."""
    folder = folder_of(title, root, ".", "*", "*/*", holding=f"{split}.tsv")
    table = folder / f"{split}.tsv"
    for row in delimited_rows(table, "utf-8-sig"):
        name = str(row.values.get("path") or "")
        if row.problem or not name:
            problem = f"{row.place} {row.problem or 'names no recording'}"
            yield ListedRecording(f"{table.name}:{row.place}", table, problem=problem, split=split)
            continue
        language = row.values.get("locale") or folder.name
        speaker_id = row.values.get("client_id") or None
        path = folder / "clips" / name
        yield ListedRecording(
            path.stem,
            path,
            speaker_id,
            split=split,
            language=language,
            gender=gender_of(row.values.get("gender") or ""),
            age=known_age(row.values.get("age")),
        )


COMMON_VOICE = Dataset(
    "Common Voice", {"speech": splits_of(_clips, "train", "dev", "test", "validated", "other", "invalidated")}
)
