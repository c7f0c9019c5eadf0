"""Confidence intervals of metrics by resampling speakers: trials of one speaker are not independent, speakers are.

A replicate draws S of the S speakers with replacement. A speaker drawn twice doubles its target trials; a non-target
trial counts as often as its enrolment speaker was drawn times its test speaker was.

Shapes: T target trials, N non-target trials, S speakers, R replicates, C corners of the ROC, P pairs of speakers,
Q detection costs.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import csr_array
from scipy.special import ndtr, ndtri

from reseed.stages.scoring.curves import Floats, ScoredTrials, grouped, hull_eer
from reseed.stages.scoring.labelled import LabelledTrials

Indices = NDArray[np.intp]

_BLOCK_R = 32
_LN2 = float(np.log(2))


@dataclass(frozen=True)
class Replicates:
    """Metrics of each replicate; NaN where a class has no trial left.

    Attributes:
        eer_R: [R], convention "rocch".
        min_dcf_QR, actual_dcf_QR: [Q, R], normalised, for each detection cost.
        cllr_R: [R], bits.
    """

    eer_R: Floats
    min_dcf_QR: Floats
    actual_dcf_QR: Floats
    cllr_R: Floats


def speaker_draws(speakers: int, replicates: int, seed: int) -> Floats | None:
    """Return how often each replicate draws each speaker: [S, R], every column sums to S.

    The same draws given to several systems and conditions make their replicates comparable one by one. None where
    there is nothing to draw: fewer than two speakers, or no replicates.
    """
    if speakers < 2 or not replicates:
        return None
    generator = np.random.default_rng(seed)
    return generator.multinomial(speakers, np.full(speakers, 1 / speakers), size=replicates).T.astype(np.float64)


def eer_replicates(
    target_scores: ArrayLike,
    nontarget_scores: ArrayLike,
    target_speaker_T: Indices,
    nontarget_speakers_N2: Indices,
    draws_SR: Floats,
) -> Floats:
    """Return the EER of each replicate, [R], convention "rocch", a fraction; NaN where a class has no trial left.

    Args:
        target_speaker_T: the speaker of each target trial, a row of `draws_SR`.
        nontarget_speakers_N2: enrolment and test speaker of each non-target trial.
        draws_SR: how often each replicate draws each speaker, see `speaker_draws`.

    Raises:
        ScoringError: a class is empty or a score is not finite.
    """
    return metric_replicates(target_scores, nontarget_scores, target_speaker_T, nontarget_speakers_N2, draws_SR).eer_R


def metric_replicates(
    target_scores: ArrayLike,
    nontarget_scores: ArrayLike,
    target_speaker_T: Indices,
    nontarget_speakers_N2: Indices,
    draws_SR: Floats,
    costs: Sequence[tuple[float, float]] = (),
    *,
    target_weights: ArrayLike | None = None,
    nontarget_weights: ArrayLike | None = None,
) -> Replicates:
    """Return EER, minimum and actual DCF and Cllr of each replicate; scores are natural-log LLRs for the last two.

    Args:
        target_speaker_T, nontarget_speakers_N2, draws_SR: as of `eer_replicates`.
        costs: of each DCF, what a miss and a false alarm cost, times the prior of their class.
        target_weights, nontarget_weights: [T] and [N], of the trials as they are; 1 by default.

    Raises:
        ScoringError: a class is empty, a score is not finite, or weights do not fit.
    """
    target_T, nontarget_N = np.asarray(target_scores, np.float64), np.asarray(nontarget_scores, np.float64)
    trials = grouped(target_T, nontarget_N, target_weights, nontarget_weights)
    weight_T = np.ones(target_T.size) if target_weights is None else np.asarray(target_weights, np.float64)
    weight_N = np.ones(nontarget_N.size) if nontarget_weights is None else np.asarray(nontarget_weights, np.float64)
    corner_C = _possible_corners(trials)
    pairs_P2, pair_N = np.unique(nontarget_speakers_N2, axis=0, return_inverse=True)
    pair_N = pair_N.ravel()
    corners, speakers, pairs = corner_C.size, draws_SR.shape[0], pairs_P2.shape[0]
    targets_CS = _counts(_stretch(corner_C, trials, target_T), target_speaker_T, weight_T, (corners, speakers))
    nontargets_CP = _counts(_stretch(corner_C, trials, nontarget_N), pair_N, weight_N, (corners, pairs))
    nontargets_CP = nontargets_CP.astype(np.float32)
    thresholds = [np.log(of_false_alarms / of_misses) for of_misses, of_false_alarms in costs]
    paid_T = [np.logaddexp(0, -target_T), *(target_T < threshold for threshold in thresholds)]
    paid_N = [np.logaddexp(0, nontarget_N), *(nontarget_N >= threshold for threshold in thresholds)]
    target_FS = _sums(target_speaker_T, weight_T, paid_T, speakers)
    nontarget_FSS = [
        csr_array((paid_P, (pairs_P2[:, 0], pairs_P2[:, 1])), shape=(speakers, speakers))
        for paid_P in _sums(pair_N, weight_N, paid_N, pairs)
    ]
    found = []
    for start in range(0, draws_SR.shape[1], _BLOCK_R):
        block_SR = np.ascontiguousarray(draws_SR[:, start : start + _BLOCK_R])
        small_SR = block_SR.astype(np.uint16)  # the products of all pairs are what takes time: fewer bytes
        pair_draws_PR = (small_SR[pairs_P2[:, 0]] * small_SR[pairs_P2[:, 1]]).astype(np.float32)
        ranked = _by_order(targets_CS @ block_SR, (nontargets_CP @ pair_draws_PR).astype(np.float64), costs)
        of_pairs_FR = np.stack([((paid_SS @ block_SR) * block_SR).sum(axis=0) for paid_SS in nontarget_FSS])
        found.append(np.concatenate([ranked, _by_value(target_FS @ block_SR, of_pairs_FR, costs)]))
    rows = np.concatenate([np.empty((2 + 2 * len(costs), 0)), *found], axis=1)
    count = len(costs)
    return Replicates(rows[0], rows[1 : 1 + count], rows[2 + count :], rows[1 + count])


def labelled_replicates(
    trials: LabelledTrials,
    draws_SR: Floats | None,
    costs: Sequence[tuple[float, float]] = (),
    *,
    target_weights: Floats | None = None,
    nontarget_weights: Floats | None = None,
) -> Replicates | None:
    """Return the metrics of each replicate of labelled trials, by their speakers; see `metric_replicates`.

    Trials whose label contradicts their speakers are in none, since it is open whom they depend on. None where there
    are no draws, a speaker is unknown, or a class has no other trial.
    """
    if draws_SR is None or not trials.speakers_known:
        return None
    kept_T, kept_N = ~trials.contradicted_T, ~trials.contradicted_N
    if not kept_T.any() or not kept_N.any():
        return None
    return metric_replicates(
        trials.target_T[kept_T],
        trials.nontarget_N[kept_N],
        trials.target_speakers_T2[kept_T, 0],
        trials.nontarget_speakers_N2[kept_N],
        draws_SR,
        costs,
        target_weights=None if target_weights is None else target_weights[kept_T],
        nontarget_weights=None if nontarget_weights is None else nontarget_weights[kept_N],
    )


def percentile_interval(replicate_R: Floats, level: float = 0.95) -> tuple[float, float] | None:
    """Return the central interval of the replicates that exist, or None where half of them or more do not."""
    finite = replicate_R[np.isfinite(replicate_R)]
    if 2 * finite.size <= replicate_R.size:
        return None
    low, high = np.quantile(finite, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def bias_corrected_interval(value: float, replicate_R: Floats, level: float = 0.95) -> tuple[float, float] | None:
    """Return the interval whose ends are moved by as much as the replicates lie to one side of the value.

    A minimum over thresholds comes out too low on few trials, and lower still on resampled ones. None as of
    `percentile_interval`.

    Source: the bias-corrected percentile method, Efron, Canadian Journal of Statistics 9 (1981).
    """
    finite = replicate_R[np.isfinite(replicate_R)]
    if 2 * finite.size <= replicate_R.size:
        return None
    below = (np.count_nonzero(finite < value) + np.count_nonzero(finite == value) / 2) / finite.size
    shift = 2 * ndtri(np.clip(below, 1 / (finite.size + 1), 1 - 1 / (finite.size + 1)))
    low, high = np.quantile(finite, ndtr(shift + ndtri([(1 - level) / 2, (1 + level) / 2])))
    return float(low), float(high)


def p_value(difference_R: Floats) -> float | None:
    """Return the two-sided p-value of no difference, from paired replicates; None where none of them is finite.

    Twice the share of replicates on the rarer side of 0, a replicate at 0 counting on both, and one more on either side
    for the sample itself, so that it is never 0.

    Source: Davison and Hinkley, Bootstrap Methods and their Application (1997), section 4.4, by inverting the
    percentile interval.
    """
    finite = difference_R[np.isfinite(difference_R)]
    if not finite.size:
        return None
    rarer = min(np.count_nonzero(finite <= 0), np.count_nonzero(finite >= 0))
    return min(1.0, 2 * (rarer + 1) / (finite.size + 1))


def _possible_corners(trials: ScoredTrials) -> Indices:
    """Return the thresholds that can be a corner of the hull under some weights, as indices into score_K, ascending.

    Such a threshold lies above a non-target and at a target; any other can be moved at no cost. There are far fewer
    of these than trials, and leaving out the rest changes nothing.
    """
    inner = (trials.nontarget_K[:-1] > 0) & (trials.target_K[1:] > 0)
    return np.concatenate([[0], np.flatnonzero(inner) + 1]).astype(np.intp)


def _stretch(corner_C: Indices, trials: ScoredTrials, scores: ArrayLike) -> Indices:
    """Return for each trial the stretch between two corners in which its score lies."""
    position = np.searchsorted(trials.score_K, np.asarray(scores, np.float64))
    return np.searchsorted(corner_C, position, side="right") - 1


def _counts(row: Indices, column: Indices, weight: Floats, shape: tuple[int, int]) -> csr_array:
    return csr_array((weight, (row, column)), shape=shape)


def _sums(group: Indices, weight: Floats, paid: Sequence[Floats], groups: int) -> Floats:
    """Return by group what its trials weigh, and what they pay of each kind: [1 + kinds, groups]."""
    return np.stack([np.bincount(group, weight * each, groups) for each in (np.ones(group.size), *paid)])


def _by_order(target_CR: Floats, nontarget_CR: Floats, costs: Sequence[tuple[float, float]]) -> Floats:
    """Return what depends on the order of scores alone: the EER and each minimum DCF, [1 + Q, R]."""
    missed_CR = np.concatenate([np.zeros((1, target_CR.shape[1])), np.cumsum(target_CR, axis=0)])
    rejected_CR = np.concatenate([np.zeros((1, target_CR.shape[1])), np.cumsum(nontarget_CR, axis=0)])
    found = np.full((1 + len(costs), target_CR.shape[1]), np.nan)
    whole_R = (missed_CR[-1] > 0) & (rejected_CR[-1] > 0)
    missed_CR, rejected_CR = missed_CR[:, whole_R], rejected_CR[:, whole_R]
    miss_CR, false_alarm_CR = missed_CR / missed_CR[-1], 1 - rejected_CR / rejected_CR[-1]
    lowest = [(miss * miss_CR + alarm * false_alarm_CR).min(axis=0) / min(miss, alarm) for miss, alarm in costs]
    found[:, whole_R] = np.stack([hull_eer(miss_CR, false_alarm_CR), *lowest])
    return found


def _by_value(target_FR: Floats, nontarget_FR: Floats, costs: Sequence[tuple[float, float]]) -> Floats:
    """Return what depends on the scores as numbers: Cllr and each actual DCF, [1 + Q, R]."""
    with np.errstate(invalid="ignore", divide="ignore"):
        target_FR, nontarget_FR = target_FR[1:] / target_FR[0], nontarget_FR[1:] / nontarget_FR[0]
    cllr_R = (target_FR[0] + nontarget_FR[0]) / (2 * _LN2)
    actual = [
        (of_misses * miss_R + of_alarms * alarm_R) / min(of_misses, of_alarms)
        for (of_misses, of_alarms), miss_R, alarm_R in zip(costs, target_FR[1:], nontarget_FR[1:], strict=True)
    ]
    return np.stack([cllr_R, *actual])
