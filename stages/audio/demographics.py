"""Gender and age of speakers, from the tables that come with data sets.

Read are comma- and tab-separated tables with a header (VoxCeleb's vox1_meta.csv and the tables of Common Voice among
them) and LibriSpeech's SPEAKERS.TXT. A column `source` beside the speaker makes the id "source/speaker". Of Common
Voice's ages, which are decades, the middle is taken: 25 for "twenties".
"""

import csv
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from reseed.stages.audio.listed import read_lines
from reseed.store import ManifestError

_COLUMN_NAMES = {
    "speaker": (
        "speaker_id",
        "speaker",
        "spk_id",
        "speaker id",
        "voxceleb1 id",
        "voxceleb2 id",
        "reader",
        "client_id",
        "id",
    ),
    "source": ("source",),
    "gender": ("gender", "sex"),
    "age": ("age",),
}
_GENDERS = {
    **dict.fromkeys(("f", "female", "woman", "female_feminine"), "female"),
    **dict.fromkeys(("m", "male", "man", "male_masculine"), "male"),
    "do_not_wish_to_say": "",
}
_DECADES = [
    "teens",
    "twenties",
    "thirties",
    "fourties",
    "fifties",
    "sixties",
    "seventies",
    "eighties",
    "nineties",
]  # as Common Voice spells
_AGES = {**{name: 15.0 + 10 * number for number, name in enumerate(_DECADES)}, "forties": 45.0}


@dataclass(frozen=True)
class Demographics:
    """Gender and age in years of a speaker, where known."""

    gender: str | None
    age: float | None


def gender_of(text: str) -> str | None:
    """Return "female", "male" or another word, by what a table says; None: it says nothing."""
    word = text.strip().lower()
    return _GENDERS.get(word, word) or None


def age_of(text: str) -> float | None:
    """Return an age in years; None: nothing is said.

    Raises:
        ValueError: it is neither a number nor one of Common Voice's decades.
    """
    word = text.strip().lower()
    age = _AGES[word] if word in _AGES else float(word or 0)
    return age if 0 < age < math.inf else None


def known_age(named: object) -> float | None:
    """Return the age in years that a list gives; None: it gives nothing that is one."""
    try:
        return age_of(str(named)) if isinstance(named, str | int | float) else None
    except ValueError:
        return None


def read_demographics(path: Path) -> dict[str, Demographics]:
    """Return what a table says of each speaker; where it has several rows of one, the first that says something.

    Raises:
        ManifestError: it cannot be read, has no column of speakers or none of gender or age, or an age is no number.
    """
    found: dict[str, Demographics] = {}
    columns: dict[str, int] | None = None
    for number, fields in _rows(read_lines(path)):
        if columns is None:
            columns = _columns(path, fields)
            continue
        row = {name: fields[index].strip(' "') if index < len(fields) else "" for name, index in columns.items()}
        if not row["speaker"]:
            continue
        name = "/".join(part for part in (row.get("source"), row["speaker"]) if part)
        known = found.get(name, Demographics(None, None))
        try:
            age = known.age if known.age is not None else age_of(row.get("age", ""))
        except ValueError:
            raise ManifestError(f"{path}, line {number}: the age {row['age']!r} is no number") from None
        found[name] = Demographics(known.gender or gender_of(row.get("gender", "")), age)
    return found


def _rows(lines: Iterator[tuple[int, str]]) -> Iterator[tuple[int, list[str]]]:
    """Yield (number, fields), the header first; LibriSpeech's is the last comment before its table."""
    header = [next(lines, (0, ""))]
    if header[0][1].startswith(";"):
        table = [*header, *lines]
        comments = [line for _, line in table if line.startswith(";") and "|" in line]
        yield 0, [field.strip() for field in (comments[-1] if comments else "").strip("; ").split("|")]
        yield from ((number, line.split("|")) for number, line in table if not line.startswith(";"))
        return
    is_tabbed = "\t" in header[0][1]
    for number, line in chain(header, lines):
        yield number, line.split("\t") if is_tabbed else next(csv.reader([line]), [])


def _columns(path: Path, header: list[str]) -> dict[str, int]:
    headings = [re.sub(r"\s+", " ", name).strip().lower() for name in header]
    columns = {}
    for name, choices in _COLUMN_NAMES.items():
        index = next((headings.index(choice) for choice in choices if choice in headings), None)
        if index is not None:
            columns[name] = index
    if "speaker" not in columns or not {"gender", "age"} & columns.keys():
        raise ManifestError(
            f"{path}: a table of speakers needs speaker_id and one of gender or age; it has {', '.join(header)}"
        )
    return columns
