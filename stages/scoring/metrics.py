"""Metrics of speaker verification: EER, minimum and actual DCF, Cllr and min Cllr. Error rates are fractions.

All take scores of target and of non-target trials, in any order; tied scores are one threshold. A trial of weight 2
counts as that trial given twice. All raise ScoringError where a class is empty or a score is not finite.

Shapes: T target trials, N non-target trials, K distinct scores.
"""

from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from reseed.stages.scoring.curves import Floats, ScoredTrials, error_rates, grouped, hull_eer
from reseed.store.errors import ScoringError

EerConvention = Literal["rocch", "nearest"]


def eer(
    target_scores: ArrayLike,
    nontarget_scores: ArrayLike,
    convention: EerConvention = "rocch",
    *,
    target_weights: ArrayLike | None = None,
    nontarget_weights: ArrayLike | None = None,
) -> float:
    """Return the equal error rate, a fraction.

    Args:
        convention: "rocch" interpolates on the convex hull of the ROC, which no tie and no step can shift (Brümmer
            and de Villiers, BOSARIS, 2013). "nearest" is what voxceleb_trainer and SEED print: max(false alarm,
            miss) at the corner of the ROC where the two come nearest.

    Raises:
        ScoringError: a class is empty, a score is not finite, or the convention is unknown.
    """
    trials = grouped(target_scores, nontarget_scores, target_weights, nontarget_weights)
    if convention == "rocch":
        rates = error_rates(trials)
        return float(hull_eer(rates.miss_K[:, None], rates.false_alarm_K[:, None])[0])
    if convention == "nearest":
        return _nearest_eer(trials)
    raise ScoringError(f"unknown EER convention {convention!r}; choose rocch or nearest")


def min_dcf(
    target_scores: ArrayLike,
    nontarget_scores: ArrayLike,
    *,
    p_target: float = 0.05,
    c_miss: float = 1.0,
    c_fa: float = 1.0,
    target_weights: ArrayLike | None = None,
    nontarget_weights: ArrayLike | None = None,
) -> float:
    """Return the normalised minimum detection cost: 1 is the cost of the better of accepting or rejecting all.

    Args:
        p_target: prior probability of a target trial.
        c_miss, c_fa: cost of a miss and of a false alarm.

    Raises:
        ScoringError: a class is empty, a score is not finite, or prior or costs are out of range.

    Source: NIST SRE 2016 evaluation plan, equations 2 to 4.
    """
    cost_miss, cost_fa = _costs(p_target, c_miss, c_fa)
    rates = error_rates(grouped(target_scores, nontarget_scores, target_weights, nontarget_weights))
    lowest = np.min(cost_miss * rates.miss_K + cost_fa * rates.false_alarm_K)
    return float(lowest / min(cost_miss, cost_fa))


def actual_dcf(
    target_scores: ArrayLike,
    nontarget_scores: ArrayLike,
    *,
    p_target: float = 0.05,
    c_miss: float = 1.0,
    c_fa: float = 1.0,
    target_weights: ArrayLike | None = None,
    nontarget_weights: ArrayLike | None = None,
) -> float:
    """Return the normalised detection cost at the Bayes threshold, scores taken as natural-log likelihood ratios.

    A trial is accepted where its score is at least log(c_fa (1 - p_target) / (c_miss p_target)). What lies between
    this and `min_dcf` is lost to calibration.

    Raises:
        ScoringError: a class is empty, a score is not finite, or prior or costs are out of range.

    Source: NIST SRE 2016 evaluation plan, equations 2 to 5.
    """
    cost_miss, cost_fa = _costs(p_target, c_miss, c_fa)
    trials = grouped(target_scores, nontarget_scores, target_weights, nontarget_weights)
    accepted_K = trials.score_K >= np.log(cost_fa / cost_miss)
    miss = trials.target_K[~accepted_K].sum() / trials.target_K.sum()
    false_alarm = trials.nontarget_K[accepted_K].sum() / trials.nontarget_K.sum()
    return float((cost_miss * miss + cost_fa * false_alarm) / min(cost_miss, cost_fa))


