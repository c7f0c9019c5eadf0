"""Every metric of every system under every condition.

Shapes: S speakers, R bootstrap replicates.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from reseed.stages.audio.conditions import Condition
from reseed.stages.reporting.metrics.base import Identified, Interval, Metric, MetricInput, Value
from reseed.stages.reporting.metrics.cllr import CLLR, MIN_CLLR
from reseed.stages.reporting.metrics.dcf import ACTUAL_DCF, MIN_DCF
from reseed.stages.reporting.metrics.eer import EER, EER_CI95
from reseed.stages.reporting.metrics.table import METRICS
from reseed.stages.reporting.results.systems import ScoredSystem, System, TrialScores
from reseed.stages.scoring.bootstrap import labelled_replicates
from reseed.stages.scoring.curves import Floats, det_points, error_rates, grouped
from reseed.stages.scoring.detection_costs import Costs
from reseed.stages.scoring.metrics import eer
from reseed.store import ScoringError

CALIBRATION = (CLLR, MIN_CLLR, ACTUAL_DCF, MIN_DCF)  # what says how well scores are calibrated

_MERGED = 1e-3  # share of trials: floating-point arithmetic may merge a few scores, a map that clips merges many


@dataclass(frozen=True)
class DetCurve:
    """A DET curve [K], thinned for plotting, and the EER of the same trials; fractions."""

    false_alarm_K: Floats
    miss_K: Floats
    eer: float


@dataclass(frozen=True)
class Measured:
    """Metrics of one system, by their key in metrics.json; error rates are fractions."""

    system: System
    values: Mapping[str, Any]

    def __getitem__(self, metric: Metric[Value]) -> Value | None:
        value: Value | None = self.values[metric.key]
        return value


@dataclass(frozen=True)
class Measurement(Measured):
    """All metrics of one system under one condition.

    Attributes:
        unlabelled: trials scored but in no metric.
        contradictory: trials whose label the manifest contradicts; they are in every metric, by their label, but in
            no replicate, since it is open whom they depend on.
        replicate_R: the bootstrapped EERs, comparable one by one between measurements; None where speakers are unknown.
    """

    condition: Condition
    trials: int
    targets: int
    unlabelled: int
    contradictory: int
    costs: Costs
    replicate_R: Floats | None

    @property
    def eer(self) -> float:
        return float(self.values[EER.key])

    @property
    def eer_ci95(self) -> Interval | None:
        return self[EER_CI95]

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
    uncalibrated = order_preserving(systems)
    replicates: dict[tuple[System, Condition], Floats | None] = {}
    measured = []
    for scored in systems:
        source = uncalibrated.get(scored.system, scored)
        for condition, trials in scored.trials.items():
            key = source.system, condition
            try:
                if key not in replicates:
                    replicates[key] = _replicates(source.trials[condition], draws_SR)
                found = identified.get((scored.system, condition.view))
                measured.append(_measured(scored.system, condition, trials, found, replicates[key], costs, metrics))
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


def _measured(
    system: System,
    condition: Condition,
    trials: TrialScores,
    identified: Identified | None,
    replicate_R: Floats | None,
    costs: Costs,
    metrics: Sequence[Metric[Any]],
) -> Measurement:
    scores = trials.target_T, trials.nontarget_N
    given = MetricInput(*scores, system.is_calibrated, costs, replicate_R, identified)
    return Measurement(
        system=system,
        values={metric.key: metric.of(given) for metric in metrics},
        condition=condition,
        trials=trials.target_T.size + trials.nontarget_N.size,
        targets=trials.target_T.size,
        unlabelled=trials.unlabelled,
        contradictory=trials.contradictory,
        costs=costs,
        replicate_R=replicate_R,
    )


def pooled_calibration(systems: Sequence[ScoredSystem], views: set[str], costs: Costs) -> Iterator[Measured]:
    """Yield how well each calibrated system is calibrated, all trials of the conditions `views` under one threshold."""
    for scored in systems:
        if scored.system.is_calibrated:
            scores = pooled_scores([trials for condition, trials in scored.trials.items() if condition.view in views])
            given = MetricInput(*scores, is_calibrated=True, costs=costs)
            yield Measured(scored.system, {metric.key: metric.of(given) for metric in CALIBRATION})


def pooled_scores(trials: Sequence[TrialScores]) -> tuple[Floats, Floats]:
    """Return target scores [T] and non-target scores [N] of several conditions together."""
    return np.concatenate([t.target_T for t in trials]), np.concatenate([t.nontarget_N for t in trials])


def det_curve(scored: ScoredSystem, part: str) -> DetCurve | None:
    """Return the DET curve of a system on its clean or its noisy conditions, trials pooled; None where it has none."""
    trials = scored.trials_of(part)
    if not trials:
        return None
    target_T, nontarget_N = pooled_scores(trials)
    return DetCurve(*det_points(error_rates(grouped(target_T, nontarget_N))), eer(target_T, nontarget_N))


def _replicates(trials: TrialScores, draws_SR: Floats | None) -> Floats | None:
    found = labelled_replicates(trials, draws_SR)
    return None if found is None else found.eer_R
