"""The stretches that a list names, against the lengths of the files: what unit they are in, and ids of their own.

Shapes: U listed rows.
"""

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from reseed.stages.audio.candidates import Candidates, with_column
from reseed.stages.audio.listed import SAMPLES, UNTOLD

_SLACK = 1.05  # of a file's length, and a second: a stretch that ends so little behind the end is in seconds
_FINEST = 1000  # units a second, of those that are no samples: milliseconds
_CHUNK = 65_536
# Where a part of an archive lies, as `Location` writes it.
_INSIDE = r"^(?P<file>(?s:.*/)?[^/]+)\.[^./:]+:(?:\d+\+\d+(?:,deflate)?|[^:/\[\]]+\[\d+\])$"
_ADVICE = "name the columns by their unit: start_s, stop_s, duration_s, or with _ms or _samples"


def settle_stretches(candidates: Candidates) -> Candidates:
    """Bring all stretches to seconds, refuse those whose unit cannot be told, and tell stretches without ids apart."""
    return _with_ids(_of_archives(_in_seconds(candidates)))


def _in_seconds(candidates: Candidates) -> Candidates:
    listed = candidates.listed
    untold_start_U, untold_length_U = (_is(listed[name], UNTOLD) for name in ("start_unit", "length_unit"))
    sampled_start_U, sampled_length_U = (_is(listed[name], SAMPLES) for name in ("start_unit", "length_unit"))
    untold_U = untold_start_U | untold_length_U
    if not (untold_U | sampled_start_U | sampled_length_U).any():
        return candidates
    start_U, given_U = (_floats(listed[name]) for name in ("start_s", "listed_s"))
    length_U, rate_U = (_floats(_of_files(candidates, name)) for name in ("length_s", "sample_rate_hz"))
    end_U = np.where(untold_start_U, start_U, 0) + np.where(untold_length_U, np.nan_to_num(given_U), 0)
    whole_U = (end_U == np.rint(end_U)) & (start_U == np.rint(start_U))
    with np.errstate(invalid="ignore"):
        like_seconds_U = untold_U & (end_U > 0) & (end_U <= _SLACK * length_U + 1)
        like_samples_U = (
            untold_U & ~like_seconds_U & whole_U & (end_U > 0) & (end_U <= (_SLACK * length_U + 1) * rate_U)
        )
        surely_samples_U = like_samples_U & (
            (end_U > _SLACK * _FINEST * length_U) | (end_U == np.rint(length_U * rate_U))
        )
    are_samples = surely_samples_U.sum() > like_seconds_U.sum()
    if are_samples:
        wrong_U = like_seconds_U | (untold_U & ~whole_U)
    elif like_seconds_U.any():
        wrong_U = surely_samples_U
    else:
        wrong_U = like_samples_U
    problems = _problems(candidates, wrong_U, are_samples, bool(like_seconds_U.any()), length_U)
    columns = (
        ("start_s", start_U, sampled_start_U | (untold_start_U & are_samples)),
        ("listed_s", given_U, sampled_length_U | (untold_length_U & are_samples)),
    )
    for name, values_U, in_samples_U in columns:
        seconds_U = np.where(in_samples_U, values_U / rate_U, values_U)
        is_known_U = ~np.isnan(values_U) & ~np.isnan(seconds_U)
        listed = with_column(listed, name, pa.array(seconds_U, mask=~is_known_U & (name == "listed_s")))
    return replace(candidates, listed=with_column(listed, "problem", problems))


def _problems(
    candidates: Candidates,
    wrong_U: NDArray[np.bool_],
    are_samples: bool,
    any_seconds: bool,
    length_U: NDArray[np.float64],
) -> pa.Array:
    """Return the problems of all rows, those in the wrong unit among them."""
    if not wrong_U.any():
        return candidates.listed["problem"].combine_chunks()
    if are_samples:
        why = "which are no samples, as those of most rows are"
    elif any_seconds:
        why = "which look like samples, while most rows look like seconds"
    else:
        why = "and whether these are samples, frames or milliseconds cannot be told"
    found = candidates.listed["problem"].to_pylist()
    for number, row in candidates.iterate(np.flatnonzero(wrong_U)):
        stretch = f"from {row['start_s']:.15g}" + ("" if row["listed_s"] is None else f" for {row['listed_s']:.15g}")
        file = f"of a file of {length_U[number]:.2f} s"
        found[number] = found[number] or f"is listed {stretch} {file}, {why}; {_ADVICE}"
    return pa.array(found, pa.string())


