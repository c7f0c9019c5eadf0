"""Confidence intervals of the EER by resampling speakers: trials of one speaker are not independent, speakers are.

A replicate draws S of the S speakers with replacement. A speaker drawn twice doubles its target trials; a non-target
trial counts as often as its enrolment speaker was drawn times its test speaker was.

Shapes: T target trials, N non-target trials, S speakers, R replicates, C corners of the ROC, P pairs of speakers.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import csr_array

from reseed.stages.scoring.curves import Floats, ScoredTrials, grouped, hull_eer

Indices = NDArray[np.intp]

_BLOCK_R = 64


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
    trials = grouped(target_scores, nontarget_scores)
    corner_C = _possible_corners(trials)
    target_C = _stretch(corner_C, trials, target_scores)
    nontarget_C = _stretch(corner_C, trials, nontarget_scores)
    pairs_P2, pair_N = np.unique(nontarget_speakers_N2, axis=0, return_inverse=True)
    targets_CS = _counts(target_C, target_speaker_T, (corner_C.size, draws_SR.shape[0]))
    nontargets_CP = _counts(nontarget_C, pair_N.ravel(), (corner_C.size, pairs_P2.shape[0]))
    eers = []
    for start in range(0, draws_SR.shape[1], _BLOCK_R):
        block_SR = np.ascontiguousarray(draws_SR[:, start : start + _BLOCK_R])
        pair_draws_PR = block_SR[pairs_P2[:, 0]] * block_SR[pairs_P2[:, 1]]
        eers.append(_weighted_eer(targets_CS @ block_SR, nontargets_CP @ pair_draws_PR))
    return np.concatenate(eers)


def percentile_interval(replicate_R: Floats, level: float = 0.95) -> tuple[float, float] | None:
    """Return the central interval of the replicates that exist, or None where half of them or more do not."""
    finite = replicate_R[np.isfinite(replicate_R)]
    if 2 * finite.size <= replicate_R.size:
        return None
    low, high = np.quantile(finite, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


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


def _counts(row: Indices, column: Indices, shape: tuple[int, int]) -> csr_array:
    return csr_array((np.ones(row.size), (row, column)), shape=shape)


def _weighted_eer(target_CR: Floats, nontarget_CR: Floats) -> Floats:
    missed_CR = np.concatenate([np.zeros((1, target_CR.shape[1])), np.cumsum(target_CR, axis=0)])
    rejected_CR = np.concatenate([np.zeros((1, target_CR.shape[1])), np.cumsum(nontarget_CR, axis=0)])
    eer_R = np.full(target_CR.shape[1], np.nan)
    whole_R = (missed_CR[-1] > 0) & (rejected_CR[-1] > 0)
    missed_CR, rejected_CR = missed_CR[:, whole_R], rejected_CR[:, whole_R]
    eer_R[whole_R] = hull_eer(missed_CR / missed_CR[-1], 1 - rejected_CR / rejected_CR[-1])
    return eer_R
