"""What the columns of a list mean, by the names that toolkits of this field give them.

3D-Speaker (ID, dur, path, start, stop, spk), ESPnet, Hugging Face (file_name, audio, client_id), lhotse, NeMo
(audio_filepath, offset, duration, label), SpeechBrain (ID, wav, duration, start, stop, spk_id), wespeaker (key, wav,
spk). Names are compared without regard to case, blanks and hyphens.
"""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from reseed.stages.audio.demographics import gender_of, known_age
from reseed.stages.audio.listed import SAMPLES, SECONDS, UNTOLD, ListedRecording, channel_of
from reseed.stages.audio.listing import AUDIO_SUFFIXES
from reseed.stages.audio.lists.places import Places
from reseed.stages.audio.lists.row import Row
from reseed.stages.common.prose import first_few
from reseed.store import ManifestError
from reseed.store.url import AnyPath

_NAMES = {  # the first that a row has is taken
    "path": "path audio_filepath wav file audio_path audio_file_path wav_path wav_file wav_filename file_path filepath "
    "filename file_name audio_file audio_filename audio",
    "utterance_id": "utterance_id utt_id uttid utt id key segment_id uniq_id",
    "speaker_id": "speaker_id speaker spk_id spkid spk speakerid speaker_name speaker_label client_id label",
    "split": "split",
    "language": "language lang language_id locale",
    "gender": "gender sex",
    "age": "age",
    "channel": "channel channel_id",
}
_UNIT = r"(?:_(?:in_)?(?P<unit>s|secs?|seconds?|ms|msecs?|milliseconds?|samples?|frames?))?"
_TIMES = {
    "start": rf"(?:segment_|seg_|t_?)?(?:start|begin|onset|offset)(?:_time)?{_UNIT}|(?P<first>frame|sample)_offset",
    "stop": rf"(?:segment_|seg_|t_?)?(?:stop|end)(?:_time)?{_UNIT}",
    "duration": rf"(?:audio_|wav_|segment_|seg_)?(?:duration|dur|length){_UNIT}|(?:num_|n_?)?(?P<first>sample|frame)s",
}
_PLACEHOLDERS = frozenset(("infer", "unknown", "unk", "<unk>", "-", "--", "?", "none", "null", "nan", "n/a", "<na>"))
_TELLING = re.compile(
    r"(?:.*_)?(?:ids?|uid|spk(?:id)?|speakers?|utt(?:id)?|utterance|dur|duration|length|start|stop|begin|end|offset|"
    r"onset|channel|talker|reader)(?:_.*)?"
)


def _plain(name: object) -> str:
    return re.sub(r"[\s.-]+", "_", str(name).strip()).lower()


@lru_cache(maxsize=256)
def _roles(names: tuple[str, ...]) -> dict[str, tuple[tuple[str, str], ...]]:
    """Return role -> (name, unit) of each column that may fill it, the likelier first."""
    plain = {name: _plain(name) for name in names}
    found: dict[str, list[tuple[str, str]]] = {}
    for role, known in _NAMES.items():
        order = known.split()
        fitting = sorted((order.index(short), name) for name, short in plain.items() if short in order)
        found[role] = [(name, "") for _, name in fitting]
    is_onset = any(short.startswith("onset") for short in plain.values())  # then offset is the end
    for role, pattern in _TIMES.items():
        found[role] = []
        for name, short in plain.items():
            meant = short.replace("offset", "stop") if is_onset else short
            if match := re.fullmatch(pattern, meant):
                groups = match.groupdict()
                found[role].append((name, _unit(groups["unit"] or groups.get("first"))))
        found[role].sort(key=lambda each: each[1] == UNTOLD)
    return {role: tuple(each) for role, each in found.items()}


def _unit(word: str | None) -> str:
    if word is None or word.startswith("frame"):
        return UNTOLD
    return "ms" if word.startswith("m") else SAMPLES if word.startswith("sample") else SECONDS


def has_path(names: Iterable[object]) -> bool:
    """Whether one of some columns names recordings."""
    return bool(_roles(tuple(map(str, names)))["path"])


