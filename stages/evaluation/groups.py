"""Metrics by group of trials, and by how much groups differ: gender, language, age, duration, device, sessions apart.

A column of words makes a group of each value that both sides share, and tells apart non-targets (and targets, where
there are such) of one value and of two, as TidyVoice does with languages (arXiv 2601.21960). Numbers are parted into
thirds of the tested utterances, dates by how far both sides lie apart. At one threshold for all trials, false
non-match and false match rates are given by group, whose differences are the "differential performance" of
ISO/IEC 19795-10.

Shapes: P trials, N names, R replicates.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from reseed.stages.evaluation.trials import Codes, Trials
from reseed.stages.evaluation.utterances import Described
from reseed.stages.reporting.results.groups import AGE_EDGES_Y, banded, thirds
from reseed.stages.scoring.curves import Floats
from reseed.store import ScoringError

FEWEST = 30  # of targets and of non-targets: below that an error rate moves by several points with one trial
_MOST_VALUES = 12

Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Group:
    """Some trials.

    Attributes:
        is_part: whether it is one of the parts that gaps are measured between, not a crossing of these.
    """

    name: str
    in_P: Mask
    is_part: bool = True


@dataclass(frozen=True)
class Grouping:
    """A way to group trials, and its groups; `left_out` names those of too few trials."""

    name: str
    groups: list[Group]
    left_out: list[str]


def group_trials(trials: Trials, described: Described, columns: Sequence[str]) -> list[Grouping]:
    """Group trials by columns of a table.

    Raises:
        ScoringError: there is no such column, or none of its groups has trials enough; names it.
    """
    found = []
    for name in columns:
        column = described.column(name)
        groups = [group for group in _groups(trials, name, column) if group.in_P.any()]
        kept = [group for group in groups if _enough(trials, group)]
        if not any(group.is_part for group in kept):
            raise ScoringError(
                f"{described.path}: no group by {name} has {FEWEST} targets and {FEWEST} non-targets; leave it out"
            )
        found.append(Grouping(name, kept, [group.name for group in groups if not _enough(trials, group)]))
    return found


def _enough(trials: Trials, group: Group) -> bool:
    targets = np.count_nonzero(trials.is_target_P & group.in_P)
    return bool(min(targets, np.count_nonzero(group.in_P) - targets) >= FEWEST)


def _groups(trials: Trials, name: str, column: pa.ChunkedArray) -> Iterator[Group]:
    kind = column.type
    if pa.types.is_temporal(kind):
        return _by_gap(trials, column)
    if pa.types.is_integer(kind) or pa.types.is_floating(kind):
        values_N = _numbers(column)
        if name == "age":
            bands = ["under 18", "18 to 59", "60 or older"]
            return _by_value(trials, banded(values_N, AGE_EDGES_Y).astype(np.int64), bands)
        return _banded(trials, values_N[trials.test_P], "")
    encoded = column.cast(pa.string()).combine_chunks().dictionary_encode()
    code_N = pc.fill_null(encoded.indices, -1).to_numpy(zero_copy_only=False).astype(np.int64)
    return _by_value(trials, code_N, encoded.dictionary.to_pylist())


def _by_value(trials: Trials, code_N: Codes, values: Sequence[str]) -> Iterator[Group]:
    """Yield the trials whose sides share a value, the commonest values first, and then how both sides may differ."""
    first_P, second_P = code_N[trials.enrolment_P], code_N[trials.test_P]
    known_P, same_P = (first_P >= 0) & (second_P >= 0), first_P == second_P
    counts = np.bincount(first_P[known_P & same_P], minlength=len(values))
    for code in np.argsort(-counts, kind="stable")[:_MOST_VALUES]:
        yield Group(f"both {values[code]}", (first_P == code) & same_P)
    for of_targets, targets_P in (("same", same_P), ("different", ~same_P)):
        for of_nontargets, nontargets_P in (("same", same_P), ("different", ~same_P)):
            in_P = known_P & np.where(trials.is_target_P, targets_P, nontargets_P)
            yield Group(f"targets {of_targets}, non-targets {of_nontargets}", in_P, is_part=False)


def _by_gap(trials: Trials, column: pa.ChunkedArray) -> Iterator[Group]:
    known_N = ~pc.is_null(column).to_numpy(zero_copy_only=False)
    seconds_N = np.full(known_N.size, np.nan)
    times = column.cast(pa.timestamp("s")).combine_chunks().drop_null().cast(pa.int64())
    seconds_N[known_N] = times.to_numpy(zero_copy_only=False)
    gap_P = np.abs(seconds_N[trials.enrolment_P] - seconds_N[trials.test_P]) / 86_400
    return _banded(trials, gap_P, " days apart")


def _banded(trials: Trials, value_P: Floats, unit: str) -> Iterator[Group]:
    """Yield thirds of the values of targets, an edge being in the upper one."""
    edges = thirds(value_P[trials.is_target_P])
    if edges is None:
        return
    low, high = edges
    names = (f"under {low:g}{unit}", f"{low:g} to {high:g}{unit}", f"{high:g}{unit} or more")
    band_P = banded(value_P, edges)
    for band, name in enumerate(names):
        yield Group(name, band_P == band)


def _numbers(column: pa.ChunkedArray) -> Floats:
    values: Floats = pc.fill_null(column.cast(pa.float64()), np.nan).to_numpy()
    return values
