"""Every metric of every system under every condition.

Shapes: S speakers, R bootstrap replicates.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from reseed.stages.audio.conditions import Condition
from reseed.stages.reporting.results.load import Identified, ScoredSystem, System, TrialScores
from reseed.stages.scoring.bootstrap import eer_replicates, percentile_interval, speaker_draws
from reseed.stages.scoring.curves import Floats, det_points, error_rates, grouped
from reseed.stages.scoring.metrics import actual_dcf, cllr, eer, min_cllr, min_dcf
from reseed.store import ScoringError

Interval = tuple[float, float]

_MERGED = 1e-3  # share of trials: floating-point arithmetic may merge a few scores, a map that clips merges many


@dataclass(frozen=True)
class Costs:
    """What the detection cost weighs: the prior of a target trial, and what a miss and a false alarm cost."""

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

    def minimum(self, target_T: Floats, nontarget_N: Floats) -> float:
        """Return minDCF."""
        return min_dcf(target_T, nontarget_N, p_target=self.p_target, c_miss=self.c_miss, c_fa=self.c_fa)

    def actual(self, target_T: Floats, nontarget_N: Floats) -> float:
        """Return the actual DCF of natural-log likelihood ratios."""
        return actual_dcf(target_T, nontarget_N, p_target=self.p_target, c_miss=self.c_miss, c_fa=self.c_fa)


@dataclass(frozen=True)
class DetCurve:
    """A DET curve [K], thinned for plotting, and the EER of the same trials; fractions."""

    false_alarm_K: Floats
    miss_K: Floats
    eer: float


@dataclass(frozen=True)
class Measurement:
    """All metrics of one system under one condition; error rates are fractions.

    Attributes:
        eer, eer_nearest: on the convex hull of the ROC, and at the corner where both errors come nearest.
        actual_dcf: None where scores are not calibrated.
        unlabelled: trials scored but in no metric.
        contradictory: trials whose label the manifest contradicts; they are in every metric, by their label, but in
            no replicate, since it is open whom they depend on.
        replicate_R: the bootstrapped EERs, comparable one by one between measurements; None where speakers are unknown.
    """

    system: System
    condition: Condition
    trials: int
    targets: int
    unlabelled: int
    contradictory: int
    eer: float
    eer_ci95: Interval | None
    eer_nearest: float
    min_dcf: float
    actual_dcf: float | None
    costs: Costs
    cllr: float
    min_cllr: float
    identified: Identified | None
    replicate_R: Floats | None

    def row(self) -> dict[str, Any]:
        """Return the row of metrics.json."""
        identified = self.identified
        return {
            **({"run": self.system.run} if self.system.run else {}),
            "system": self.system.name,
            "backbone": self.system.backbone,
            "space": self.system.space,
            "scoring": self.system.scoring,
            "condition": self.condition.view,
            "trials": self.trials,
            "targets": self.targets,
            "unlabelled": self.unlabelled,
            "contradictory": self.contradictory,
            "eer": self.eer,
            "eer_ci95": list(self.eer_ci95) if self.eer_ci95 else None,
            "eer_nearest": self.eer_nearest,
            "min_dcf": self.min_dcf,
            "actual_dcf": self.actual_dcf,
            "p_target": self.costs.p_target,
            "c_miss": self.costs.c_miss,
            "c_fa": self.costs.c_fa,
            "cllr": self.cllr,
            "min_cllr": self.min_cllr,
            "identification_accuracy": identified.accuracy if identified else None,
            "identification_top5": identified.top5 if identified else None,
            "identification_speakers": identified.speakers if identified else None,
        }


@dataclass(frozen=True)
class Pooled:
    """How well one calibrated system is calibrated, all trials of all conditions under one threshold."""

    system: System
    cllr: float
    min_cllr: float
    actual_dcf: float
    min_dcf: float


def measure(
    systems: Sequence[ScoredSystem],
    identified: Mapping[tuple[System, str], Identified],
    draws_SR: Floats | None,
    costs: Costs,
) -> list[Measurement]:
    """Return every metric of every system, condition by condition.

    Args:
        identified: identification by (system, condition), where known.
        draws_SR: bootstrap draws over all speakers, the same for every system; None: no intervals.

    Raises:
        ScoringError: a condition lacks targets or non-targets, or has a score that is not finite; names it.
    """
    twins = reordered_by_nothing(systems)
    replicates: dict[tuple[System, Condition], Floats | None] = {}
    measured = []
    for scored in systems:
        source = twins.get(scored.system, scored)
        for condition, trials in scored.trials.items():
            key = source.system, condition
            try:
                if key not in replicates:
                    replicates[key] = _replicates(source.trials[condition], draws_SR)
                found = identified.get((scored.system, condition.view))
                measured.append(_measured(scored.system, condition, trials, found, replicates[key], costs))
            except ScoringError as error:
                where = f"{scored.path}, {scored.system.name}, condition {condition.view}"
                raise ScoringError(f"{where}: {error}") from error
    return measured


def reordered_by_nothing(systems: Sequence[ScoredSystem]) -> dict[System, ScoredSystem]:
    """Return the calibrated systems whose trials stand in the order of the uncalibrated ones, with these.

    Nothing that depends on order alone, EER and minDCF, tells the two apart.
    """
    by_system = {scored.system: scored for scored in systems}
    found = {}
    for scored in systems:
        twin = by_system.get(scored.system.uncalibrated)
        if scored.system.is_calibrated and twin is not None and _same_order(scored, twin):
            found[scored.system] = twin
    return found


def _same_order(scored: ScoredSystem, twin: ScoredSystem) -> bool:
    if scored.trials.keys() != twin.trials.keys():
        return False
    for condition, trials in scored.trials.items():
        score_P, twin_P = _all_scores(trials), _all_scores(twin.trials[condition])
        if score_P.size != twin_P.size:
            return False
        order_P = np.lexsort((score_P, twin_P))
        step_P, twin_step_P = np.diff(score_P[order_P]), np.diff(twin_P[order_P])
        merged = np.count_nonzero((step_P == 0) & (twin_step_P > 0))
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
) -> Measurement:
    scores = trials.target_T, trials.nontarget_N
    return Measurement(
        system=system,
        condition=condition,
        trials=trials.target_T.size + trials.nontarget_N.size,
        targets=trials.target_T.size,
        unlabelled=trials.unlabelled,
        contradictory=trials.contradictory,
        eer=eer(*scores),
        eer_ci95=None if replicate_R is None else percentile_interval(replicate_R),
        eer_nearest=eer(*scores, "nearest"),
        min_dcf=costs.minimum(*scores),
        actual_dcf=costs.actual(*scores) if system.is_calibrated else None,
        costs=costs,
        cllr=cllr(*scores),
        min_cllr=min_cllr(*scores),
        identified=identified,
        replicate_R=replicate_R,
    )


def pooled_calibration(systems: Sequence[ScoredSystem], views: set[str], costs: Costs) -> Iterator[Pooled]:
    """Yield the calibration of each calibrated system, the trials of the conditions `views` pooled."""
    for scored in systems:
        if scored.system.is_calibrated:
            scores = pooled_scores([trials for condition, trials in scored.trials.items() if condition.view in views])
            yield Pooled(scored.system, cllr(*scores), min_cllr(*scores), costs.actual(*scores), costs.minimum(*scores))


def pooled_scores(trials: Sequence[TrialScores]) -> tuple[Floats, Floats]:
    """Return target scores [T] and non-target scores [N] of several conditions together."""
    return np.concatenate([t.target_T for t in trials]), np.concatenate([t.nontarget_N for t in trials])


def draw_speakers(speakers: int, replicates: int, seed: int) -> Floats | None:
    """Return the draws that all systems share, [S, R]; None where there is nothing to resample."""
    return speaker_draws(speakers, replicates, seed) if speakers > 1 and replicates else None


def det_curve(scored: ScoredSystem, *, clean: bool) -> DetCurve | None:
    """Return the DET curve of a system on its clean, or on all its other conditions, trials pooled."""
    pooled = [trials for condition, trials in scored.trials.items() if condition.is_clean == clean]
    if not pooled:
        return None
    target_T, nontarget_N = pooled_scores(pooled)
    return DetCurve(*det_points(error_rates(grouped(target_T, nontarget_N))), eer(target_T, nontarget_N))


def _replicates(trials: TrialScores, draws_SR: Floats | None) -> Floats | None:
    if draws_SR is None or not trials.speakers_known:
        return None
    kept_T, kept_N = ~trials.contradicted_T, ~trials.contradicted_N
    if not kept_T.any() or not kept_N.any():
        return None
    return eer_replicates(
        trials.target_T[kept_T],
        trials.nontarget_N[kept_N],
        trials.target_speakers_T2[kept_T, 0],
        trials.nontarget_speakers_N2[kept_N],
        draws_SR,
    )
