"""Confidence intervals of metrics by resampling speakers: trials of one speaker are not independent, speakers are.

A replicate draws S of the S speakers with replacement. A speaker drawn twice doubles its target trials; a non-target
trial counts as often as its enrolment speaker was drawn times its test speaker was. Where sessions are known that
several speakers share, such as rooms or days, they are drawn as speakers are, and a trial counts as often as all its
speakers and sessions were drawn, multiplied: the pigeonhole bootstrap (Owen, Annals of Applied Statistics 1, 2007).

Shapes: T target trials, N non-target trials, U units that are drawn (speakers, then sessions), K units of a trial,
R replicates, C corners of the ROC, G groups of trials of the same units, Q detection costs, F sums.
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


def speaker_draws(speakers: int, replicates: int, seed: int, sessions: int = 0) -> Floats | None:
    """Return how often each replicate draws each speaker and, below these, each session: [U, R].

    The columns of either sum to their number. The same draws given to several systems and conditions make their
    replicates comparable one by one. None where there is nothing to draw: fewer than two speakers, or no replicates.
    """
    if speakers < 2 or not replicates:
        return None
    generator = np.random.default_rng(seed)
    drawn = [
        generator.multinomial(count, np.full(count, 1 / count), replicates).T for count in (speakers, sessions) if count
    ]
    return np.concatenate(drawn).astype(np.float64)


def eer_replicates(
    target_scores: ArrayLike,
    nontarget_scores: ArrayLike,
    target_units: Indices,
    nontarget_units: Indices,
    draws_UR: Floats,
) -> Floats:
    """Return the EER of each replicate, [R], convention "rocch", a fraction; NaN where a class has no trial left.

    See `metric_replicates` for arguments and errors.
    """
    return metric_replicates(target_scores, nontarget_scores, target_units, nontarget_units, draws_UR).eer_R


def metric_replicates(
    target_scores: ArrayLike,
    nontarget_scores: ArrayLike,
    target_units: Indices,
    nontarget_units: Indices,
    draws_UR: Floats,
    costs: Sequence[tuple[float, float]] = (),
    *,
    target_weights: ArrayLike | None = None,
    nontarget_weights: ArrayLike | None = None,
) -> Replicates:
    """Return EER, minimum and actual DCF and Cllr of each replicate; scores are natural-log LLRs for the last two.

    Args:
        target_units: [T] or [T, K], rows of `draws_UR` that each target trial depends on: its speaker, and its
            sessions where they are drawn; -1: none.
        nontarget_units: [N, K], likewise: enrolment and test speaker first.
        draws_UR: how often each replicate draws each unit, see `speaker_draws`.
        costs: of each DCF, what a miss and a false alarm cost, times the prior of their class.
        target_weights, nontarget_weights: [T] and [N], of the trials as they are; 1 by default.

    Raises:
        ScoringError: a class is empty, a score is not finite, or weights do not fit.
    """
    target_T, nontarget_N = np.asarray(target_scores, np.float64), np.asarray(nontarget_scores, np.float64)
    trials = grouped(target_T, nontarget_N, target_weights, nontarget_weights)
    corner_C = _possible_corners(trials)
    paid_T, paid_N = _paid(target_T, nontarget_N, costs)
    classes = [
        _Class.of(_stretch(corner_C, trials, target_T), corner_C.size, target_units, target_weights, paid_T),
        _Class.of(_stretch(corner_C, trials, nontarget_N), corner_C.size, nontarget_units, nontarget_weights, paid_N),
    ]
    found = []
    for start in range(0, draws_UR.shape[1], _BLOCK_R):
        drawn = [each.drawn(draws_UR[:, start : start + _BLOCK_R]) for each in classes]
        (target_CR, target_FR), (nontarget_CR, nontarget_FR) = drawn
        by_order, by_value = _by_order(target_CR, nontarget_CR, costs), _by_value(target_FR, nontarget_FR, costs)
        found.append(np.concatenate([by_order, by_value]))
    rows, count = np.concatenate([np.empty((2 + 2 * len(costs), 0)), *found], axis=1), len(costs)
    return Replicates(rows[0], rows[1 : 1 + count], rows[2 + count :], rows[1 + count])


def labelled_replicates(
    trials: LabelledTrials,
    draws_UR: Floats | None,
    costs: Sequence[tuple[float, float]] = (),
    *,
    target_weights: Floats | None = None,
    nontarget_weights: Floats | None = None,
) -> Replicates | None:
    """Return the metrics of each replicate of labelled trials, by their speakers; see `metric_replicates`.

    Trials whose label contradicts their speakers are in none, since it is open whom they depend on. None where there
    are no draws, a speaker is unknown, or a class has no other trial.
    """
    if draws_UR is None or not trials.speakers_known:
        return None
    kept_T, kept_N = ~trials.contradicted_T, ~trials.contradicted_N
    if not kept_T.any() or not kept_N.any():
        return None
    return metric_replicates(
        trials.target_T[kept_T],
        trials.nontarget_N[kept_N],
        _once(trials.target_units[kept_T]),
        _once(trials.nontarget_units[kept_N]),
        draws_UR,
        costs,
        target_weights=None if target_weights is None else target_weights[kept_T],
        nontarget_weights=None if nontarget_weights is None else nontarget_weights[kept_N],
    )


def rate_replicates(trials: LabelledTrials, threshold: float, draws_UR: Floats | None) -> tuple[Floats, Floats] | None:
    """Return the miss and the false-alarm rate of each replicate at one threshold, [R] each.

    Which trials count, and where there are none, is as of `labelled_replicates`.
    """
    if draws_UR is None or not trials.speakers_known:
        return None
    found = []
    for is_error_P, units, kept_P in (
        (trials.target_T < threshold, trials.target_units, ~trials.contradicted_T),
        (trials.nontarget_N >= threshold, trials.nontarget_units, ~trials.contradicted_N),
    ):
        if not kept_P.any():
            return None
        stretch_P = np.zeros(np.count_nonzero(kept_P), np.intp)
        counted = _Class.of(stretch_P, 1, _once(units[kept_P]), None, [is_error_P[kept_P].astype(np.float64)])
        total_R, errors_R = counted.drawn(draws_UR)[1]
        with np.errstate(invalid="ignore"):
            found.append(errors_R / total_R)
    return found[0], found[1]


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


@dataclass(frozen=True)
class _Class:
    """The trials of one class, those of the same units together.

    Attributes:
        units_GK: of each group; -1: none.
        trials_CG: what the trials of a group weigh in each stretch between two corners.
        paid_FG: what they weigh in all, and what they pay of each kind.
    """

    units_GK: Indices
    trials_CG: csr_array
    paid_FG: Floats

    @classmethod
    def of(
        cls, stretch_P: Indices, corners: int, units: Indices, weights: ArrayLike | None, paid: Sequence[Floats]
    ) -> "_Class":
        units_PK = units.reshape(stretch_P.size, -1)
        units_GK, group_P = np.unique(units_PK, axis=0, return_inverse=True)
        group_P, groups = group_P.ravel(), len(units_GK)
        weight_P = np.ones(stretch_P.size) if weights is None else np.asarray(weights, np.float64)
        trials_CG = csr_array((weight_P, (stretch_P, group_P)), shape=(corners, groups))
        sums = [np.bincount(group_P, weight_P * each, groups) for each in (np.ones(stretch_P.size), *paid)]
        return cls(units_GK, trials_CG, np.stack(sums))

    def drawn(self, draws_UR: Floats) -> tuple[Floats, Floats]:
        """Return what the trials weigh in each stretch, [C, R], and what they weigh and pay, [F, R]."""
        every_UR = np.append(draws_UR, np.ones((1, draws_UR.shape[1])), axis=0)  # row -1: no unit
        every_UR = every_UR.astype(np.uint16)  # the products of all groups are what takes time: fewer bytes
        drawn_GR = every_UR[self.units_GK[:, 0]]
        for unit_G in self.units_GK.T[1:]:
            drawn_GR *= every_UR[unit_G]
        wide_GR = drawn_GR.astype(np.float64)
        return self.trials_CG @ wide_GR, self.paid_FG @ wide_GR


def _paid(
    target_T: Floats, nontarget_N: Floats, costs: Sequence[tuple[float, float]]
) -> tuple[list[Floats], list[Floats]]:
    """Return what each trial of either class pays, in Cllr and in each actual DCF."""
    thresholds = [np.log(of_false_alarms / of_misses) for of_misses, of_false_alarms in costs]
    missed = [(target_T < threshold).astype(np.float64) for threshold in thresholds]
    accepted = [(nontarget_N >= threshold).astype(np.float64) for threshold in thresholds]
    return [np.logaddexp(0, -target_T), *missed], [np.logaddexp(0, nontarget_N), *accepted]


def _once(units_PK: Indices) -> Indices:
    """Return units of trials, each at its first place alone: a speaker or session on both sides counts once."""
    units = units_PK.copy()
    for later in range(1, units.shape[1]):
        units[(units[:, :later] == units[:, later : later + 1]).any(axis=1), later] = -1
    return units


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
