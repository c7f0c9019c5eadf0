"""What each system of a run decides otherwise than what it is compared with: centred vectors, else raw.

Shapes: P trials.
"""

from collections.abc import Callable, Sequence
from functools import lru_cache

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from reseed.stages.reporting.results.embeddings import open_store
from reseed.stages.reporting.results.flips import Compared, Flipped, Trial, find_flips, replay_command
from reseed.stages.reporting.results.styles import Styles
from reseed.stages.reporting.results.summary import centred_reference, reference
from reseed.stages.reporting.results.systems import ScoredSystem, System
from reseed.stages.scoring.detection_costs import Costs, threshold_of
from reseed.stages.trial_scoring.files import read_scores

_SIDES = ("enrolment_id", "test_id")

Codes = NDArray[np.int64]
ToHear = Callable[[Trial, str], tuple[str, ...]]


def measure_flips(
    systems: Sequence[ScoredSystem], styles: Styles, costs: Costs, *, is_audio: bool
) -> dict[System, Flipped]:
    """Compare the decisions of every system that is shown with those of what it is compared with.

    Each decides at one threshold for all trials of the conditions that both have, see `threshold_of`. A system that
    scored other trials than what it is compared with is left out.

    Args:
        is_audio: the stores were extracted from audio, so that a trial can be heard.

    Raises:
        ScoringError: a score file is gone, or damaged.
        StoreError: a store is not the one that its scores were computed from.
    """
    by_system = {scored.system: scored for scored in systems}
    read = lru_cache(maxsize=2)(lambda path: read_scores(path)[0])
    to_hear = lru_cache(maxsize=None)(lambda raw: _to_hear(by_system[raw]))
    found = {}
    for system in styles:
        raw = reference(system, styles)
        other = centred_reference(system, styles) or raw
        if other is None:
            continue
        before, after = by_system[other], by_system[system]
        views = [condition.view for condition in before.trials if condition in after.trials]
        first, second = (_labelled(read(scored.path), scored.system, views) for scored in (before, after))
        ordered = _in_one_order(first, second, views)
        if ordered:
            names = styles[system].label, styles[other].label
            compared = _compared(*ordered, views, names, costs, (other.is_calibrated, system.is_calibrated))
            found[system] = find_flips(compared, _ids(ordered[0]), *([to_hear(raw)] if raw and is_audio else []))
    return found


def _labelled(table: pa.Table, system: System, views: Sequence[str]) -> pa.Table:
    """Return the labelled trials of a system under some conditions."""
    of_system = pc.and_(pc.equal(table["system"], system.name), pc.equal(table["scoring"], system.scoring))
    in_views = pc.is_in(table["condition"].cast(pa.string()), pa.array(views, pa.string()))
    kept = table.filter(pc.and_(pc.and_(of_system, in_views), pc.is_valid(table["is_target"])))
    return kept.select(["condition", *_SIDES, "is_target", "score"])


def _in_one_order(first: pa.Table, second: pa.Table, views: Sequence[str]) -> tuple[pa.Table, pa.Table] | None:
    """Return two tables whose trials agree row by row; None where they have other trials."""
    sides = [table[side].combine_chunks().dictionary.cast(pa.string()) for table in (first, second) for side in _SIDES]
    names = pc.unique(pa.chunked_array(sides, pa.string()))
    first_P, second_P = (_keys(table, names, pa.array(views, pa.string())) for table in (first, second))
    if np.array_equal(first_P, second_P):
        return first, second
    first_order_P, second_order_P = np.argsort(first_P, kind="stable"), np.argsort(second_P, kind="stable")
    if not np.array_equal(first_P[first_order_P], second_P[second_order_P]):
        return None
    return first.take(first_order_P), second.take(second_order_P)


def _keys(table: pa.Table, names: pa.StringArray, views: pa.StringArray) -> Codes:
    """Return a number for each trial that is its own, given the ids on either side."""
    enrolment_P, test_P = (_codes(table[side], names) for side in _SIDES)
    return (_codes(table["condition"], views) * len(names) + enrolment_P) * len(names) + test_P


def _codes(column: pa.ChunkedArray, names: pa.StringArray) -> Codes:
    encoded = column.combine_chunks()
    place = pc.fill_null(pc.index_in(encoded.dictionary.cast(pa.string()), value_set=names), -1).to_numpy()
    codes: Codes = place.astype(np.int64)[encoded.indices.to_numpy()]
    return codes


def _compared(
    before: pa.Table,
    after: pa.Table,
    views: Sequence[str],
    names: tuple[str, str],
    costs: Costs,
    are_llrs: tuple[bool, bool],
) -> Compared:
    is_target_P, before_P, after_P = (
        column.to_numpy() for column in (before["is_target"], before["score"], after["score"])
    )
    before_at, after_at = (
        threshold_of(score_P[is_target_P], score_P[~is_target_P], costs, is_llr)
        for score_P, is_llr in zip((before_P, after_P), are_llrs, strict=True)
    )
    condition_P = _codes(before["condition"], pa.array(views, pa.string()))
    return Compared(*names, before_P, after_P, before_at, after_at, is_target_P, views, condition_P)


def _ids(table: pa.Table) -> Callable[[int], Trial]:
    return lambda place: (table["enrolment_id"][place].as_py(), table["test_id"][place].as_py())


def _to_hear(raw: ScoredSystem) -> ToHear:
    """Return what says how either side of a trial is heard, where it is an utterance of the store and no model."""
    store = raw.store
    stored = frozenset(open_store(raw).utterance_ids()) if store else frozenset()

    def commands(trial: Trial, condition: str) -> tuple[str, ...]:
        sides = zip(trial, (raw.origin.enrolment_view, condition), strict=True)
        return tuple(replay_command(store, name, view) for name, view in sides if store and name in stored)

    return commands
