"""How every pair of systems differs in every metric, whether that may be chance, and what could have been seen.

Shapes: R replicates.
"""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from itertools import combinations
from typing import Any

from reseed.stages.evaluation.figures import Figure, Interval
from reseed.stages.scoring.bootstrap import percentile_interval
from reseed.stages.scoring.comparison import detectable, holm, p_value


@dataclass(frozen=True)
class Difference:
    """By how much a metric of one system is above that of another on all trials, as a share of the latter.

    Attributes:
        metric: its name in metrics.json.
        p_value: two-sided; `p_holm`: corrected for how many pairs of systems are compared by this metric.
        detectable: the least difference that trials of this kind show in four of five cases.
    """

    system: str
    other: str
    metric: str
    relative: float
    ci95: Interval
    p_value: float
    p_holm: float
    detectable: float

    def row(self) -> dict[str, Any]:
        """Return the row of differences.json."""
        return asdict(self)


def differences(systems: Mapping[str, Mapping[str, Figure]]) -> Iterator[Difference]:
    """Yield how each pair of systems differs, metric by metric; nothing where there are no replicates.

    Args:
        systems: the figures by metric, by system.
    """
    metrics = dict.fromkeys(name for figures in systems.values() for name in figures)
    for metric in metrics:
        pairs = combinations([(name, figures[metric]) for name, figures in systems.items() if metric in figures], 2)
        found = [each for (name, first), (other, second) in pairs if (each := _of(metric, name, first, other, second))]
        for each, corrected in zip(found, holm([each.p_value for each in found]), strict=True):
            yield replace(each, p_holm=corrected)


def _of(metric: str, name: str, first: Figure, other: str, second: Figure) -> Difference | None:
    if first.replicate_R is None or second.replicate_R is None or not second.value:
        return None
    change_R = (first.replicate_R - second.replicate_R) / second.value
    p, relative = p_value(change_R), first.value / second.value - 1
    ends = percentile_interval(change_R)
    if p is None or ends is None:
        return None
    return Difference(name, other, metric, relative, ends, p, p, detectable(change_R))
