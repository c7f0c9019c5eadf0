"""Error rates of every group of trials, each system at one threshold, and the gaps between groups.

Shapes: P trials, U units that are drawn.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from reseed.stages.evaluation.figures import Figure, Interval, difference_of, figure_of
from reseed.stages.evaluation.groups import Group, Grouping
from reseed.stages.scoring.bootstrap import labelled_replicates, rate_replicates
from reseed.stages.scoring.curves import Floats
from reseed.stages.scoring.labelled import LabelledTrials
from reseed.stages.scoring.metrics import eer

RATES = ("eer", "false_non_match_rate", "false_match_rate")


@dataclass(frozen=True)
class GroupMeasured:
    """The error rates of one system on one group of trials, fractions.

    Attributes:
        rates: the EER, at the threshold of the group itself, and both rates at the threshold of all trials.
    """

    system: str
    grouping: str
    group: Group
    targets: int
    nontargets: int
    threshold: float
    rates: dict[str, Figure]

    def row(self) -> dict[str, Any]:
        """Return the row of groups.json."""
        counts = {"targets": self.targets, "nontargets": self.nontargets, "threshold": self.threshold}
        values = {name: rate.value for name, rate in self.rates.items()}
        intervals = {f"{name}_ci95": rate.ci95 for name, rate in self.rates.items()}
        named = {"system": self.system, "grouping": self.grouping, "group": self.group.name}
        return {**named, **counts, **values, **intervals}


@dataclass(frozen=True)
class Gap:
    """By how much a rate of the worst part of a grouping is above that of the best, a difference of fractions.

    Which these are is picked on the same trials, and the interval is that of these two.
    """

    system: str
    grouping: str
    rate: str
    worst: str
    best: str
    difference: float
    ci95: Interval | None

    def row(self) -> dict[str, Any]:
        """Return the row of gaps.json."""
        return dict(vars(self))


def measure_groups(
    system: str,
    groupings: Sequence[Grouping],
    taken: Callable[[Group], LabelledTrials],
    threshold: float,
    draws_UR: Floats | None,
) -> Iterator[GroupMeasured]:
    """Yield every group of one system; `taken` returns its trials."""
    for grouping in groupings:
        for group in grouping.groups:
            trials = taken(group)
            drawn, rates_R = labelled_replicates(trials, draws_UR), rate_replicates(trials, threshold, draws_UR)
            misses_R, false_R = rates_R or (None, None)
            rates = (
                figure_of(eer(trials.target_T, trials.nontarget_N), drawn.eer_R if drawn else None),
                figure_of(float(np.mean(trials.target_T < threshold)), misses_R),
                figure_of(float(np.mean(trials.nontarget_N >= threshold)), false_R),
            )
            counts = trials.target_T.size, trials.nontarget_N.size
            named = dict(zip(RATES, rates, strict=True))
            yield GroupMeasured(system, grouping.name, group, *counts, threshold, named)


def gaps(measured: Sequence[GroupMeasured]) -> Iterator[Gap]:
    """Yield the gap between the worst and the best part, by system, grouping and rate; none where there is one part."""
    parts: dict[tuple[str, str], list[GroupMeasured]] = {}
    for each in measured:
        if each.group.is_part:
            parts.setdefault((each.system, each.grouping), []).append(each)
    for (system, grouping), found in parts.items():
        for rate in RATES if len(found) > 1 else ():
            ordered = sorted(found, key=lambda each: each.rates[rate].value)
            best, worst = ordered[0], ordered[-1]
            gap = difference_of(worst.rates[rate], best.rates[rate])
            yield Gap(system, grouping, rate, worst.group.name, best.group.name, gap.value, gap.ci95)
