"""EER by group of trials, of every system: on clean speech and on the mean of the noisy conditions."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from reseed.stages.reporting.results.groups import Grouping
from reseed.stages.reporting.results.systems import PARTS, ScoredSystem, System, TrialScores
from reseed.stages.scoring.curves import Floats
from reseed.stages.scoring.metrics import eer

FEWEST = 30  # of targets and of non-targets: below that an EER moves by several points with one trial


@dataclass(frozen=True)
class GroupEer:
    """The mean EER of one group of trials over the clean or the noisy conditions, a fraction.

    Attributes:
        targets, nontargets: the fewest of any condition.
        eer: None where that is too few.
    """

    system: System
    grouping: str
    group: str
    part: str
    conditions: int
    targets: int
    nontargets: int
    eer: float | None

    def row(self) -> dict[str, Any]:
        """Return the row of groups.json."""
        return {
            **self.system.row(),
            "grouping": self.grouping,
            "group": self.group,
            "part": self.part,
            "conditions": self.conditions,
            "targets": self.targets,
            "nontargets": self.nontargets,
            "eer": self.eer,
        }


def measure_groups(
    systems: Sequence[ScoredSystem], groupings: Sequence[Grouping], views: set[str]
) -> Iterator[GroupEer]:
    """Yield the EER of every group over the conditions `views`."""
    for scored in systems:
        parts = {part: scored.trials_of(part, views) for part in PARTS}
        for column, grouping in enumerate(groupings):
            for code, label in enumerate(grouping.labels):
                for part, trials in parts.items():
                    if trials:
                        scores = [_scores_of_group(t, column, code) for t in trials]
                        yield _measured(scored.system, grouping.name, label, part, scores)


def _scores_of_group(trials: TrialScores, column: int, code: int) -> tuple[Floats, Floats]:
    in_T, in_N = trials.target_groups_TG[:, column] == code, trials.nontarget_groups_NG[:, column] == code
    return trials.target_T[in_T], trials.nontarget_N[in_N]


def _measured(system: System, grouping: str, group: str, part: str, scores: list[tuple[Floats, Floats]]) -> GroupEer:
    targets, nontargets = (min(pair[side].size for pair in scores) for side in (0, 1))
    enough = min(targets, nontargets) >= FEWEST
    value = float(np.mean([eer(*pair) for pair in scores])) if enough else None
    return GroupEer(system, grouping, group, part, len(scores), targets, nontargets, value)
