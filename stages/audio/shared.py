"""What training and evaluation both hear: the recordings, speakers and rooms that manifests of either side have.

Recordings are compared by content: by the bytes of their files, and by their decoded samples where the manifests have
them, so that what was renamed or put into another lossless container is found. What was resampled, cut or compressed
with loss is another recording.
"""

import hashlib
import math
import os
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from reseed.stages.audio.listed import ListedRecording
from reseed.stages.audio.location import ByteRange, Location
from reseed.stages.audio.manifest import CONTENT_SCHEMA, Manifest
from reseed.stages.audio.opener import opened_bytes
from reseed.stages.common.prose import counted, first_few
from reseed.store import AudioError, ManifestError
from reseed.store.atomic import write_json
from reseed.store.bounded import read_json

FIRST = 20
_SAMPLED = 2000  # files that are looked into: more would take seconds
_SAMPLE_BYTES = 1 << 14
_DIGESTS = ("sha256", *CONTENT_SCHEMA.names)
_WORDS = {"utterances": "speech", "rir": "room responses"}


@dataclass(frozen=True)
class Shared:
    """Something that both sides hear.

    Attributes:
        what: "recording", "speaker", "room" or, of stores, "vector".
        training, evaluation: what the recordings are on either side: "utterances", "babble", "noise", "music", "rir",
            "vectors".
        count: how many of those of evaluation are in training, `of` so many.
        examples: the first of them, as training and as evaluation call it.
    """

    what: str
    training: str
    evaluation: str
    count: int
    of: int
    examples: Sequence[tuple[str, str]]

    def __str__(self) -> str:
        """Return e.g. "2 of 12 recordings of noise: fan-01 (there f1), rain-02"."""
        words = _WORDS.get(self.evaluation, self.evaluation)
        kind = f" of {words}" if self.what == "recording" else ""
        there = "" if self.training == self.evaluation else f", there {_WORDS.get(self.training, self.training)}"
        few = first_few((b if a == b else f"{b} (there {a})" for a, b in self.examples), self.count)
        return f"{self.count:,} of {counted(self.of, self.what)}{kind}{there}: {few}"


def shared(training: Mapping[str, Manifest], evaluation: Mapping[str, Manifest]) -> list[Shared]:
    """Return what the manifests of two sides have in common, by what they are there for.

    Raises:
        ManifestError: one cannot be read.
    """
    here, there = ({role: _table(manifest) for role, manifest in _each_once(side)} for side in (training, evaluation))
    found: list[Shared] = []
    for of_evaluation, tested in there.items():
        for of_training, heard in here.items():
            both = of_training, of_evaluation
            found += _found("recording", both, len(tested), _recordings(heard, tested))
            if both == ("utterances", "utterances"):
                named = [_named(table["speaker_id"]) for table in (heard, tested)]
                found += _found("speaker", both, len(named[1]), ((name, name) for name in sorted(named[0] & named[1])))
            if both == ("rir", "rir"):
                rooms = [_rooms(table) for table in (heard, tested)]
                same = sorted(rooms[0].keys() & rooms[1].keys())
                found += _found("room", both, len(rooms[1]), ((rooms[0][room], rooms[1][room]) for room in same))
    return found


def seeming_copies(
    training: Mapping[str, Sequence[ListedRecording]], evaluation: Mapping[str, Sequence[ListedRecording]]
) -> dict[tuple[str, str], int]:
    """Return how many recordings of evaluation seem to be in training: of one size, and alike at three places.

    It takes a moment, and finds no other container; `shared` compares what was decoded.

    Args:
        training, evaluation: what is listed, by names, e.g. "noise/train".

    Returns:
        (name of training, name of evaluation) -> how many, where there are any.
    """
    paths = [{str(row.path) for rows in side.values() for row in rows} for side in (training, evaluation)]
    files = {path: _file(path) for path in paths[0] | paths[1]}
    both = set[int].intersection(*({files[path][0] for path in side} for side in paths)) - {0}
    alike = [path for path, (size, *_) in files.items() if size in both]
    are_sampled = len(alike) <= _SAMPLED  # else only what is one file, whatever its paths, is found
    names = {path: _sample(path) if are_sampled else str(files[path]) for path in alike}
    heard: dict[tuple[str, str], list[ListedRecording]] = defaultdict(list)
    for place, row in ((place, row) for place, rows in training.items() for row in rows):
        if name := names.get(str(row.path)):
            heard[place, name].append(row)
    found: Counter[tuple[str, str]] = Counter()
    for place, row in ((place, row) for place, rows in evaluation.items() for row in rows):
        if name := names.get(str(row.path)):
            for other in training:
                found[other, place] += any(_listed_overlap(row, there) for there in heard.get((other, name), ()))
    return +found


