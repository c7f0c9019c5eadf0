"""The operating point for a false-accept rate: a threshold, both error rates there, and their intervals.

Shapes: P trials, T target and N non-target trials, S speakers, R replicates, K thresholds.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from reseed.stages.scoring.bootstrap import percentile_interval, speaker_draws
from reseed.stages.scoring.curves import ErrorRates, Floats, ScoredTrials, error_rates, grouped
from reseed.stages.scoring.labelled import LabelledTrials
from reseed.store.errors import ScoringError

_SUPPORT = 30  # Doddington's rule: 30 errors at least, for 90 % confidence that the rate is within 30 % of the true one
Interval = tuple[float, float]


@dataclass(frozen=True)
class OperatingPoint:
    """Where to put the threshold: a trial is accepted where its score is at least that. Rates are fractions.

    Attributes:
        condition: what the trials are of.
        false_accept: the measured rate at the threshold, at most the one asked for; ties may keep it well below.
        threshold_ci95: of the threshold that the same rate would ask for among other speakers, by bootstrap over
            speakers; None where they are unknown or too few.
        false_accept_ci95, miss_ci95: of both rates at the threshold given here, likewise.
        warning: in words, where the trials do not support the rate; otherwise empty.
    """

    condition: str
    targets: int
    nontargets: int
    unlabelled: int
    threshold: float
    threshold_ci95: Interval | None
    false_accept: float
    false_accept_ci95: Interval | None
    miss: float
    miss_ci95: Interval | None
    warning: str


def operating_point(condition: str, trials: LabelledTrials, asked: float, replicates: int, seed: int) -> OperatingPoint:
    """Return the lowest threshold whose false-accept rate is no higher than asked.

    Args:
        replicates: of the bootstrap, which draws speakers with replacement; see `reseed.stages.scoring.bootstrap`.

    Raises:
        ScoringError: a class is empty or a score is not finite.
    """
    ranked = _Ranked(trials)
    rates = ranked.rates(np.ones(trials.target_T.size), np.ones(trials.nontarget_N.size))
    at = _lowest(rates, asked)
    draws_SR = speaker_draws(trials.speakers, replicates, seed) if trials.speakers_known else None
    thresholds_R, accepted_R, missed_R = _replicates(ranked, trials, at, asked, draws_SR)
    return OperatingPoint(
        condition=condition,
        targets=trials.target_T.size,
        nontargets=trials.nontarget_N.size,
        unlabelled=trials.unlabelled,
        threshold=_finite(rates, at),
        threshold_ci95=percentile_interval(thresholds_R),
        false_accept=float(rates.false_alarm_K[at]),
        false_accept_ci95=percentile_interval(accepted_R),
        miss=float(rates.miss_K[at]),
        miss_ci95=percentile_interval(missed_R),
        warning=_warning(trials, asked),
    )


class _Ranked:
    """The distinct scores of both classes, and where each trial stands among them."""

    def __init__(self, trials: LabelledTrials) -> None:
        try:
            self.score_K = grouped(trials.target_T, trials.nontarget_N).score_K
        except ScoringError as error:
            aside = f" ({trials.unlabelled} more are unlabelled)" if trials.unlabelled else ""
            raise ScoringError(f"{error}{aside}") from error
        self.place_T = np.searchsorted(self.score_K, trials.target_T)
        self.place_N = np.searchsorted(self.score_K, trials.nontarget_N)

    def rates(self, weight_T: Floats, weight_N: Floats) -> ErrorRates:
        return error_rates(
            ScoredTrials(self.score_K, self._weights(self.place_T, weight_T), self._weights(self.place_N, weight_N))
        )

    def _weights(self, place_P: NDArray[np.intp], weight_P: Floats) -> Floats:
        return np.bincount(place_P, weight_P, self.score_K.size).astype(np.float64)


def _replicates(
    ranked: _Ranked, trials: LabelledTrials, at: int, asked: float, draws_SR: Floats | None
) -> tuple[Floats, Floats, Floats]:
    """Return of each replicate the threshold it would choose, and both rates at the threshold chosen on all: [R] each.

    Trials whose label their speakers contradict are in none; NaN where a class has no trial left.
    """
    if draws_SR is None:
        return np.empty(0), np.empty(0), np.empty(0)
    found_3R = np.full((3, draws_SR.shape[1]), np.nan)
    enrolled_T, tested_T = trials.target_speakers_T2.T
    enrolled_N, tested_N = trials.nontarget_speakers_N2.T
    for number, draw_S in enumerate(draws_SR.T):
        weight_T = draw_S[enrolled_T] * (enrolled_T == tested_T)
        weight_N = draw_S[enrolled_N] * draw_S[tested_N] * (enrolled_N != tested_N)
        if weight_T.any() and weight_N.any():
            rates = ranked.rates(weight_T, weight_N)
            chosen = _finite(rates, _lowest(rates, asked))
            found_3R[:, number] = chosen, rates.false_alarm_K[at], rates.miss_K[at]
    return found_3R[0], found_3R[1], found_3R[2]


def _lowest(rates: ErrorRates, asked: float) -> int:
    """Return the lowest threshold whose false-accept rate is no higher than asked; the rate falls as it rises."""
    return int(np.argmax(rates.false_alarm_K <= asked))


def _finite(rates: ErrorRates, at: int) -> float:
    """Return a threshold; where only infinity will do, the next number above the highest score does as well."""
    found = rates.threshold_K[at]
    return float(found if np.isfinite(found) else np.nextafter(rates.threshold_K[-2], np.inf))


def _warning(trials: LabelledTrials, asked: float) -> str:
    expected = asked * trials.nontarget_N.size
    words = []
    if expected < _SUPPORT:
        words.append(
            f"too few non-targets: {asked:.3%} of {trials.nontarget_N.size} is {expected:.3g} false accepts, and a "
            f"rate rests on {_SUPPORT}, so on {math.ceil(_SUPPORT / asked)} non-targets"
        )
    if not trials.speakers_known:
        words.append("no intervals: the speakers of some trials are unknown")
    return "; ".join(words)