def _of_archives(candidates: Candidates) -> Candidates:
    """Put the name of the archive before ids that recordings of several archives have from their names within these."""
    listed = candidates.listed
    files = pc.struct_field(pc.extract_regex(listed["listed_path"], _INSIDE), "file")
    can_be = pc.and_(pc.invert(listed["has_id"]), pc.and_(pc.is_null(listed["problem"]), pc.is_valid(files)))
    if not pc.any(can_be).as_py():
        return candidates
    number = pa.array(np.arange(len(listed)))
    rows = pa.table({"number": number, "id": listed["utterance_id"], "file": files}).filter(can_be)
    groups = rows.group_by("id").aggregate([("file", "min"), ("file", "max")])
    rows = rows.filter(pc.is_in(rows["id"], value_set=groups.filter(_varies(groups, "file"))["id"].combine_chunks()))
    archives = rows["file"].combine_chunks().dictionary_encode()
    names = pa.array(_short_names(archives.dictionary.to_pylist()), pa.string()).take(archives.indices)
    named = pc.binary_join_element_wise(names, rows["id"].combine_chunks(), "/")
    return _renamed(candidates, rows, pa.chunked_array([named]))


def _short_names(files: Sequence[str]) -> list[str]:
    """Return what tells files apart: their last names, or what is not common to their paths."""
    parts = [file.split("/") for file in files]
    if len({each[-1] for each in parts}) == len(parts):
        return [each[-1] for each in parts]
    depth = next((depth for depth, each in enumerate(zip(*parts, strict=False)) if len(set(each)) > 1), 0)
    return ["/".join(each[depth:]) for each in parts]


def _with_ids(candidates: Candidates) -> Candidates:
    """Make the ids of rows unlike whose ids are their paths alone, by stretch and channel."""
    listed = candidates.listed
    rows = pa.table(
        {
            "number": pa.array(np.arange(len(listed))),
            "id": listed["utterance_id"],
            "start": listed["start_s"],
            "end": pc.coalesce(pc.add(listed["start_s"], listed["listed_s"]), _of_files(candidates, "length_s"), 0.0),
            "side": pc.fill_null(listed["channel"], -1),
        }
    ).filter(pc.and_(pc.invert(listed["has_id"]), pc.is_null(listed["problem"])))
    spans = [(name, extreme) for name in ("start", "end", "side") for extreme in ("min", "max")]
    groups = rows.group_by("id").aggregate(spans)
    by_time, by_side = pc.or_(_varies(groups, "start"), _varies(groups, "end")), _varies(groups, "side")
    several = pa.table({"id": groups["id"], "by_time": by_time, "by_side": by_side}).filter(pc.or_(by_time, by_side))
    rows = rows.join(several, "id", join_type="inner").sort_by("number")
    if not len(rows):
        return candidates
    made = []
    for start in range(0, len(rows), _CHUNK):
        made.append(pa.array(map(_id, rows.slice(start, _CHUNK).to_pylist()), pa.string()))
    return _renamed(candidates, rows, pa.chunked_array(made))


def _renamed(candidates: Candidates, rows: pa.Table, names: pa.ChunkedArray) -> Candidates:
    """Put names in the place of the ids of some rows, which are in the order of their numbers."""
    is_renamed_U = np.zeros(len(candidates.listed), np.bool_)
    is_renamed_U[rows["number"].to_numpy()] = True
    ids = candidates.listed["utterance_id"].combine_chunks()
    ids = pc.replace_with_mask(ids, pa.array(is_renamed_U), names.combine_chunks())
    return replace(candidates, listed=with_column(candidates.listed, "utterance_id", ids))


def _id(row: dict[str, Any]) -> str:
    """Return the path of a row with its stretch in milliseconds, with its channel, or with both."""
    times = f"-{_ms(row['start']):07d}-{_ms(row['end']):07d}" if row["by_time"] else ""
    return row["id"] + times + (f"-ch{row['side']}" if row["by_side"] and row["side"] >= 0 else "")


def _ms(seconds: float) -> int:
    return round(1000 * seconds) if math.isfinite(1000 * seconds) else 0


def _varies(grouped: pa.Table, name: str) -> pa.ChunkedArray:
    return pc.not_equal(grouped[f"{name}_min"], grouped[f"{name}_max"])


def _of_files(candidates: Candidates, name: str) -> pa.Array:
    return candidates.found[name].combine_chunks().take(candidates.file_U)


def _is(column: pa.ChunkedArray, value: str) -> NDArray[np.bool_]:
    found: NDArray[np.bool_] = pc.equal(column, value).to_numpy()
    return found


def _floats(column: pa.ChunkedArray | pa.Array) -> NDArray[np.float64]:
    """Return numbers, nan for those that are missing."""
    found: NDArray[np.float64] = pc.fill_null(column.cast(pa.float64()), math.nan).to_numpy()
    return found
