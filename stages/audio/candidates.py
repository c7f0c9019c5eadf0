"""From listed recordings to the rows of a manifest: every file is decoded once, from end to end, and the unusable go.

All of it is kept as columns, not as one object per utterance, so that a million utterances need little more memory
than their manifest.

Shapes: U listed rows, F files.
"""

import math
import os
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from reseed.stages.audio.decode import inspect
from reseed.stages.audio.listed import ListedRecording
from reseed.stages.audio.location import ByteRange, Location
from reseed.stages.audio.opener import sha256_of
from reseed.store import AudioError, Reject
from reseed.store.remote import REQUESTS
from reseed.store.url import is_url

_CHUNK = 4096
_OBJECTS = 2048  # rows at a time that are objects, a kilobyte or two each
_LEAST_OF_CUT_S = 0.1  # of a stretch that ends behind the recording, as Kaldi's extract-segments has it
_WIDEBAND_HZ = 16_000  # no network here hears more, so that only to go below it changes what it hears
_LISTED = pa.schema(
    {
        "utterance_id": pa.string(),
        "listed_path": pa.string(),
        "speaker_id": pa.string(),
        "start_s": pa.float64(),
        "listed_s": pa.float64(),
        "split": pa.string(),
        "problem": pa.string(),
        "channel": pa.int32(),
        "start_unit": pa.string(),
        "length_unit": pa.string(),
        "has_id": pa.bool_(),
        "overshoot_s": pa.float64(),
        "rate_hz": pa.int32(),
        "language": pa.string(),
        "gender": pa.string(),
        "age": pa.float64(),
        "crc32": pa.uint32(),
    }
)
_FOUND = pa.schema(
    {
        "path": pa.string(),
        "sha256": pa.string(),
        "samples_sha256": pa.string(),
        "container": pa.string(),
        "codec": pa.string(),
        "length_s": pa.float64(),
        "sample_rate_hz": pa.int32(),
        "channels": pa.int32(),
        "silent_channels": pa.list_(pa.int32()),
        "fault_of_mean": pa.string(),
        "fault": pa.string(),
    }
)
_OPEN = -2  # no channel is named
_COUNTED_FROM_1 = "has channels that seem to be counted from 1: count them from 0 in the list, or name A and B"
NAMED = "named in the list"  # which channel of several is taken, beside the settings below
ONLY = "the only one"  # where the list names another
CHANNELS = {"mean": "averaged", "first": "the first of each", "each": "each an utterance"}


@dataclass(frozen=True)
class Candidates:
    """What is listed [U], what is found in each file [F], and the number of each listed row's file (null: none) [U]."""

    listed: pa.Table
    found: pa.Table
    file_U: pa.Array

    def rows(self, numbers: NDArray[np.int64]) -> pa.Table:
        """Return some rows, listed and found side by side."""
        rows, found = self.listed.take(numbers), self.found.take(self.file_U.take(pa.array(numbers)))
        return pa.table({name: table[name] for table in (rows, found) for name in table.column_names})

    def iterate(self, numbers: NDArray[np.int64]) -> Iterator[tuple[int, dict[str, Any]]]:
        """Yield (number, row) for some rows, never holding more than a chunk of them as objects."""
        for start in range(0, len(numbers), _OBJECTS):
            chunk = numbers[start : start + _OBJECTS]
            yield from zip(chunk.tolist(), self.rows(chunk).to_pylist(), strict=True)


def inspect_listed(recordings: Iterator[ListedRecording]) -> Candidates:
    """Decode each file once, whatever the number of rows that list it."""
    chunks = iter(lambda: [_listed_row(recording) for recording in islice(recordings, _OBJECTS)], [])
    batches = [pa.RecordBatch.from_pylist(chunk, _LISTED) for chunk in chunks]
    listed = pa.Table.from_batches(batches, _LISTED).combine_chunks()
    to_open = pc.if_else(pc.is_null(listed["problem"]), listed["listed_path"], pa.scalar(None, pa.string()))
    paths = pc.unique(to_open).drop_null()  # as they are listed: recordings of an archive as they lie in it
    crc32_F = listed["crc32"].take(pc.index_in(paths, value_set=to_open)).to_pylist()
    batches = []
    threads = len(os.sched_getaffinity(0))
    if any(map(is_url, paths.slice(0, 1).to_pylist())):
        threads = max(threads, REQUESTS)
    with ThreadPoolExecutor(threads) as pool:
        for start in range(0, len(paths), _CHUNK):
            chunk = slice(start, start + _CHUNK)
            found = list(pool.map(_inspected_file, paths[chunk].to_pylist(), crc32_F[chunk]))
            batches.append(pa.RecordBatch.from_pylist(found, _FOUND))
    file_U = pc.index_in(to_open, value_set=paths).combine_chunks()
    return Candidates(listed, pa.Table.from_batches(batches, _FOUND).combine_chunks(), file_U)