def has_speaker(values: Mapping[str, Any]) -> bool:
    """Whether one of some columns names a speaker."""
    return any(values.get(name) not in (None, "") for name, _ in _roles(tuple(map(str, values)))["speaker_id"])


def path_column(names: Sequence[str]) -> str:
    """Return that one of some columns which names recordings."""
    return _roles(tuple(names))["path"][0][0]


def no_path(source: str, names: Iterable[object]) -> ManifestError:
    """Return the error that says that none does."""
    known = ", ".join(_NAMES["path"].split()[:4])
    found = [text if (text := str(name)).isprintable() else ascii(text) for name in names]
    words = (word.strip("\"'") for name in found for word in name.split())
    is_headless = any(Path(word).suffix.lower() in AUDIO_SUFFIXES for word in words)
    advice = ": its first line is no header; put one before it, such as path,speaker" if is_headless else ""
    return ManifestError(
        f"{source} has no column for the path (one of {known}); it has {', '.join(found)[:500]}{advice}"
    )


def repeated_column(names: Sequence[str]) -> str | None:
    """Return a column that is read and comes twice; None: there is none."""
    counts = Counter(map(_plain, names))
    return next((name for name in read_columns(names) if counts[_plain(name)] > 1), None)


def read_columns(names: Iterable[object]) -> list[str]:
    """Return those of some columns that are read."""
    return [name for columns in _roles(tuple(map(str, names))).values() for name, _ in columns]


class Interpreter:
    """Turns rows of a list into recordings, and counts what there is to say about all of them.

    Args:
        split: the one to keep where the list names splits; None: all.
    """

    def __init__(self, split: str | None) -> None:
        self._places, self._split = Places(Path()), split
        self._unread: dict[str, None] = {}
        self._used: set[str] = set()
        self._placeholders: Counter[str] = Counter()
        self._other_splits: Counter[str] = Counter()
        self._is_first = True

    def begin(self, source: AnyPath) -> None:
        """Take what follows as the rows of a list."""
        self._places, self._is_first = Places(source), True

    def recording(self, row: Row) -> ListedRecording | None:
        """Return what a row lists; None: it is of another split.

        Raises:
            ManifestError: the first row has no column that names recordings.
        """
        if row.problem is not None:
            return self._refused(row, row.problem)
        names = tuple(map(str, row.values))
        if self._is_first and row.inside is None and not _roles(names)["path"]:
            raise no_path(str(self._places.source), names)
        self._is_first = False
        for name in _telling(names):
            if row.values[name] not in (None, "") and not (row.is_whole and name in _lengths(names)):
                self._unread[name] = None
        roles = _roles(names)
        split = self._value(row.values, roles["split"])[0]
        if self._split is not None and split is not None and str(split) != self._split:
            self._other_splits[str(split)] += 1
            return None
        return self._listed(row, roles, None if split is None else str(split))

    def _listed(self, row: Row, roles: Mapping[str, Sequence[tuple[str, str]]], split: str | None) -> ListedRecording:
        left_out = _TIMES if row.is_whole else ()
        given = {
            role: (None, SECONDS) if role in left_out else self._value(row.values, columns)
            for role, columns in roles.items()
        }
        path, utterance_id, speaker_id = (given[role][0] for role in ("path", "utterance_id", "speaker_id"))
        if isinstance(path, Mapping):  # Hugging Face's {"path": ..., "bytes": ...}
            path = path.get("path")
        if row.inside is None and (path in (None, "") or not isinstance(path, str | int)):
            return self._refused(
                row, "names no recording" if path in (None, "") else f"has the path {repr(path)[:200]}"
            )
        place = row.inside or self._places.of(str(path))
        problem = place.problem
        if isinstance(utterance_id, dict | list) or isinstance(speaker_id, dict | list):
            problem, utterance_id, speaker_id = f"has an id or speaker that is no text ({row.place})", None, None
        start, length, units = 0.0, None, (SECONDS, SECONDS)
        channel = None
        try:
            start, length, units = _stretch(given["start"], given["stop"], given["duration"])
            channel = channel_of(given["channel"][0])
        except (TypeError, ValueError, OverflowError) as error:
            problem = problem or f"has a start, duration or channel that is no number ({row.place}: {error})"
        return ListedRecording(
            place.name if utterance_id is None else str(utterance_id),
            place.path,
            self._speaker(speaker_id),
            start,
            length,
            split,
            problem,
            channel,
            units=units,
            has_id=utterance_id is not None,
            language=_word(given["language"][0]),
            gender=gender_of(_word(given["gender"][0]) or ""),
            age=known_age(given["age"][0]),
        )

    def notes(self) -> list[str]:
        """Return what there is to say about the list, one sentence each."""
        unread = [name for name in self._unread if name not in self._used]
        found = [f"columns that are not read: {', '.join(unread)}"] if unread else []
        if self._placeholders:
            labels = first_few(sorted(self._placeholders))
            found.append(f"{self._placeholders.total():,} labels are no speaker ({labels})")
        if self._other_splits:
            splits = first_few(sorted(self._other_splits))
            found.append(f"{self._other_splits.total():,} rows of other splits left out ({splits})")
        return found

    def _value(self, values: Mapping[str, Any], columns: Sequence[tuple[str, str]]) -> tuple[Any, str]:
        """Return the first value that is not blank, and its unit."""
        for name, unit in columns:
            value = values.get(name)
            if value is not None and value != "":
                self._used.add(name)
                return value, unit
        return None, SECONDS

    def _speaker(self, named: object) -> str | None:
        if named is None:
            return None
        text = str(named).strip()
        if text.lower() in _PLACEHOLDERS or not text:
            self._placeholders[text] += 1
            return None
        return text

    def _refused(self, row: Row, problem: str) -> ListedRecording:
        source = row.inside.path if row.inside else self._places.source
        name = (row.inside and row.inside.name) or f"{Path(str(source)).name}:{row.place}"
        return ListedRecording(name, source, problem=f"{row.place} {problem}")


