"""Several runs: under which conditions their scores compare, and what differs under the others."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from reseed.stages.audio.conditions import Condition
from reseed.stages.common.prose import counted, listed
from reseed.stages.reporting.results.systems import Loaded, ScoredSystem
from reseed.stages.trial_scoring.files import read_scores
from reseed.store import ScoringError

_TRIAL = ("enrolment_id", "test_id", "is_target", "enrolment_speaker_id", "test_speaker_id")


@dataclass(frozen=True)
class _Trials:
    """What one score file has under one condition: a digest of the trials, in any order, and how many there are."""

    digest: str
    count: int


def keep_comparable(loaded: Loaded) -> tuple[Loaded, list[str]]:
    """Keep the conditions under which all runs scored the same trials, and say in words what is left out.

    Raises:
        ScoringError: there is no such condition; says what differs.
    """
    systems = loaded.systems
    runs = list(dict.fromkeys(scored.system.run for scored in systems))
    lists = {path: _trial_lists(path) for path in dict.fromkeys(scored.path for scored in systems)}
    views = list(dict.fromkeys(condition.view for scored in systems for condition in scored.trials))
    reasons = {view: reason for view in views if (reason := _difference(view, systems, runs, lists))}
    if len(reasons) == len(views):
        raise ScoringError(f"the runs {listed(runs)} have no condition in common: {'; '.join(reasons.values())}")
    kept = [
        replace(scored, trials={c: trials for c, trials in scored.trials.items() if c.view not in reasons})
        for scored in systems
    ]
    left_out = [f"Left out because the runs differ: {'; '.join(reasons.values())}."] if reasons else []
    return replace(loaded, systems=[scored for scored in kept if scored.trials]), left_out


def _difference(
    view: str, systems: Sequence[ScoredSystem], runs: Sequence[str], lists: dict[Path, dict[str, _Trials]]
) -> str | None:
    """Say in what a condition differs between runs; None where it does not."""
    conditions: dict[str, Condition] = {}
    trials: dict[str, _Trials] = {}
    differing = set()
    for scored in systems:
        run = scored.system.run
        for condition in scored.trials:
            if condition.view == view:
                found = lists[scored.path][view]
                same_run = conditions.setdefault(run, condition), trials.setdefault(run, found)
                differing |= {run} if same_run != (condition, found) else set()
    absent = [run for run in runs if run not in conditions]
    if absent:
        return f"{view} is not in {listed(absent)}"
    if differing:
        return f"{view} is not the same for all systems of {listed(sorted(differing))}"
    if len(set(conditions.values())) > 1:
        return f"{view} is " + ", ".join(f"{conditions[run].label} in {run}" for run in runs)
    if len(set(trials.values())) > 1:
        return (
            f"{view} has other trials (" + ", ".join(f"{counted(trials[r].count, 'trial')} in {r}" for r in runs) + ")"
        )
    return None


def _trial_lists(path: Path) -> dict[str, _Trials]:
    """Return the labelled trials of a score file by condition, whatever system and scoring they are of."""
    table, _ = read_scores(path)
    table = table.filter(pc.is_valid(table["is_target"]))
    return {
        view: _digested(table.filter(pc.equal(table["condition"], view)))
        for view in pc.unique(table["condition"]).to_pylist()
    }


def _digested(table: pa.Table) -> _Trials:
    columns = [pc.fill_null(table[name].cast(pa.string()), "") for name in _TRIAL]
    lines = pc.unique(pc.binary_join_element_wise(*columns, "\t"))
    ordered = lines.take(pc.array_sort_indices(lines)).to_pylist()
    return _Trials(hashlib.sha256("\n".join(ordered).encode()).hexdigest(), len(ordered))
