"""`prepare`: recordings -> utterances.parquet and rejects.parquet. Every file is decoded once, from end to end.

Listing (what is there?) is apart from inspecting (can it be used?): a source yields entries, `prepare` inspects them.
Both are kept as columns, not as one object per utterance, so that a million utterances need little more memory than
their manifest.
"""

import math
import os
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray
from pydantic import Field

from reseed.stages.audio.datasets.table import DATASETS
from reseed.stages.audio.decode import inspect
from reseed.stages.audio.demographics import Person, read_people
from reseed.stages.audio.manifest import PERSON_SCHEMA, ROW_GROUP, UTTERANCES_SCHEMA
from reseed.stages.audio.sources import Entry, list_entries, named
from reseed.stages.common.section import AbsolutePath, OneOf, Section
from reseed.store import AudioError, ManifestError, Reject, write_rejects
from reseed.store.atomic import atomic_path, sha256_file

_CHUNK = 4096

_WRITTEN = pa.unify_schemas([UTTERANCES_SCHEMA, PERSON_SCHEMA])
_LISTED = pa.schema(
    {
        "utterance_id": pa.string(),
        "listed_path": pa.string(),
        "speaker_id": pa.string(),
        "start_s": pa.float64(),
        "listed_s": pa.float64(),
        "split": pa.string(),
        "problem": pa.string(),
    }
)
_FOUND = pa.schema(
    {
        "path": pa.string(),
        "sha256": pa.string(),
        "length_s": pa.float64(),
        "sample_rate_hz": pa.int32(),
        "channels": pa.int32(),
        "fault": pa.string(),
    }
)


class PrepareSettings(Section):
    """How recordings are listed and accepted.

    Attributes:
        dataset: a public data set by name ("voxceleb1", "musan", ...) whose unpacked copy the source is;
            none: the source is a folder of audio, a list or a Kaldi directory.
        speakers: a table of the speakers' gender and age (.csv, .tsv, or LibriSpeech's SPEAKERS.TXT); written into the
            manifest of speech, by which reports break down.
        min_duration_s: shorter utterances are rejected (speech only; a room response may be short).
        speaker_depth: for a folder: which part of the path names the speaker, counted from the file upwards
            (1 = the folder that holds the file); 0 = speakers unknown.
    """

    dataset: Annotated[str, OneOf(tuple(DATASETS))] | None = None
    speakers: AbsolutePath | None = None
    min_duration_s: float = Field(default=0.5, ge=0)
    speaker_depth: int = Field(default=1, ge=0)


def prepare(
    *,
    source: Path,
    utterances: Path,
    rejects: Path,
    settings: PrepareSettings,
    kind: str = "speech",
    split: str | None = None,
) -> str:
    """List the recordings under `source`, inspect each, and write the manifest and its rejects.

    Args:
        source: a folder of audio, a .csv or .jsonl list, a Kaldi directory (wav.scp, utt2spk, segments), or where
            the data set of the settings was unpacked.
        kind: "speech", "noise", "music" or "rir".
        split: of a data set: its own name of a part, or several joined by "+"; otherwise kept from lists that name
            splits, and written into the manifest.

    Returns:
        One sentence on what was found.

    Raises:
        ManifestError: nothing usable at `source`.
        ConfigError: no such data set, or it has no such kind or split.
    """
    people = read_people(settings.speakers) if settings.speakers and kind == "speech" else {}
    min_duration_s = settings.min_duration_s if kind == "speech" else 0.0
    if settings.dataset is None:
        entries = list_entries(source, settings.speaker_depth, split)
    else:
        entries = DATASETS[settings.dataset].entries(source, kind, split)
    listed = _listed(entries)
    inspected = _inspected(listed)
    usable, rejected = _judged(inspected, min_duration_s)
    kept, repeated = _told_apart(inspected, usable)
    rejected += repeated
    with named(rejects, "written"):
        write_rejects(rejects, rejected)
    if not len(kept):
        found = f"; the first of {len(rejected)}: {rejected[0].utterance_id}: {rejected[0].reason}" if rejected else ""
        raise ManifestError(f"{source}: no usable recording{found}")
    with named(utterances, "written"), atomic_path(utterances) as temporary:
        written = _write(temporary, inspected, kept, people)
    return _summary(source, written, len(rejected)) + _unknown(written, settings.speakers, people)


