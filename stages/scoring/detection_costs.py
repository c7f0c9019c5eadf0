"""Detection costs by the name of the evaluation that defines them.

A detection cost weighs misses and false alarms at an application: a prior of targets and what either error costs. An
evaluation that names several applications takes the mean of their normalised costs.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from reseed.stages.common.choice import chosen
from reseed.stages.scoring.curves import Floats, error_rates, grouped
from reseed.stages.scoring.metrics import actual_dcf, min_dcf
from reseed.store.errors import ScoringError


@dataclass(frozen=True)
class Costs:
    """What a detection cost weighs: the prior of a target trial, and what a miss and a false alarm cost."""

    p_target: float
    c_miss: float = 1.0
    c_fa: float = 1.0

    @property
    def of_misses(self) -> float:
        """What it costs to miss every target."""
        return self.p_target * self.c_miss

    @property
    def of_false_alarms(self) -> float:
        """What it costs to accept every non-target."""
        return (1 - self.p_target) * self.c_fa

    @property
    def in_words(self) -> str:
        """The three numbers: "0.05, C_miss = C_fa = 1"."""
        equal = self.c_miss == self.c_fa
        costs = f"C_miss = C_fa = {self.c_fa:g}" if equal else f"C_miss = {self.c_miss:g}, C_fa = {self.c_fa:g}"
        return f"{self.p_target:g}, {costs}"

    def __str__(self) -> str:
        """Say the prior, and costs that are not 1: "P_target 0.01, C_miss 10, C_fa 1"."""
        priced = f", C_miss {self.c_miss:g}, C_fa {self.c_fa:g}" if (self.c_miss, self.c_fa) != (1, 1) else ""
        return f"P_target {self.p_target:g}{priced}"


@dataclass(frozen=True)
class DetectionCost:
    """The mean of the normalised costs at some applications.

    Attributes:
        source: where the applications are defined.
    """

    name: str
    applications: tuple[Costs, ...]
    source: str

    def minimum(self, target_scores: ArrayLike, nontarget_scores: ArrayLike, **weights: Any) -> float:
        """Return the mean of the minimum costs, each at its own threshold; takes the weights that `min_dcf` takes."""
        return self._mean(partial(min_dcf, target_scores, nontarget_scores, **weights))

    def actual(self, target_scores: ArrayLike, nontarget_scores: ArrayLike, **weights: Any) -> float:
        """Return the mean of the costs at the Bayes thresholds; takes the weights that `actual_dcf` takes."""
        return self._mean(partial(actual_dcf, target_scores, nontarget_scores, **weights))

    def _mean(self, cost: Callable[..., float]) -> float:
        each = [cost(**vars(application)) for application in self.applications]
        return sum(each) / len(each)

    def __str__(self) -> str:
        return " and ".join(map(str, self.applications))


def _cost(name: str, source: str, *priors: float, c_miss: float = 1.0, c_fa: float = 1.0) -> DetectionCost:
    return DetectionCost(name, tuple(Costs(prior, c_miss, c_fa) for prior in priors), source)


DETECTION_COSTS = {
    cost.name: cost
    for cost in (
        _cost("vox", "VoxSRC 2019 to 2023, P_target of the challenge", 0.05),
        _cost("vox-0.01", "VoxCeleb papers, the stricter of two usual priors", 0.01),
        _cost("cn", "CN-Celeb, Li et al., Speech Communication 2022", 0.01),
        _cost("sitw", "Speakers in the Wild, McLaren et al., Interspeech 2016", 0.01),
        _cost("voices2019", "VOiCES from a Distance challenge, evaluation plan 2019", 0.01),
        _cost("sre08", "NIST SRE 2008, evaluation plan", 0.01, c_miss=10.0),
        _cost("sre10", "NIST SRE 2010, evaluation plan, core test", 0.001),
        _cost("sre12", "NIST SRE 2012, evaluation plan, known and unknown non-targets together", 0.01, 0.001),
        _cost("sdsv", "SdSV challenges 2020 and 2021, evaluation plans", 0.01, c_miss=10.0),
        _cost("sre16", "NIST SRE 2016, evaluation plan, section 3.1", 0.01, 0.005),
        _cost("sre18-cts", "NIST SRE 2018, evaluation plan, CMN2", 0.01, 0.005),
        _cost("sre18-vast", "NIST SRE 2018, evaluation plan, VAST", 0.05),
        _cost("sre19-cts", "NIST SRE 2019, evaluation plan, CTS challenge", 0.01, 0.005),
        _cost("sre19-av", "NIST SRE 2019, evaluation plan, audio from video", 0.05),
    )
}


def detection_cost(text: str) -> DetectionCost:
    """Return a cost by its name, or the one at a prior: "sre16", "0.02", "0.01+0.005" for their mean.

    Raises:
        ConfigError: no such name.
        ScoringError: a prior is not between 0 and 1.
    """
    try:
        priors = [float(part) for part in text.split("+")]
    except ValueError:
        return chosen(text, DETECTION_COSTS, "detection cost")
    if not all(0 < prior < 1 for prior in priors):
        raise ScoringError(f"a prior of targets lies between 0 and 1, e.g. 0.05; got {text}")
    return _cost(text, "as given", *priors)


def threshold_of(target_T: Floats, nontarget_N: Floats, costs: Costs, is_llr: bool) -> float:
    """Return the threshold for all trials: Bayes' for log-likelihood ratios, else the one of the least cost.

    Where rejecting every trial costs least it lies just above the highest score.
    """
    if is_llr:
        return float(np.log(costs.of_false_alarms / costs.of_misses))
    rates = error_rates(grouped(target_T, nontarget_N))
    paid_K = costs.of_misses * rates.miss_K + costs.of_false_alarms * rates.false_alarm_K
    cheapest = rates.threshold_K[np.argmin(paid_K)]
    return float(min(cheapest, np.nextafter(rates.threshold_K[-2], np.inf)))