def choose_channels(candidates: Candidates, setting: str, is_averaged: bool = True) -> Candidates:
    """Settle which channel each row is of; of a file of one channel it is the only one, whatever it was called.

    Args:
        setting: of CHANNELS, what is done where the list names none of several.
        is_averaged: whether several are read as their average where none is chosen; otherwise the first is.
    """
    listed, file_U = candidates.listed, candidates.file_U
    channels_U = pc.fill_null(candidates.found["channels"].combine_chunks().take(file_U), 1).to_numpy()
    named_U = pc.fill_null(listed["channel"], _OPEN).to_numpy()
    problems = (
        ("has one channel, and the list names several of it", _files_of_two(named_U, file_U, channels_U)),
        (_COUNTED_FROM_1, _counted_from_1(named_U, channels_U)),
    )
    for problem, is_wrong_U in problems:
        if is_wrong_U.any():
            listed = with_column(listed, "problem", pc.if_else(pa.array(is_wrong_U), problem, listed["problem"]))
    is_open_U = (named_U == _OPEN) & (channels_U > 1)
    copies_U = np.where(is_open_U, channels_U if setting == "each" else 1, 1)
    row_V = np.repeat(np.arange(len(copies_U)), copies_U)
    copy_V = np.arange(len(row_V)) - np.repeat(np.cumsum(copies_U) - copies_U, copies_U)
    is_open_V = is_open_U[row_V]
    channel_V = np.where(is_open_V & (setting != "mean"), copy_V, named_U[row_V])
    listed = listed.take(pa.array(row_V))
    if setting == "each":
        suffix_V = pa.array(np.where(is_open_V, np.char.add("-ch", copy_V.astype(str)), "").astype(object), pa.string())
        ids_V = pc.binary_join_element_wise(listed["utterance_id"].combine_chunks(), suffix_V, "")
        listed = with_column(listed, "utterance_id", ids_V)
    is_none_V = (channel_V < 0) | (channels_U[row_V] == 1)
    listed = with_column(listed, "channel", pa.array(channel_V.astype(np.int32), mask=is_none_V))
    done = CHANNELS[setting if is_averaged or setting != "mean" else "first"]
    is_single_V = channels_U[row_V] == 1
    choice_V = np.where(is_open_V, done, np.where(is_single_V, ONLY, NAMED)).astype(object)
    choices = pa.array(choice_V, pa.string(), mask=is_single_V & (named_U[row_V] <= 0))
    listed = listed.append_column("choice", choices)
    return Candidates(listed.combine_chunks(), candidates.found, file_U.take(pa.array(row_V)))


def _counted_from_1(named_U: NDArray[Any], channels_U: NDArray[Any]) -> NDArray[np.bool_]:
    """Return the rows whose channels seem to be counted from 1: none is 0, and one is just beyond the last."""
    is_named_U: NDArray[np.bool_] = (named_U >= 0) & (channels_U > 1)
    is_shifted = (is_named_U & (named_U == channels_U)).any() and not (is_named_U & (named_U == 0)).any()
    return is_named_U & bool(is_shifted)


def _files_of_two(named_U: NDArray[Any], file_U: pa.Array, channels_U: NDArray[Any]) -> NDArray[np.bool_]:
    """Return the rows of files of one channel of which the list names several."""
    table = pa.table({"file": file_U, "named": named_U}).filter(pa.array((named_U >= 0) & (channels_U == 1)))
    counted = table.group_by("file").aggregate([("named", "count_distinct")])
    several = counted.filter(pc.greater(counted["named_count_distinct"], 1))["file"]
    found: NDArray[np.bool_] = pc.is_in(file_U, value_set=several.combine_chunks().drop_null()).to_numpy(False)
    return found & (named_U >= 0)


def with_column(table: pa.Table, name: str, column: pa.Array) -> pa.Table:
    """Return a table with another column in the place of one."""
    return table.set_column(table.schema.get_field_index(name), table.schema.field(name), column)


