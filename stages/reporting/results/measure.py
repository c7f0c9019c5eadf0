"""Every metric of every system under every condition.

Shapes: S speakers, R bootstrap replicates.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from reseed.stages.audio.conditions import Condition
from reseed.stages.reporting.metrics.base import Identified, Interval, Metric, MetricInput, Value
from reseed.stages.reporting.metrics.cllr import CLLR, MIN_CLLR
from reseed.stages.reporting.metrics.dcf import ACTUAL_DCF, MIN_DCF
from reseed.stages.reporting.metrics.eer import EER
from reseed.stages.reporting.metrics.table import METRICS
from reseed.stages.reporting.results.systems import ScoredSystem, System, TrialScores
from reseed.stages.scoring.bootstrap import bias_corrected_interval, labelled_replicates
from reseed.stages.scoring.curves import Floats, det_points, error_rates, grouped, hull_points
from reseed.stages.scoring.detection_costs import Costs
from reseed.stages.scoring.labelled import LabelledTrials
from reseed.stages.scoring.metrics import eer
from reseed.store import ScoringError

CALIBRATION = (CLLR, MIN_CLLR, ACTUAL_DCF, MIN_DCF)  # what says how well scores are calibrated

_MERGED = 1e-3  # share of trials: floating-point arithmetic may merge a few scores, a map that clips merges many


@dataclass(frozen=True)
class DetCurve:
    """A DET curve [K], thinned for plotting, the convex hull of its ROC [H], and the EER; fractions."""

    false_alarm_K: Floats
    miss_K: Floats
    eer: float
    hull_false_alarm_H: Floats
    hull_miss_H: Floats

    @classmethod
    def of(cls, target_T: Floats, nontarget_N: Floats) -> "DetCurve":
        """Return the curve of some trials."""
        trials = grouped(target_T, nontarget_N)
        return cls(*det_points(error_rates(trials)), eer(target_T, nontarget_N), *hull_points(trials))


@dataclass(frozen=True)
class Measured:
    """Metrics of one system, by their key in metrics.json; error rates are fractions.

    Attributes:
        values: with intervals, "eer_ci95", beside what has replicates.
        replicates: the same of each bootstrap replicate, [R], comparable one by one between measurements; empty where
            speakers are unknown.
    """

    system: System
    values: Mapping[str, Any]
    replicates: Mapping[str, Floats] = field(default_factory=dict, kw_only=True)

    def __getitem__(self, metric: Metric[Value]) -> Value | None:
        value: Value | None = self.values[metric.key]
        return value

    def ci95(self, metric: Metric[Any]) -> Interval | None:
        """Return the interval of a metric, where it has one."""
        found: Interval | None = self.values.get(f"{metric.key}_ci95")
        return found


@dataclass(frozen=True)
class Measurement(Measured):
    """All metrics of one system under one condition.

    Attributes:
        unlabelled: trials scored but in no metric.
        contradictory: trials whose label the manifest contradicts; they are in every metric, by their label, but in
            no replicate, since it is open whom they depend on.
    """

    condition: Condition
    trials: int
    targets: int
    unlabelled: int
    contradictory: int
    costs: Costs

    @property
    def eer(self) -> float:
        return float(self.values[EER.key])

    @property
    def eer_ci95(self) -> Interval | None:
        return self.ci95(EER)

    def row(self) -> dict[str, Any]:
        """Return the row of metrics.json."""
        return {
            **self.system.row(),
            "condition": self.condition.view,
            "trials": self.trials,
            "targets": self.targets,
            "unlabelled": self.unlabelled,
            "contradictory": self.contradictory,
            **self.values,
        }


def measure(
    systems: Sequence[ScoredSystem],
    identified: Mapping[tuple[System, str], Identified],
    draws_SR: Floats | None,
    costs: Costs,
    metrics: Sequence[Metric[Any]] = METRICS,
) -> list[Measurement]:
    """Return every metric of every system, condition by condition.

    Args:
        identified: identification by (system, condition), where known.
        draws_SR: bootstrap draws over all speakers, the same for every system; None: no intervals.

    Raises:
        ScoringError: a condition lacks targets or non-targets, or has a score that is not finite; names it.
    """
    measured = []
    for scored in systems:
        for condition, trials in scored.trials.items():
            found = identified.get((scored.system, condition.view))
            try:
                given = _given(trials, scored.system.is_calibrated, costs, draws_SR, found)
                measured.append(_measured(scored.system, condition, trials, given, metrics))
            except ScoringError as error:
                where = f"{scored.path}, {scored.system.name}, condition {condition.view}"
                raise ScoringError(f"{where}: {error}") from error
    return measured


def order_preserving(systems: Sequence[ScoredSystem]) -> dict[System, ScoredSystem]:
    """Return the calibrated systems whose trials stand in the order of the uncalibrated ones, with these.

    Nothing that depends on order alone, EER and minDCF, tells the two apart.
    """
    by_system = {scored.system: scored for scored in systems}
    found = {}
    for scored in systems:
        plain = by_system.get(scored.system.uncalibrated)
        if scored.system.is_calibrated and plain is not None and _same_order(scored, plain):
            found[scored.system] = plain
    return found


def _same_order(scored: ScoredSystem, plain: ScoredSystem) -> bool:
    if scored.trials.keys() != plain.trials.keys():
        return False
    for condition, trials in scored.trials.items():
        score_P, plain_P = _all_scores(trials), _all_scores(plain.trials[condition])
        if score_P.size != plain_P.size:
            return False
        order_P = np.lexsort((score_P, plain_P))
        step_P, plain_step_P = np.diff(score_P[order_P]), np.diff(plain_P[order_P])
        merged = np.count_nonzero((step_P == 0) & (plain_step_P > 0))
        if (step_P < 0).any() or merged > _MERGED * score_P.size:
            return False
    return True


def _all_scores(trials: TrialScores) -> Floats:
    return np.concatenate([trials.target_T, trials.nontarget_N])


def _given(
    trials: LabelledTrials,
    is_calibrated: bool,
    costs: Costs,
    draws_SR: Floats | None,
    identified: Identified | None = None,
) -> MetricInput:
    replicates = labelled_replicates(trials, draws_SR, [(costs.of_misses, costs.of_false_alarms)])
    found = identified and identified.drawn(draws_SR)
    return MetricInput(trials.target_T, trials.nontarget_N, is_calibrated, costs, replicates, found)


def _measured(
    system: System, condition: Condition, trials: TrialScores, given: MetricInput, metrics: Sequence[Metric[Any]]
) -> Measurement:
    values, replicates = _computed(given, metrics)
    return Measurement(
        system=system,
        values=values,
        condition=condition,
        trials=trials.target_T.size + trials.nontarget_N.size,
        targets=trials.target_T.size,
        unlabelled=trials.unlabelled,
        contradictory=trials.contradictory,
        costs=given.costs,
        replicates=replicates,
    )


def _computed(given: MetricInput, metrics: Sequence[Metric[Any]]) -> tuple[dict[str, Any], dict[str, Floats]]:
    """Return values with their intervals, and replicates, by key."""
    values: dict[str, Any] = {}
    replicates = {}
    for metric in metrics:
        value: Any = metric.of(given)
        values[metric.key] = value
        if metric.drawn:
            replicate_R = None if value is None else metric.drawn(given)
            values[f"{metric.key}_ci95"] = None
            if replicate_R is not None:
                replicates[metric.key] = replicate_R
                values[f"{metric.key}_ci95"] = bias_corrected_interval(value, replicate_R)
    return values, replicates


def pooled_calibration(
    systems: Sequence[ScoredSystem], views: set[str], costs: Costs, draws_SR: Floats | None = None
) -> Iterator[Measured]:
    """Yield how well each calibrated system is calibrated, all trials of the conditions `views` under one threshold."""
    for scored in systems:
        if scored.system.is_calibrated:
            of_views = [trials for condition, trials in scored.trials.items() if condition.view in views]
            values, replicates = _computed(_given(_pooled(of_views), True, costs, draws_SR), CALIBRATION)
            yield Measured(scored.system, values, replicates=replicates)


def _pooled(trials: Sequence[TrialScores]) -> LabelledTrials:
    return LabelledTrials(
        *pooled_scores(trials),
        np.concatenate([each.target_speakers_T2 for each in trials]),
        np.concatenate([each.nontarget_speakers_N2 for each in trials]),
        sum(each.unlabelled for each in trials),
    )


def pooled_scores(trials: Sequence[TrialScores]) -> tuple[Floats, Floats]:
    """Return target scores [T] and non-target scores [N] of several conditions together."""
    return np.concatenate([t.target_T for t in trials]), np.concatenate([t.nontarget_N for t in trials])


def det_curve(scored: ScoredSystem, part: str) -> DetCurve | None:
    """Return the DET curve of a system on its clean or its noisy conditions, trials pooled; None where it has none."""
    trials = scored.trials_of(part)
    if not trials:
        return None
    return DetCurve.of(*pooled_scores(trials))
