"""Every metric of every system under every condition.

Shapes: S speakers, R bootstrap replicates.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from stages.reporting.load import Identified, ScoredSystem, System, TrialScores
from stages.scoring.bootstrap import eer_replicates, percentile_interval, speaker_draws
from stages.scoring.conditions import Condition
from stages.scoring.curves import Floats, det_points, error_rates, grouped
from stages.scoring.metrics import cllr, eer, min_cllr, min_dcf
from store import ScoringError

Interval = tuple[float, float]


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
    min_dcf: float
    p_target: float
    cllr: float
    min_cllr: float
    identified: Identified | None
    replicate_R: Floats | None

    def row(self) -> dict[str, Any]:
        """Return the row of metrics.json."""
        return {
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
            "min_dcf": self.min_dcf,
            "p_target": self.p_target,
            "cllr": self.cllr,
            "min_cllr": self.min_cllr,
            "identification_accuracy": self.identified.accuracy if self.identified else None,
            "identification_speakers": self.identified.speakers if self.identified else None,
        }


def measure(
    scored: ScoredSystem, identified: Mapping[tuple[str, str], Identified], draws_SR: Floats | None, p_target: float
) -> Iterator[Measurement]:
    """Yield every metric of one system, condition by condition.

    Args:
        identified: identification by (system, condition), where known.
        draws_SR: bootstrap draws over all speakers, the same for every system; None: no intervals.

    Raises:
        ScoringError: a condition lacks targets or non-targets, or has a score that is not finite; names it.
    """
    for condition, trials in scored.trials.items():
        scores = trials.target_T, trials.nontarget_N
        try:
            point = eer(*scores)
        except ScoringError as error:
            raise ScoringError(f"{scored.path}, {scored.system.name}, condition {condition.view}: {error}") from error
        replicate_R = _replicates(trials, draws_SR)
        yield Measurement(
            system=scored.system,
            condition=condition,
            trials=trials.target_T.size + trials.nontarget_N.size,
            targets=trials.target_T.size,
            unlabelled=trials.unlabelled,
            contradictory=trials.contradictory,
            eer=point,
            eer_ci95=None if replicate_R is None else percentile_interval(replicate_R),
            min_dcf=min_dcf(*scores, p_target=p_target),
            p_target=p_target,
            cllr=cllr(*scores),
            min_cllr=min_cllr(*scores),
            identified=identified.get((scored.system.name, condition.view)),
            replicate_R=replicate_R,
        )


def draw_speakers(speakers: int, replicates: int, seed: int) -> Floats | None:
    """Return the draws that all systems share, [S, R]; None where there is nothing to resample."""
    return speaker_draws(speakers, replicates, seed) if speakers > 1 and replicates else None


def det_curve(scored: ScoredSystem, *, clean: bool) -> DetCurve | None:
    """Return the DET curve of a system on its clean, or on all its other conditions, trials pooled."""
    pooled = [trials for condition, trials in scored.trials.items() if condition.is_clean == clean]
    if not pooled:
        return None
    target_T = np.concatenate([trials.target_T for trials in pooled])
    nontarget_N = np.concatenate([trials.nontarget_N for trials in pooled])
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