def accept(
    candidates: Candidates, min_duration_s: float, is_averaged: bool = True
) -> tuple[NDArray[np.int64], list[Reject]]:
    """Return which rows a manifest takes, in the order of their ids, and why not the others.

    Args:
        is_averaged: as for `choose_channels`.
    """
    is_usable_U = np.ones(len(candidates.listed), np.bool_)
    rejects = []
    for number, row in candidates.iterate(np.arange(len(is_usable_U))):
        reason = _reason(row, min_duration_s) or _reason_of_channel(row, is_averaged)
        if reason is not None:
            is_usable_U[number] = False
            rejects.append(_reject(row, reason))
    accepted, repeated = _without_repeats(candidates, is_usable_U)
    return accepted, rejects + repeated


def _listed_row(recording: ListedRecording) -> dict[str, Any]:
    row = {**vars(recording), "listed_path": str(recording.path), "listed_s": recording.duration_s}
    row["start_unit"], row["length_unit"] = recording.units
    if isinstance(recording.path, Location) and isinstance(recording.path.part, ByteRange):
        row["crc32"] = recording.path.part.crc32
    try:
        f"{recording.utterance_id}{recording.path}".encode()
    except UnicodeEncodeError:
        row["problem"] = "has a name that is not UTF-8; rename it"
        for name in ("utterance_id", "listed_path", "speaker_id"):
            row[name] = str(row[name]).encode(errors="backslashreplace").decode()
    return row


def _inspected_file(listed_path: str, crc32: int | None) -> dict[str, Any]:
    location = Location.parse(listed_path)
    if isinstance(location.part, ByteRange):
        location = replace(location, part=replace(location.part, crc32=crc32))
    try:
        sha256 = sha256_of(location)
        found = inspect(location)
    except AudioError as error:
        return {"fault": str(error)}
    except OSError as error:
        return {"fault": f"cannot be read ({error.strerror})"}
    return {
        "path": str(location.resolved()),
        "sha256": sha256,
        "samples_sha256": found.samples_sha256,
        "container": found.container,
        "codec": found.codec,
        "length_s": found.duration_s,
        "sample_rate_hz": found.sample_rate_hz,
        "channels": found.channels,
        "silent_channels": found.silent_channels,
        "fault_of_mean": found.fault_of_mean,
    }


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
    if duration_s >= remaining_s + row["overshoot_s"]:
        return f"ends at {length_s:.2f} s, before the stretch {start_s:.2f} + {duration_s:.2f} s"
    least_s = max(min_duration_s, _LEAST_OF_CUT_S if duration_s > remaining_s + 0.01 else 0)
    if min(duration_s, remaining_s + 0.01) < least_s:
        return f"is too short: {min(duration_s, remaining_s):.3f} s, at least {least_s} s are wanted"
    if row["rate_hz"] and row["rate_hz"] < min(row["sample_rate_hz"], _WIDEBAND_HZ):
        return f"is brought to {row['rate_hz']} Hz by a command in wav.scp; write its output to a file first"
    return None


def _reason_of_channel(row: Mapping[str, Any], is_averaged: bool) -> str | None:
    """Return why the channel of a row that can be used otherwise cannot be; None if it can."""
    channel, channels = row["channel"], row["channels"]
    if channel is None and is_averaged:
        return row["fault_of_mean"] and str(row["fault_of_mean"])
    if (channel or 0) >= channels:
        return f"has {channels} channels, counted from 0, and no channel {channel}"
    return f"is silent in channel {channel or 0}" if (channel or 0) in row["silent_channels"] else None


def _without_repeats(candidates: Candidates, is_usable_U: NDArray[np.bool_]) -> tuple[NDArray[np.int64], list[Reject]]:
    """Return the usable rows in the order of their ids; of rows with the same id, the first that was listed."""
    ids = candidates.listed["utterance_id"].combine_chunks()
    order = pc.sort_indices(ids).to_numpy().astype(np.int64)  # a stable sort
    order = order[is_usable_U[order]]
    ordered = ids.take(pa.array(order))
    is_first = np.ones(len(order), np.bool_)
    is_first[1:] = pc.not_equal(ordered[1:], ordered[:-1]).to_numpy(zero_copy_only=False)
    first = order[np.maximum.accumulate(np.where(is_first, np.arange(len(order)), 0))]
    repeated = zip(candidates.iterate(order[~is_first]), candidates.iterate(first[~is_first]), strict=True)
    return order[is_first], [
        _reject(row, f"has the utterance id of {original['listed_path']}") for (_, row), (_, original) in repeated
    ]