@dataclass(frozen=True)
class _Inspected:
    """What is listed [U], what is found in each file [F], and the number of each listed row's file (null: none) [U]."""

    listed: pa.Table
    found: pa.Table
    file_U: pa.Array

    def rows(self, numbers: NDArray[np.int64]) -> pa.Table:
        """Return some rows, listed and found side by side."""
        rows, found = self.listed.take(numbers), self.found.take(self.file_U.take(pa.array(numbers)))
        return pa.table({name: table[name] for table in (rows, found) for name in table.column_names})

    def in_turn(self, numbers: NDArray[np.int64]) -> Iterator[tuple[int, dict[str, Any]]]:
        """Yield (number, row) for some rows, never holding more than a chunk of them as objects."""
        for start in range(0, len(numbers), _CHUNK):
            chunk = numbers[start : start + _CHUNK]
            yield from zip(chunk.tolist(), self.rows(chunk).to_pylist(), strict=True)


def _listed(entries: Iterator[Entry]) -> pa.Table:
    chunks = iter(lambda: [_listed_row(entry) for entry in islice(entries, _CHUNK)], [])
    batches = (pa.RecordBatch.from_pylist(chunk, _LISTED) for chunk in chunks)
    return pa.Table.from_batches(batches, _LISTED).combine_chunks()


def _listed_row(entry: Entry) -> dict[str, Any]:
    row = {**vars(entry), "listed_path": str(entry.path), "listed_s": entry.duration_s}
    try:
        f"{entry.utterance_id}{entry.path}".encode()
    except UnicodeEncodeError:
        row["problem"] = "has a name that is not UTF-8; rename it"
        for name in ("utterance_id", "listed_path", "speaker_id"):
            row[name] = str(row[name]).encode(errors="backslashreplace").decode()
    return row


def _inspected(listed: pa.Table) -> _Inspected:
    """Decode each file once, whatever the number of rows that list it."""
    to_open = pc.if_else(pc.is_null(listed["problem"]), listed["listed_path"], pa.scalar(None, pa.string()))
    paths = pc.unique(to_open).drop_null().sort()
    batches = []
    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        for start in range(0, len(paths), _CHUNK):
            found = list(pool.map(_inspected_file, paths.slice(start, _CHUNK).to_pylist()))
            batches.append(pa.RecordBatch.from_pylist(found, _FOUND))
    file_U = pc.index_in(to_open, value_set=paths).combine_chunks()
    return _Inspected(listed, pa.Table.from_batches(batches, _FOUND).combine_chunks(), file_U)


def _inspected_file(listed_path: str) -> dict[str, Any]:
    path = Path(listed_path)
    try:
        sha256 = sha256_file(path) if path.is_file() else ""
        found = inspect(path)
    except AudioError as error:
        return {"fault": str(error)}
    except OSError as error:
        return {"fault": f"cannot be read ({error.strerror})"}
    return {
        "path": str(path.resolve()),
        "sha256": sha256,
        "length_s": found.duration_s,
        "sample_rate_hz": found.sample_rate_hz,
        "channels": found.channels,
    }


def _judged(inspected: _Inspected, min_duration_s: float) -> tuple[NDArray[np.bool_], list[Reject]]:
    """Return which rows [U] can be used, and why not the others."""
    usable = np.ones(len(inspected.listed), np.bool_)
    rejected = []
    for number, row in inspected.in_turn(np.arange(len(usable))):
        reason = _reason(row, min_duration_s)
        if reason is not None:
            usable[number] = False
            rejected.append(_reject(row, reason))
    return usable, rejected


def _reject(row: Mapping[str, Any], reason: str) -> Reject:
    return Reject(row["utterance_id"], "prepare", f"{row['listed_path']} {reason}")


