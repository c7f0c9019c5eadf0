"""Every metric of every system, with intervals, and how systems differ.

Shapes: T target and N non-target trials, P trials, Q applications, R replicates, S speakers.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm

from reseed.stages.evaluation.speakers import Speakers
from reseed.stages.evaluation.trials import Scored, Trials
from reseed.stages.scoring.bootstrap import (
    Replicates,
    bias_corrected_interval,
    metric_replicates,
    percentile_interval,
    speaker_draws,
)
from reseed.stages.scoring.curves import Floats
from reseed.stages.scoring.detection_costs import DetectionCost
from reseed.stages.scoring.metrics import cllr, eer, min_cllr
from reseed.store import ScoringError

ALL = "all trials"
_POWER, _LEVEL = 0.8, 0.05

Interval = tuple[float, float]


@dataclass(frozen=True)
class Figure:
    """A metric and its 95 % interval; None: there is none."""

    value: float
    ci95: Interval | None = None


@dataclass(frozen=True)
class Measured:
    """The metrics of one system on the trials of one condition; error rates are fractions.

    Attributes:
        min_dcf, actual_dcf: by the name of the detection cost; the latter and `cllr` of log-likelihood ratios alone.
        eer_R: the bootstrapped EERs, comparable one by one between systems; empty: none.
    """

    system: str
    condition: str
    targets: int
    nontargets: int
    eer: Figure
    eer_nearest: float
    min_dcf: dict[str, Figure]
    min_cllr: float
    cllr: Figure | None
    actual_dcf: dict[str, Figure]
    eer_R: Floats

    def row(self) -> dict[str, Any]:
        """Return the row of metrics.json."""
        figures = {"eer": self.eer, **{f"min_dcf {name}": figure for name, figure in self.min_dcf.items()}}
        figures |= {f"actual_dcf {name}": figure for name, figure in self.actual_dcf.items()}
        figures |= {"cllr": self.cllr} if self.cllr else {}
        counts = {"trials": self.targets + self.nontargets, "targets": self.targets}
        values = {name: figure.value for name, figure in figures.items()}
        intervals = {f"{name}_ci95": figure.ci95 for name, figure in figures.items()}
        plain = {"eer_nearest": self.eer_nearest, "min_cllr": self.min_cllr}
        return {"system": self.system, "condition": self.condition, **counts, **values, **plain, **intervals}


@dataclass(frozen=True)
class Difference:
    """By how much the EER of one system is above that of another on all trials, as a share of the latter.

    Attributes:
        p_value: two-sided; `p_holm`: corrected for how many pairs of systems are compared (Holm, 1979).
        detectable: the least difference that trials of this kind show in four of five cases.
    """

    system: str
    other: str
    relative: float
    ci95: Interval
    p_value: float
    p_holm: float
    detectable: float

    def row(self) -> dict[str, Any]:
        """Return the row of differences.json."""
        return dict(vars(self))


@dataclass(frozen=True)
class Evaluated:
    """All that was measured; `pooled` are the rows over all trials, in the order of the systems."""

    pooled: Sequence[Measured]
    by_condition: Sequence[Measured]
    differences: Sequence[Difference]
    replicates: int


def evaluate_trials(
    trials: Trials,
    scored: Sequence[Scored],
    speakers: Speakers,
    costs: Sequence[DetectionCost],
    *,
    replicates: int,
    seed: int,
    equalise: bool = False,
    llr: bool = False,
) -> Evaluated:
    """Measure every system.

    Args:
        equalise: where trials are pooled, let every condition weigh alike in either class, as NIST does with its
            partitions (SRE 2016 evaluation plan, section 3.2).
        llr: scores are natural-log likelihood ratios, so that Cllr and actual DCF say something.

    Raises:
        ScoringError: a class is empty, in a condition or altogether; says where.
    """
    draws_SR = None if speakers.speaker_N is None else speaker_draws(speakers.count, replicates, seed)
    weight_P = _equal_weights(trials) if equalise else None
    everywhere = np.arange(trials.is_target_P.size)

    def measured(system: Scored, condition: str, rows: NDArray[np.intp]) -> Measured:
        weights = weight_P[rows] if weight_P is not None and condition == ALL else None
        try:
            return _measured(system, condition, rows, weights, trials, speakers, draws_SR, costs, llr or system.is_llr)
        except ScoringError as error:
            raise ScoringError(f"{system.path}, {system.name}, {condition}: {error}") from error

    pooled = [measured(system, ALL, everywhere) for system in scored]
    named = list(enumerate(trials.conditions)) if len(trials.conditions) > 1 else []
    places = [(name, np.flatnonzero(trials.condition_P == number)) for number, name in named]
    by_condition = [measured(system, name, rows) for system in scored for name, rows in places if rows.size]
    differences = list(_differences(pooled))
    return Evaluated(pooled, by_condition, differences, 0 if draws_SR is None else replicates)


def _equal_weights(trials: Trials) -> Floats:
    """Return weights by which every condition weighs alike within the targets and within the non-targets."""
    weight_P = np.zeros(trials.is_target_P.size)
    for is_of_class in (trials.is_target_P, ~trials.is_target_P):
        counts = np.bincount(trials.condition_P[is_of_class], minlength=len(trials.conditions))
        weight_P[is_of_class] = (1 / np.maximum(counts, 1))[trials.condition_P[is_of_class]]
        weight_P[is_of_class] *= is_of_class.sum() / weight_P[is_of_class].sum()
    return weight_P


def _measured(
    system: Scored,
    condition: str,
    rows: NDArray[np.intp],
    weight_P: Floats | None,
    trials: Trials,
    speakers: Speakers,
    draws_SR: Floats | None,
    costs: Sequence[DetectionCost],
    llr: bool,
) -> Measured:
    is_target_P = trials.is_target_P[rows]
    scores = system.score_P[rows][is_target_P], system.score_P[rows][~is_target_P]
    weights = {} if weight_P is None else _by_class(weight_P, is_target_P)
    drawn = _replicates(system, rows, weight_P, trials, speakers, draws_SR, costs)
    min_R, actual_R = ({}, {}) if drawn is None else (_of_costs(table, costs) for table in _tables(drawn))

    def figure(value: float, replicate_R: Floats | None) -> Figure:
        return Figure(value, None if replicate_R is None else bias_corrected_interval(value, replicate_R))

    return Measured(
        system.name,
        condition,
        scores[0].size,
        scores[1].size,
        figure(eer(*scores, **weights), None if drawn is None else drawn.eer_R),
        eer(*scores, "nearest", **weights),
        {cost.name: figure(cost.minimum(*scores, **weights), min_R.get(cost.name)) for cost in costs},
        min_cllr(*scores, **weights),
        figure(cllr(*scores, **weights), None if drawn is None else drawn.cllr_R) if llr else None,
        {c.name: figure(c.actual(*scores, **weights), actual_R.get(c.name)) for c in costs} if llr else {},
        np.empty(0) if drawn is None else drawn.eer_R,
    )


def _by_class(weight_P: Floats, is_target_P: NDArray[np.bool_]) -> dict[str, Any]:
    return {"target_weights": weight_P[is_target_P], "nontarget_weights": weight_P[~is_target_P]}


def _tables(drawn: Replicates) -> tuple[Floats, Floats]:
    return drawn.min_dcf_QR, drawn.actual_dcf_QR


def _of_costs(table_QR: Floats, costs: Sequence[DetectionCost]) -> dict[str, Floats]:
    """Return the mean over the applications of each detection cost, [R]."""
    edges = np.cumsum([0, *(len(cost.applications) for cost in costs)])
    return {
        cost.name: table_QR[first:last].mean(axis=0)
        for cost, first, last in zip(costs, edges[:-1], edges[1:], strict=True)
    }


def _replicates(
    system: Scored,
    rows: NDArray[np.intp],
    weight_P: Floats | None,
    trials: Trials,
    speakers: Speakers,
    draws_SR: Floats | None,
    costs: Sequence[DetectionCost],
) -> Replicates | None:
    """Return the replicates; trials whose label contradicts the speakers are in none, since whose they are is open."""
    if draws_SR is None or speakers.speaker_N is None:
        return None
    kept = ~speakers.contradicted_P[rows]
    rows = rows[kept]
    is_target_P = trials.is_target_P[rows]
    if not 0 < is_target_P.sum() < is_target_P.size:
        return None
    enrolled, tested = (speakers.speaker_N[side[rows]] for side in (trials.enrolment_P, trials.test_P))
    weights = {} if weight_P is None else _by_class(weight_P[kept], is_target_P)
    return metric_replicates(
        system.score_P[rows][is_target_P],
        system.score_P[rows][~is_target_P],
        enrolled[is_target_P],
        np.stack([enrolled, tested], axis=1)[~is_target_P],
        draws_SR,
        [application.costs for cost in costs for application in cost.applications],
        **weights,
    )


def _differences(pooled: Sequence[Measured]) -> Iterator[Difference]:
    """Yield how each pair of systems differs, p-values corrected by Holm's step-down method."""
    pairs = [(first, second) for first, second in combinations(pooled, 2) if first.eer_R.size and second.eer.value]
    found = [_difference(first, second) for first, second in pairs]
    order = np.argsort([each.p_value for each in found], kind="stable")
    corrected = np.empty(len(found))
    least = 0.0
    for rank, place in enumerate(order):
        least = max(least, min(1.0, (len(found) - rank) * found[place].p_value))
        corrected[place] = least
    for each, p_holm in zip(found, corrected, strict=True):
        yield Difference(**{**vars(each), "p_holm": float(p_holm)})


def _difference(first: Measured, second: Measured) -> Difference:
    change_R = (first.eer_R - second.eer_R) / second.eer.value
    change_R = change_R[np.isfinite(change_R)]
    above = min((change_R > 0).sum(), (change_R < 0).sum()) + (change_R == 0).sum() / 2
    p_value = min(1.0, 2 * (above + 1) / (change_R.size + 1))
    detectable = float((norm.ppf(1 - _LEVEL / 2) + norm.ppf(_POWER)) * change_R.std())
    ends = percentile_interval(change_R) or (float("nan"), float("nan"))
    relative = first.eer.value / second.eer.value - 1
    return Difference(first.system, second.system, relative, ends, p_value, p_value, detectable)