def _lengths(names: tuple[str, ...]) -> list[str]:
    """Return the columns of durations: of a whole recording they say nothing that it does not."""
    return [name for name, _ in _roles(names)["duration"]]


def _word(named: object) -> str | None:
    text = str(named).strip() if isinstance(named, str) else ""
    return None if text.lower() in _PLACEHOLDERS else text or None


@lru_cache(maxsize=256)
def _telling(names: tuple[str, ...]) -> tuple[str, ...]:
    """Return the columns that look like ids, speakers or times by their names."""
    plain = {name: _plain(name) for name in names}
    return tuple(
        name for name in names if _TELLING.fullmatch(plain[name]) and not plain[name].startswith(("num_", "n_"))
    )


Stretch = tuple[float, float | None, tuple[str, str]]


def _stretch(start: tuple[Any, str], stop: tuple[Any, str], duration: tuple[Any, str]) -> Stretch:
    """Return start, length (None: to the end) and their units; of an end and a duration the end is taken.

    Raises:
        TypeError, ValueError, OverflowError: one is no number, or start and end are in different units.
    """
    first = _number(start[0]) if start[0] is not None else 0.0
    if stop[0] is None:
        unit = duration[1] if start[0] is None else start[1]
        length = None if duration[0] is None else _number(duration[0])
        return _in_seconds(first, length, (unit, duration[1] if length is not None else unit))
    unit = stop[1] if start[0] is None else start[1]
    if unit != stop[1]:
        raise ValueError("start and end are in different units")
    return _in_seconds(first, round(_number(stop[0]) - first, 9), (unit, unit))


def _in_seconds(
    start: float, length: float | None, units: tuple[str, str]
) -> tuple[float, float | None, tuple[str, str]]:
    """Turn milliseconds into seconds."""
    if units[0] == "ms":
        start = start / 1000
    if units[1] == "ms" and length is not None:
        length = length / 1000
    first, second = (SECONDS if unit == "ms" else unit for unit in units)
    return start, length, (first, second)


def _number(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, str | int | float) or "_" in str(value):
        raise ValueError(f"{value!r} is no number")
    try:
        return float(value)
    except ValueError:
        raise ValueError(f"{value!r} is not written like 62.5") from None
