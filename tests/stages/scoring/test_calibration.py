"""Calibration against scores whose true log-likelihood ratio is known."""

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.special import logit
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

from reseed.stages.scoring.calibration import fit_calibration, fit_gaussian_calibration
from reseed.stages.scoring.metrics import actual_dcf, cllr, eer, min_cllr, min_dcf
from reseed.store import ScoringError


def trials(count: int = 20_000, apart: float = 2.0, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Scores of two normal classes of deviation 1 at +-apart/2, whose log-likelihood ratio is apart x score."""
    generator = np.random.default_rng(seed)
    target = generator.random(count) < 0.2
    return np.where(target, apart / 2, -apart / 2) + generator.normal(size=count), target


def test_finds_the_true_ratio_whatever_the_scale_and_the_share_of_targets():
    score, target = trials(200_000)
    fitted = fit_calibration((0.05 * score + 0.3)[:, None], target, ["cosine"], p_target=0.1)
    assert fitted.weight_F[0] * 0.05 == pytest.approx(2.0, rel=0.03)
    assert fitted.llr(np.array([[0.3]]))[0] == pytest.approx(0.0, abs=0.05)


def test_brings_the_actual_cost_near_the_least_one_on_other_trials():
    score, target = trials(seed=1)
    other, is_target = trials(seed=2)
    fitted = fit_calibration(10 * score[:, None] - 70, target, ["plda"])
    llr = fitted.llr(10 * other[:, None] - 70)
    sides = llr[is_target], llr[~is_target]
    assert cllr(*sides) < min_cllr(*sides) + 0.02
    assert actual_dcf(*sides) < min_dcf(*sides) + 0.03
    raw = other[is_target], other[~is_target]
    assert eer(*sides) == pytest.approx(eer(*raw), abs=1e-12)


def test_fusion_is_ahead_of_both_systems_and_quality_of_neither():
    generator = np.random.default_rng(3)
    truth, target = trials(apart=3.0, seed=3)
    first, second = (truth + generator.normal(size=truth.size) for _ in range(2))
    noise_db = generator.uniform(0, 20, truth.size)
    third = truth + 0.2 * noise_db  # a score that rises with quality, for targets and non-targets alike
    half = truth.size // 2

    def judged(*columns: np.ndarray) -> float:
        features = np.stack(columns, axis=1)
        fitted = fit_calibration(features[:half], target[:half], [str(i) for i in range(len(columns))])
        llr = fitted.llr(features[half:])
        return eer(llr[target[half:]], llr[~target[half:]])

    assert judged(first, second) < min(judged(first), judged(second)) - 0.01
    assert judged(third, noise_db) < judged(third) - 0.03


def test_few_trials_are_fitted_as_without_a_penalty():
    score, target = trials(60, seed=5)
    fitted = fit_calibration(score[:, None], target, ["cosine"], p_target=0.5)
    weights = np.where(target, 0.5 / target.sum(), 0.5 / (~target).sum()) * 60

    def cost(parameters: np.ndarray) -> float:
        logit = parameters[0] * score + parameters[1]
        return float(weights @ np.where(target, np.logaddexp(0, -logit), np.logaddexp(0, logit)))

    best = minimize(cost, [1.0, 0.0], tol=1e-12).x
    assert fitted.weight_F[0] == pytest.approx(best[0], rel=1e-3)


def test_separable_classes_give_finite_weights_and_a_constant_feature_none():
    features = np.stack([[-2.0, -1, -1.5, 1, 2, 1.5], np.ones(6)], axis=1)
    fitted = fit_calibration(features, [0, 0, 0, 1, 1, 1], ["cosine", "norm"])
    assert 0 < fitted.weight_F[0] < 100
    assert fitted.weight_F[1] == 0


def test_what_cannot_be_fitted_is_named():
    with pytest.raises(ScoringError, match="target and non-target trials; there are 3 and 0"):
        fit_calibration(np.zeros((3, 1)), [1, 1, 1], ["cosine"])
    with pytest.raises(ScoringError, match="1 of 2 values of 'norm' are not finite"):
        fit_calibration(np.array([[0, np.nan], [1, 1]]), [0, 1], ["cosine", "norm"])
    with pytest.raises(ScoringError, match="nothing to calibrate by: cosine are the same"):
        fit_calibration(np.ones((2, 1)), [0, 1], ["cosine"])


def test_gaussian_classes_give_their_own_ratio_and_agree_with_scikit_learns_discriminant():
    score, target = trials(200_000)
    fitted = fit_gaussian_calibration((0.05 * score + 0.3)[:, None], target, ["cosine"])
    assert fitted.weight_F[0] * 0.05 == pytest.approx(2.0, rel=0.02)
    assert fitted.llr(np.array([[0.3]]))[0] == pytest.approx(0.0, abs=0.03)
    generator = np.random.default_rng(1)
    features = np.stack([score + generator.normal(size=score.size), score - generator.normal(size=score.size)], axis=1)
    share = target.mean()  # with the share of targets as their weight, the covariance is that of linear discriminants
    fitted = fit_gaussian_calibration(features, target, ["a", "b"], p_target=share)
    theirs = LinearDiscriminantAnalysis(solver="lsqr").fit(features, target)
    expected = theirs.decision_function(features) - logit(share)
    np.testing.assert_allclose(fitted.llr(features), expected, rtol=1e-6, atol=1e-6)


def test_gaussian_classes_are_fitted_where_few_trials_are_separable():
    fitted = fit_gaussian_calibration(np.array([[3.0], [3.4], [0.0], [0.3], [0.5]]), [1, 1, 0, 0, 0], ["cosine"])
    assert 0 < fitted.weight_F[0] < np.inf
    with pytest.raises(ScoringError, match="cosine: the same for all trials of a class"):
        fit_gaussian_calibration(np.array([[3.0], [3.0], [0.0], [0.0]]), [1, 1, 0, 0], ["cosine"])