def cllr(
    target_scores: ArrayLike,
    nontarget_scores: ArrayLike,
    *,
    target_weights: ArrayLike | None = None,
    nontarget_weights: ArrayLike | None = None,
) -> float:
    """Return the cost of the log-likelihood ratio in bits, scores taken as natural-log likelihood ratios.

    0 is perfect, 1 says nothing; above 1 the scores mislead.

    Raises:
        ScoringError: a class is empty or a score is not finite.

    Source: Brümmer and du Preez, Computer Speech and Language 20 (2006).
    """
    trials = grouped(target_scores, nontarget_scores, target_weights, nontarget_weights)
    return _cllr(trials, trials.score_K)


def min_cllr(
    target_scores: ArrayLike,
    nontarget_scores: ArrayLike,
    *,
    target_weights: ArrayLike | None = None,
    nontarget_weights: ArrayLike | None = None,
) -> float:
    """Return Cllr after the best monotone map of the scores (pool adjacent violators): what calibration cannot gain.

    Raises:
        ScoringError: a class is empty or a score is not finite.

    Source: Brümmer and du Preez, Computer Speech and Language 20 (2006).
    """
    from scipy.special import logit
    from sklearn.isotonic import isotonic_regression  # a second, that reading a configuration need not wait for

    trials = grouped(target_scores, nontarget_scores, target_weights, nontarget_weights)
    weight_K = trials.target_K + trials.nontarget_K
    present = weight_K > 0
    trials = ScoredTrials(trials.score_K[present], trials.target_K[present], trials.nontarget_K[present])
    posterior_K = isotonic_regression(trials.target_K / weight_K[present], sample_weight=weight_K[present])
    prior = trials.target_K.sum() / weight_K.sum()
    return _cllr(trials, logit(posterior_K.clip(0, 1)) - logit(prior))


def _costs(p_target: float, c_miss: float, c_fa: float) -> tuple[float, float]:
    """Return what a miss and a false alarm cost, each times the prior of its class."""
    if not 0 < p_target < 1 or not c_miss > 0 or not c_fa > 0:
        raise ScoringError(f"a DCF needs 0 < p_target < 1 and costs > 0; got {p_target}, {c_miss} and {c_fa}")
    return c_miss * p_target, c_fa * (1 - p_target)


def _cllr(trials: ScoredTrials, llr_K: Floats) -> float:
    cost_target = _mean(np.logaddexp(0, -llr_K), trials.target_K)
    cost_nontarget = _mean(np.logaddexp(0, llr_K), trials.nontarget_K)
    return (cost_target + cost_nontarget) / (2 * float(np.log(2)))


def _mean(cost_K: Floats, weight_K: Floats) -> float:
    """Weighted mean over what has weight: an infinite cost that no trial pays must not turn into a NaN."""
    paid = weight_K > 0
    return float(np.average(cost_K[paid], weights=weight_K[paid]))


def _nearest_eer(trials: ScoredTrials) -> float:
    """Follow scikit-learn's roc_curve, which the tools named above call, to the last bit: the thresholds it drops
    along straight runs and its rounding of 1 - hit rate decide which of two equally near corners is taken.
    """
    target_K, nontarget_K = trials.target_K[::-1], trials.nontarget_K[::-1]
    kept = np.ones(target_K.size, np.bool_)
    kept[1:-1] = (np.diff(target_K)[1:] != 0) | (np.diff(nontarget_K)[1:] != 0)
    hit, false_alarm = (
        np.concatenate([[0.0], np.cumsum(weight_K)[kept] / weight_K.sum()]) for weight_K in (target_K, nontarget_K)
    )
    miss = 1 - hit
    nearest = np.argmin(np.abs(miss - false_alarm))
    return float(max(miss[nearest], false_alarm[nearest]))