def _file(path: str) -> tuple[int, ...]:
    """Return size, device and number of a file, of a part of one also which it is; zeros where there is none."""
    location = Location.parse(path)
    try:
        found = os.stat(location.file)  # noqa: PTH116  (of 100,000 files, half the time of Path.stat)
    except OSError:
        return 0, 0, 0
    if isinstance(location.part, ByteRange):
        return location.part.length, found.st_dev, found.st_ino, location.part.start
    return found.st_size, found.st_dev, found.st_ino, *([] if location.part is None else [location.part.row])


def _sample(path: str) -> str:
    """Return a digest of the beginning, middle and end of a file; its path where it cannot be read."""
    try:
        with opened_bytes(Location.parse(path)) as file:
            size = file.seek(0, 2)
            hasher = hashlib.sha256()
            for place in (0, size // 2, max(0, size - _SAMPLE_BYTES)):
                file.seek(place)
                hasher.update(file.read(_SAMPLE_BYTES))
    except (OSError, AudioError):
        return path
    return hasher.hexdigest()


def _listed_overlap(one: ListedRecording, other: ListedRecording) -> bool:
    ends = [row.start_s + row.duration_s if row.duration_s is not None else math.inf for row in (one, other)]
    return max(one.start_s, other.start_s) < min(ends)


def write_shared(path: Path, found: Sequence[Shared]) -> None:
    write_json(path, [asdict(each) for each in found])


def read_shared(path: Path) -> list[Shared]:
    """Read what `write_shared` wrote.

    Raises:
        ManifestError: it is missing or another file.
    """
    try:
        rows: list[dict[str, Any]] = read_json(path)
        return [Shared(**row | {"examples": [(first, second) for first, second in row["examples"]]}) for row in rows]
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise ManifestError(f"{path} does not say what is shared ({error}); make it with `reseed leakage`") from error


def _each_once(side: Mapping[str, Manifest]) -> Iterator[tuple[str, Manifest]]:
    """Yield each manifest once: the babble of a side is most often its own speech."""
    seen: set[Path] = set()
    for role, manifest in side.items():
        if (path := manifest.path.resolve()) not in seen:
            seen.add(path)
            yield role, manifest


def _table(manifest: Manifest) -> pa.Table:
    columns = ["utterance_id", "speaker_id", "path", "start_s", "duration_s", "sha256", *CONTENT_SCHEMA.names]
    return manifest.table([name for name in columns if name in manifest.columns])


def _found(what: str, both: tuple[str, str], of: int, pairs: Iterator[tuple[str, str]]) -> Iterator[Shared]:
    every = list(pairs)
    if every:
        yield Shared(what, *both, len(every), of, every[:FIRST])


def _recordings(heard: pa.Table, tested: pa.Table) -> Iterator[tuple[str, str]]:
    """Yield, for each recording of evaluation that is in training, its id there and here."""
    by_content: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in _of_both(heard, tested):
        for digest in _digests(row):
            by_content[digest].append(row)
    for row in _of_both(tested, heard):
        same = (other for digest in _digests(row) for other in by_content[digest] if _overlap(row, other))
        if (first := next(same, None)) is not None:
            yield first["utterance_id"], row["utterance_id"]


def _of_both(table: pa.Table, other: pa.Table) -> list[dict[str, Any]]:
    """Return the rows of a table whose content the other one has."""
    names = [name for name in _DIGESTS if name in table.column_names and name in other.column_names]
    masks = [pc.is_in(table[name], value_set=pc.unique(other[name]), skip_nulls=True) for name in names]
    kept = masks[0] if len(masks) == 1 else pc.or_(*masks)
    rows: list[dict[str, Any]] = table.filter(kept).to_pylist()
    return rows


def _digests(row: Mapping[str, Any]) -> Iterator[str]:
    yield from (row[name] for name in _DIGESTS if row.get(name))


def _overlap(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether two stretches of one recording have a moment in common."""
    starts, ends = zip(*((row["start_s"], row["start_s"] + row["duration_s"]) for row in (one, other)), strict=True)
    return max(starts) < min(ends)


def _named(column: pa.ChunkedArray) -> set[str]:
    return set(pc.unique(column).to_pylist()) - {None}


def _rooms(table: pa.Table) -> dict[tuple[str, str], str]:
    """Return the rooms by name and folder: in another folder a room of the same name is another one."""
    places = zip(table["speaker_id"].to_pylist(), table["path"].to_pylist(), strict=True)
    return {(room, str(Path(path).parent)): room for room, path in places if room}