def _reason(row: Mapping[str, Any], min_duration_s: float) -> str | None:
    """Return why a row cannot be in the manifest; None if it can."""
    if row["problem"] or row["fault"]:
        return str(row["problem"] or row["fault"])
    start_s, listed_s, length_s = row["start_s"], row["listed_s"], row["length_s"]
    if not (0 <= start_s < math.inf and 0 <= (listed_s or 0) < math.inf):
        return f"is listed from {start_s} s for {listed_s} s, which is no stretch of time"
    remaining_s = length_s - start_s
    duration_s = remaining_s if listed_s is None else listed_s
    if duration_s > remaining_s + 0.01:
        return f"ends at {length_s:.2f} s, before the stretch {start_s:.2f} + {duration_s:.2f} s"
    if duration_s < min_duration_s:
        return f"is too short: {duration_s:.3f} s, at least {min_duration_s} s are wanted"
    return None


def _told_apart(inspected: _Inspected, usable: NDArray[np.bool_]) -> tuple[NDArray[np.int64], list[Reject]]:
    """Return the usable rows in the order of their ids; of rows with the same id, the first that was listed."""
    ids = inspected.listed["utterance_id"].combine_chunks()
    order = pc.sort_indices(ids).to_numpy().astype(np.int64)  # a stable sort
    order = order[usable[order]]
    ordered = ids.take(pa.array(order))
    is_first = np.ones(len(order), np.bool_)
    is_first[1:] = pc.not_equal(ordered[1:], ordered[:-1]).to_numpy(zero_copy_only=False)
    first = order[np.maximum.accumulate(np.where(is_first, np.arange(len(order)), 0))]
    repeated = zip(inspected.in_turn(order[~is_first]), inspected.in_turn(first[~is_first]), strict=True)
    return order[is_first], [
        _reject(row, f"has the utterance id of {original['listed_path']}") for (_, row), (_, original) in repeated
    ]


def _write(path: Path, inspected: _Inspected, kept: NDArray[np.int64], people: Mapping[str, Person]) -> pa.Table:
    """Write the manifest a row group at a time and return of it what the summary tells."""
    written = []
    with pq.ParquetWriter(path, _WRITTEN) as writer:
        for start in range(0, len(kept), ROW_GROUP):
            table = _manifest(inspected.rows(kept[start : start + ROW_GROUP]), people)
            writer.write_table(table)
            written.append(table.select(["speaker_id", "duration_s", "sample_rate_hz", "channels"]))
    return pa.concat_tables(written)


def _manifest(rows: pa.Table, people: Mapping[str, Person]) -> pa.Table:
    remaining_s = pc.subtract(rows["length_s"], rows["start_s"])
    duration_s = pc.min_element_wise(rows["listed_s"], remaining_s)  # skips nulls
    rows = rows.append_column("duration_s", duration_s)
    known = [people.get(speaker) for speaker in rows["speaker_id"].to_pylist()]
    for field in PERSON_SCHEMA:
        column = [person and getattr(person, field.name) for person in known]
        rows = rows.append_column(field, pa.array(column, field.type))
    return rows.select(_WRITTEN.names).cast(_WRITTEN)


def _unknown(accepted: pa.Table, table: Path | None, people: Mapping[str, Person]) -> str:
    """Say how many speakers a table of speakers does not know; ids in another form are the usual reason."""
    if not people:
        return ""
    strangers = sorted(set(pc.unique(accepted["speaker_id"]).to_pylist()) - {None} - people.keys())
    return f", {len(strangers)} speakers not in {table}, e.g. {strangers[0]}" if strangers else ""


def _summary(source: Path, accepted: pa.Table, rejected: int) -> str:
    speakers = pc.count_distinct(accepted["speaker_id"]).as_py()
    return ", ".join(
        [
            f"{source}: {len(accepted)} recordings",
            f"{speakers} speakers" if speakers else "speakers unknown",
            f"{pc.sum(accepted['duration_s']).as_py() / 60:.1f} min",
            f"{rejected} rejected",
            *_conversions(accepted),
        ]
    )


def _conversions(accepted: pa.Table) -> Iterable[str]:
    counted = pc.value_counts(accepted["sample_rate_hz"]).to_pylist()
    rates = {pair["values"]: pair["counts"] for pair in counted}
    if len(rates) > 1:
        yield "mixed rates " + ", ".join(f"{rate} Hz x {count}" for rate, count in sorted(rates.items()))
    several = pc.sum(pc.greater(accepted["channels"], 1)).as_py()
    if several:
        yield f"{several} with several channels (averaged)"
