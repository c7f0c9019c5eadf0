"""Every metric of every system, with intervals, and how systems differ.

Shapes: T target and N non-target trials, P trials, Q applications, R replicates, S speakers.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm

from reseed.stages.evaluation.speakers import Speakers
from reseed.stages.evaluation.trials import Scored, Trials
from reseed.stages.scoring.bootstrap import (
    bias_corrected_interval,
    labelled_replicates,
    p_value,
    percentile_interval,
    speaker_draws,
)
from reseed.stages.scoring.curves import Floats
from reseed.stages.scoring.detection_costs import DetectionCost
from reseed.stages.scoring.labelled import LabelledTrials
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
        contradictory: trials whose label is against their speakers; they are in every metric and in no interval.
        min_dcf, actual_dcf: by the name of the detection cost; the latter and `cllr` of log-likelihood ratios alone.
        eer_R: the bootstrapped EERs, comparable one by one between systems; empty: none.
    """

    system: str
    condition: str
    targets: int
    nontargets: int
    contradictory: int
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
    weights_of = {ALL: _equal_weights(trials)} if equalise else {}
    everywhere = np.arange(trials.is_target_P.size)

    def measured(system: Scored, condition: str, rows: NDArray[np.intp]) -> Measured:
        labelled, weights = _labelled(system, rows, trials, speakers), weights_of.get(condition, {})
        try:
            return _measured(system.name, condition, labelled, weights, draws_SR, costs, llr or system.is_llr)
        except ScoringError as error:
            raise ScoringError(f"{system.path}, {system.name}, {condition}: {error}") from error

    pooled = [measured(system, ALL, everywhere) for system in scored]
    named = list(enumerate(trials.conditions)) if len(trials.conditions) > 1 else []
    places = [(name, np.flatnonzero(trials.condition_P == number)) for number, name in named]
    by_condition = [measured(system, name, rows) for system in scored for name, rows in places if rows.size]
    differences = list(_differences(pooled))
    return Evaluated(pooled, by_condition, differences, 0 if draws_SR is None else replicates)


def _equal_weights(trials: Trials) -> dict[str, Floats]:
    """Return weights of all targets and non-targets by which every condition weighs alike in either class."""
    weights = {}
    for name, is_of_class in (("target_weights", trials.is_target_P), ("nontarget_weights", ~trials.is_target_P)):
        condition = trials.condition_P[is_of_class]
        weight = 1 / np.bincount(condition)[condition]
        weights[name] = weight * (weight.size / weight.sum())
    return weights


def _labelled(system: Scored, rows: NDArray[np.intp], trials: Trials, speakers: Speakers) -> LabelledTrials:
    """Return some trials by label, with their speakers."""
    is_target_P, score_P = trials.is_target_P[rows], system.score_P[rows]
    speakers_P2 = np.full((rows.size, 2), -1)
    if speakers.speaker_N is not None:
        sides = trials.enrolment_P[rows], trials.test_P[rows]
        speakers_P2 = np.stack([speakers.speaker_N[side] for side in sides], axis=1)
    by_label = [(score_P[mask], speakers_P2[mask]) for mask in (is_target_P, ~is_target_P)]
    (target_T, target_T2), (nontarget_N, nontarget_N2) = by_label
    return LabelledTrials(target_T, nontarget_N, target_T2, nontarget_N2, 0)


def _measured(
    name: str,
    condition: str,
    trials: LabelledTrials,
    weights: Mapping[str, Any],
    draws_SR: Floats | None,
    costs: Sequence[DetectionCost],
    llr: bool,
) -> Measured:
    scores = trials.target_T, trials.nontarget_N
    applications = [(each.of_misses, each.of_false_alarms) for cost in costs for each in cost.applications]
    drawn = labelled_replicates(trials, draws_SR, applications, **weights)
    min_R = {} if drawn is None else _of_costs(drawn.min_dcf_QR, costs)
    actual_R = {} if drawn is None else _of_costs(drawn.actual_dcf_QR, costs)

    def figure(value: float, replicate_R: Floats | None) -> Figure:
        return Figure(value, None if replicate_R is None else bias_corrected_interval(value, replicate_R))

    return Measured(
        name,
        condition,
        trials.target_T.size,
        trials.nontarget_N.size,
        trials.contradictory,
        figure(eer(*scores, **weights), None if drawn is None else drawn.eer_R),
        eer(*scores, "nearest", **weights),
        {cost.name: figure(cost.minimum(*scores, **weights), min_R.get(cost.name)) for cost in costs},
        min_cllr(*scores, **weights),
        figure(cllr(*scores, **weights), None if drawn is None else drawn.cllr_R) if llr else None,
        {c.name: figure(c.actual(*scores, **weights), actual_R.get(c.name)) for c in costs} if llr else {},
        np.empty(0) if drawn is None else drawn.eer_R,
    )


def _of_costs(table_QR: Floats, costs: Sequence[DetectionCost]) -> dict[str, Floats]:
    """Return the mean over the applications of each detection cost, [R]."""
    edges = np.cumsum([0, *(len(cost.applications) for cost in costs)])
    return {
        cost.name: table_QR[first:last].mean(axis=0)
        for cost, first, last in zip(costs, edges[:-1], edges[1:], strict=True)
    }


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
    p = p_value(change_R)
    detectable = float((norm.ppf(1 - _LEVEL / 2) + norm.ppf(_POWER)) * np.nanstd(change_R))
    ends = percentile_interval(change_R) or (float("nan"), float("nan"))
    relative = first.eer.value / second.eer.value - 1
    return Difference(first.system, second.system, relative, ends, 1.0 if p is None else p, 1.0, detectable)
