"""Both error rates at every threshold, the EER on their convex hull, and DET points.

Shapes: T target trials, N non-target trials, K thresholds, R curves (one, or one per bootstrap replicate).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from reseed.store.errors import ScoringError

Floats = NDArray[np.float64]

_HULL_TOLERANCE = 1e-12
_DET_LIMIT = 1e-5


@dataclass(frozen=True)
class ScoredTrials:
    """Checked scores and weights of both classes, grouped by distinct score.

    Attributes:
        score_K: the distinct scores, ascending.
        target_K, nontarget_K: the weight of target and non-target trials that have each score.
    """

    score_K: Floats
    target_K: Floats
    nontarget_K: Floats


@dataclass(frozen=True)
class ErrorRates:
    """Error rates as the threshold rises; a trial is accepted where its score >= threshold.

    Attributes:
        threshold_K: the distinct scores, ascending, and infinity.
        miss_K: rejected share of the targets, rising from 0 to 1.
        false_alarm_K: accepted share of the non-targets, falling from 1 to 0.
    """

    threshold_K: Floats
    miss_K: Floats
    false_alarm_K: Floats


def grouped(
    target_scores: ArrayLike,
    nontarget_scores: ArrayLike,
    target_weights: ArrayLike | None = None,
    nontarget_weights: ArrayLike | None = None,
) -> ScoredTrials:
    """Group the trials of both classes by distinct score, so that ties are one threshold.

    Args:
        target_scores, nontarget_scores: [T] and [N]; higher means more likely the same speaker.
        target_weights, nontarget_weights: [T] and [N], not negative; weight 2 counts as the trial given twice.

    Raises:
        ScoringError: a class is empty or weighs nothing, a score is not finite, or weights do not fit.
    """
    target_T, nontarget_N = _scores(target_scores, nontarget_scores)
    score_K, group = np.unique(np.concatenate([target_T, nontarget_N]), return_inverse=True)
    target_weight_T = _weights(target_weights, target_T.size, "target")
    nontarget_weight_N = _weights(nontarget_weights, nontarget_N.size, "non-target")
    target_K = np.bincount(group[: target_T.size], target_weight_T, score_K.size).astype(np.float64)
    nontarget_K = np.bincount(group[target_T.size :], nontarget_weight_N, score_K.size).astype(np.float64)
    return ScoredTrials(score_K, target_K, nontarget_K)


def error_rates(trials: ScoredTrials) -> ErrorRates:
    """Return both error rates at every threshold that some trial distinguishes, K = distinct scores + 1."""
    missed_K = np.concatenate([[0.0], np.cumsum(trials.target_K)])
    accepted_K = np.concatenate([np.cumsum(trials.nontarget_K[::-1])[::-1], [0.0]])
    threshold_K = np.append(trials.score_K, np.inf)
    return ErrorRates(threshold_K, missed_K / missed_K[-1], accepted_K / accepted_K[0])


def eer_threshold(rates: ErrorRates) -> float:
    """Return the score at which both error rates come nearest, where the threshold of the EER is drawn."""
    return float(rates.threshold_K[np.argmin(np.abs(rates.miss_K - rates.false_alarm_K)[:-1])])


def hull_eer(miss_KR: Floats, false_alarm_KR: Floats) -> Floats:
    """Return the EER on the convex hull of each of R curves: [R], as fractions.

    Two points of a curve, one on either side of miss = false alarm, span a line. The curve's point farthest below
    that line replaces the one on its own side, until none lies below: then the line is the hull's edge there.

    Args:
        miss_KR, false_alarm_KR: error rates at K thresholds; each curve holds the points (0, 1) and (1, 0).

    Source: the ROC convex hull of Provost and Fawcett (2001), its EER as in Brümmer and de Villiers (BOSARIS, 2013).
    """
    columns = np.arange(miss_KR.shape[1])
    ones_R, zeros_R = np.ones(columns.size), np.zeros(columns.size)
    upper, lower = np.stack([zeros_R, ones_R]), np.stack([ones_R, zeros_R])  # [2, R]: false alarm, miss
    while True:
        normal_R, slope_R = upper[1] - lower[1], lower[0] - upper[0]
        height_KR = normal_R * false_alarm_KR + slope_R * miss_KR
        lowest_R = height_KR.argmin(axis=0)
        below_R = normal_R * upper[0] + slope_R * upper[1] - height_KR[lowest_R, columns] > _HULL_TOLERANCE
        if not below_R.any():
            return _where_equal(upper, lower)
        point = np.stack([false_alarm_KR[lowest_R, columns], miss_KR[lowest_R, columns]])
        is_upper_R = point[1] >= point[0]
        upper = np.where(below_R & is_upper_R, point, upper)
        lower = np.where(below_R & ~is_upper_R, point, lower)


def det_points(rates: ErrorRates, count: int = 200) -> tuple[Floats, Floats]:
    """Return at most `count` points of the DET curve as (false alarm, miss) fractions, for plotting.

    Points are evenly spread along the curve on normal-deviate axes, where a plain stride would crowd the middle.
    Rates are kept within 0.001 % of 0 and 1, whose normal deviates are infinite.
    """
    from scipy.special import ndtri  # a tenth of a second, that reading a configuration need not wait for

    false_alarm_K = np.clip(rates.false_alarm_K, _DET_LIMIT, 1 - _DET_LIMIT)
    miss_K = np.clip(rates.miss_K, _DET_LIMIT, 1 - _DET_LIMIT)
    steps = np.hypot(np.diff(ndtri(false_alarm_K)), np.diff(ndtri(miss_K)))
    travelled = np.concatenate([[0.0], np.cumsum(steps)])
    kept = np.unique(np.searchsorted(travelled, np.linspace(0.0, travelled[-1], count)).clip(0, travelled.size - 1))
    return false_alarm_K[kept], miss_K[kept]


def hull_points(trials: ScoredTrials, count: int = 200) -> tuple[Floats, Floats]:
    """Return the convex hull of the ROC as `count` points (false alarm, miss), fractions, for plotting.

    Rates of false alarms are evenly spread on a logarithmic axis. The hull has its corners where the best monotone map
    of the scores steps (pool adjacent violators).

    Source: Fawcett and Niculescu-Mizil, "PAV and the ROC convex hull", Machine Learning 68 (2007).
    """
    from scipy.optimize import isotonic_regression  # half a second, that reading a configuration need not wait for

    weight_K = trials.target_K + trials.nontarget_K
    present = weight_K > 0
    rates = error_rates(ScoredTrials(trials.score_K[present], trials.target_K[present], trials.nontarget_K[present]))
    corners = isotonic_regression(trials.target_K[present] / weight_K[present], weights=weight_K[present]).blocks
    false_alarm_H = np.geomspace(_DET_LIMIT, 1, count)
    miss_H = np.interp(false_alarm_H, rates.false_alarm_K[corners[::-1]], rates.miss_K[corners[::-1]])
    return false_alarm_H, miss_H


def _where_equal(upper: Floats, lower: Floats) -> Floats:
    excess_upper, excess_lower = upper[1] - upper[0], lower[1] - lower[0]
    share = excess_upper / (excess_upper - excess_lower)
    equal: Floats = upper[0] + share * (lower[0] - upper[0])
    return equal


def _scores(target_scores: ArrayLike, nontarget_scores: ArrayLike) -> tuple[Floats, Floats]:
    target_T, nontarget_N = np.asarray(target_scores, np.float64), np.asarray(nontarget_scores, np.float64)
    if target_T.ndim != 1 or nontarget_N.ndim != 1:
        raise ScoringError(f"scores must be one row of numbers; got shapes {target_T.shape} and {nontarget_N.shape}")
    counts = f"{target_T.size} target and {nontarget_N.size} non-target scores"
    if not target_T.size or not nontarget_N.size:
        raise ScoringError(f"{counts}: error rates need both; label trials of both kinds")
    bad = (~np.isfinite(target_T)).sum(), (~np.isfinite(nontarget_N)).sum()
    if any(bad):
        raise ScoringError(f"of {counts}, {bad[0]} and {bad[1]} are not finite; look for damaged embeddings")
    return target_T, nontarget_N


def _weights(weights: ArrayLike | None, count: int, name: str) -> Floats:
    if weights is None:
        return np.ones(count)
    weights_P = np.asarray(weights, np.float64)
    if weights_P.shape != (count,):
        raise ScoringError(f"{count} {name} scores but {name} weights of shape {weights_P.shape}; give one per score")
    if not np.isfinite(weights_P).all() or (weights_P < 0).any() or not weights_P.sum() > 0:
        raise ScoringError(f"{name} weights must be finite, not negative and not all zero")
    return weights_P
