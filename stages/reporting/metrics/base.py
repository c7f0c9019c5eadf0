"""What a metric of the report is: a key of metrics.json, a function of scored trials, and a table of the page.

Shapes: T target trials, N non-target trials, R bootstrap replicates.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Generic, Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

from reseed.stages.scoring.bootstrap import Replicates
from reseed.stages.scoring.curves import Floats
from reseed.stages.scoring.detection_costs import Costs

Interval = tuple[float, float]
Value = TypeVar("Value", float, int, Interval)


@dataclass(frozen=True)
class Identified:
    """The shares of test utterances whose own speaker ranks first and in the first five, and among how many.

    Attributes:
        counts_3S: test utterances of each speaker of the trials, of these those ranked first, and in the first five;
            None: not counted by speaker.
        first_T: whether each test utterance's own speaker is first, in the order of the ids; None: not kept.
        tests: digest of these ids.
        accuracy_R, top5_R: both shares in each replicate, where speakers are drawn.
    """

    accuracy: float
    top5: float
    speakers: int
    counts_3S: Floats | None = field(default=None, repr=False, compare=False)
    first_T: NDArray[np.bool_] | None = field(default=None, repr=False, compare=False)
    tests: str = field(default="", repr=False, compare=False)
    accuracy_R: Floats | None = field(default=None, repr=False, compare=False)
    top5_R: Floats | None = field(default=None, repr=False, compare=False)

    def drawn(self, draws_SR: Floats | None) -> "Identified":
        """Return it with the shares of each replicate."""
        if draws_SR is None or self.counts_3S is None:
            return self
        tested_R, first_R, top5_R = self.counts_3S @ draws_SR
        with np.errstate(invalid="ignore"):
            return replace(self, accuracy_R=first_R / tested_R, top5_R=top5_R / tested_R)


@dataclass(frozen=True)
class MetricInput:
    """What metrics are computed from: the labelled trials of one system under one condition, or under several.

    Attributes:
        target_T, nontarget_N: the scores; at least one of each, all finite.
        is_calibrated: whether they are natural-log likelihood ratios.
        costs: of the settings of the report.
        replicates: the metrics of bootstrap replicates, at these costs; None where speakers are unknown.
        identified: None where speakers are unknown, or where the ranks stand with another scoring.
    """

    target_T: Floats
    nontarget_N: Floats
    is_calibrated: bool
    costs: Costs
    replicates: Replicates | None = None
    identified: Identified | None = None


@dataclass(frozen=True)
class ByCondition:
    """How the page shows a metric: a table with a row per condition and a column per system.

    Attributes:
        unit: stands beside the title; says which way is better.
        percent: fractions are shown in %.
        best: what is marked in each row.
        name: begins the name of the table's files; by default the metric's key.
        once: a metric of vectors, not of scores: there is one table of it, not one for each scorer.
    """

    unit: str
    digits: int = 3
    percent: bool = False
    best: Literal["lowest", "highest"] | None = "lowest"
    name: str = ""
    once: bool = False


@dataclass(frozen=True)
class Metric(Generic[Value]):
    """One metric.

    Attributes:
        key: its name in metrics.json and metrics.csv.
        of: computes it; None where it has no meaning. Error rates are fractions.
        title: its name in tables.
        table: how the page shows it by condition; None: it does not.
        drawn: returns it in each replicate, [R], by which it has an interval, `KEY_ci95`, and its means have; None of
            a metric: it has none.
    """

    key: str
    of: Callable[[MetricInput], Value | None]
    title: str = ""
    table: ByCondition | None = None
    drawn: Callable[[MetricInput], Floats | None] | None = None
