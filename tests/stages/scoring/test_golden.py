"""Metrics against independent computations, written here another way, to 1e-9 on 100 random score sets with ties.

EER: the convex hull of the ROC by exact fractions. minDCF: every threshold, counted in plain Python. Cllr: its formula,
trial by trial. All of them again through scikit-learn: the points of its roc_curve, its isotonic regression, its log
loss. Equal weights of conditions: the rules of NIST's scorer, by exact fractions. Against programs of others:
docs/results/metrics.md.
"""

import math
from fractions import Fraction

import numpy as np
import pytest
from scipy.spatial import ConvexHull
from scipy.special import expit
from sklearn.isotonic import IsotonicRegression
from sklearn.metrics import log_loss, roc_curve

from reseed.stages.scoring.metrics import actual_dcf, cllr, cross_entropies, eer, min_cllr, min_dcf
from reseed.store import ScoringError

TOLERANCE = 1e-9
sets = pytest.mark.parametrize("seed", range(100))


def score_set(seed: int) -> tuple[list[float], list[float]]:
    """Between 1 and 80 scores of each class on a coarse grid, so that most are tied, within and across classes."""
    draw = np.random.default_rng(1000 + seed)
    grid, gap = draw.choice([0.25, 0.5, 1.0]), draw.uniform(-0.5, 3)
    targets, nontargets = draw.normal(gap, 1, draw.integers(1, 81)), draw.normal(0, 1, draw.integers(1, 81))
    return (np.round(targets / grid) * grid).tolist(), (np.round(nontargets / grid) * grid).tolist()


def corners(targets, nontargets) -> list[tuple[Fraction, Fraction]]:
    """(false alarm, miss) at every score and above all of them, counted."""
    points = []
    for threshold in [*sorted({*targets, *nontargets}), math.inf]:
        accepted = sum(score >= threshold for score in nontargets)
        missed = sum(score < threshold for score in targets)
        points.append((Fraction(accepted, len(nontargets)), Fraction(missed, len(targets))))
    return points


def eer_of_corners(points) -> Fraction:
    """The lowest point with equal rates on any chord between two corners: that is where the hull crosses it."""
    lowest = Fraction(1)
    for x1, y1 in points:
        for x2, y2 in points:
            above, below = y1 - x1, x2 - y2  # how far each end lies on its side of miss = false alarm
            if above >= 0 and below >= 0:
                share = above / (above + below) if above + below else Fraction(0)
                lowest = min(lowest, x1 + share * (x2 - x1))
    return lowest


def dcf_of_corners(points, p_target, c_miss, c_fa) -> Fraction:
    prior, costs = Fraction(p_target), (Fraction(c_miss), Fraction(c_fa))
    paid = min(costs[0] * miss * prior + costs[1] * accepted * (1 - prior) for accepted, miss in points)
    return paid / min(costs[0] * prior, costs[1] * (1 - prior))


@sets
def test_eer_is_where_the_exact_hull_crosses_equal_rates(seed):
    targets, nontargets = score_set(seed)
    assert eer(targets, nontargets) == pytest.approx(
        float(eer_of_corners(corners(targets, nontargets))), abs=TOLERANCE, rel=0
    )


@sets
def test_eer_lies_on_the_hull_that_scipy_draws_through_the_roc_of_scikit_learn(seed):
    targets, nontargets = score_set(seed)
    labels = [1] * len(targets) + [0] * len(nontargets)
    false_alarm, hit, _ = roc_curve(labels, targets + nontargets, drop_intermediate=False)
    # (1, 1) closes the figure; every edge but the two at it belongs to the hull of the ROC.
    points = np.append(np.stack([false_alarm, 1 - hit], axis=1), [[1.0, 1.0]], axis=0)
    hull = ConvexHull(points)
    # Inside, every inequality normal . (e, e) + offset <= 0 holds; the least such e is the EER.
    normals, offsets = hull.equations[:, :2].sum(axis=1), hull.equations[:, 2]
    entering = normals < -1e-9
    expected = (-offsets[entering] / normals[entering]).max()
    assert eer(targets, nontargets) == pytest.approx(expected, abs=TOLERANCE, rel=0)


@sets
@pytest.mark.parametrize(("p_target", "c_miss", "c_fa"), [(0.05, 1, 1), (0.01, 10, 1), (0.5, 1, 1), (0.9, 1, 3)])
def test_min_dcf_is_the_least_cost_over_all_thresholds_counted(seed, p_target, c_miss, c_fa):
    targets, nontargets = score_set(seed)
    costs = {"p_target": p_target, "c_miss": c_miss, "c_fa": c_fa}
    expected = float(dcf_of_corners(corners(targets, nontargets), **costs))
    assert min_dcf(targets, nontargets, **costs) == pytest.approx(expected, abs=TOLERANCE, rel=0)
    labels = [1] * len(targets) + [0] * len(nontargets)
    false_alarm, hit, _ = roc_curve(labels, targets + nontargets)
    cost = c_miss * p_target * (1 - hit) + c_fa * (1 - p_target) * false_alarm
    by_curve = cost.min() / min(c_miss * p_target, c_fa * (1 - p_target))
    assert min_dcf(targets, nontargets, **costs) == pytest.approx(by_curve, abs=TOLERANCE, rel=0)


@sets
@pytest.mark.parametrize(("p_target", "c_miss", "c_fa"), [(0.05, 1, 1), (0.01, 10, 1), (0.5, 1, 1)])
def test_actual_dcf_is_the_cost_of_the_decisions_at_the_bayes_threshold(seed, p_target, c_miss, c_fa):
    targets, nontargets = score_set(seed)
    cost = 0.0
    for score in targets:  # accepted where the expected cost of doing so is no higher
        posterior = p_target * math.exp(score) / (p_target * math.exp(score) + 1 - p_target)
        cost += c_miss * p_target / len(targets) * (c_fa * (1 - posterior) > c_miss * posterior + 1e-12)
    for score in nontargets:
        posterior = p_target * math.exp(score) / (p_target * math.exp(score) + 1 - p_target)
        cost += c_fa * (1 - p_target) / len(nontargets) * (c_fa * (1 - posterior) <= c_miss * posterior + 1e-12)
    expected = cost / min(c_miss * p_target, c_fa * (1 - p_target))
    found = actual_dcf(targets, nontargets, p_target=p_target, c_miss=c_miss, c_fa=c_fa)
    assert found == pytest.approx(expected, abs=TOLERANCE, rel=0)
    assert found >= min_dcf(targets, nontargets, p_target=p_target, c_miss=c_miss, c_fa=c_fa) - TOLERANCE


@sets
def test_cllr_is_its_formula_trial_by_trial(seed):
    targets, nontargets = score_set(seed)
    of_targets = math.fsum(math.log2(1 + math.exp(-score)) for score in targets) / len(targets)
    of_nontargets = math.fsum(math.log2(1 + math.exp(score)) for score in nontargets) / len(nontargets)
    assert cllr(targets, nontargets) == pytest.approx((of_targets + of_nontargets) / 2, abs=TOLERANCE, rel=0)


@sets
def test_min_cllr_is_cllr_after_pooling_violators_in_exact_fractions(seed):
    targets, nontargets = score_set(seed)
    pools: list[list[int]] = []  # [targets, non-targets] of each level of the monotone fit
    for score in sorted({*targets, *nontargets}):
        pools.append([targets.count(score), nontargets.count(score)])
        while len(pools) > 1 and Fraction(pools[-2][0], sum(pools[-2])) >= Fraction(pools[-1][0], sum(pools[-1])):
            hits, others = pools.pop()
            pools[-1] = [pools[-1][0] + hits, pools[-1][1] + others]
    cost = 0.0
    for hits, others in pools:
        odds = Fraction(hits * len(nontargets), others * len(targets)) if others else None
        cost += hits / len(targets) * (math.log2(1 + 1 / odds) if odds else 0)
        cost += others / len(nontargets) * (math.log2(1 + odds) if odds else 0)
    assert min_cllr(targets, nontargets) == pytest.approx(cost / 2, abs=TOLERANCE, rel=0)


def classes(targets, nontargets):
    """Labels, scores, and weights by which both classes count alike, as scikit-learn takes them."""
    labels = np.repeat([1, 0], [len(targets), len(nontargets)])
    weights = np.repeat([0.5 / len(targets), 0.5 / len(nontargets)], [len(targets), len(nontargets)])
    return labels, np.array([*targets, *nontargets]), weights


@sets
def test_cllr_is_the_log_loss_of_scikit_learn_in_bits_where_both_classes_count_alike(seed):
    targets, nontargets = score_set(seed)
    labels, scores, weights = classes(targets, nontargets)
    expected = log_loss(labels, expit(scores), sample_weight=weights) / math.log(2)
    assert cllr(targets, nontargets) == pytest.approx(expected, abs=TOLERANCE, rel=0)


@sets
def test_min_cllr_is_the_log_loss_after_the_isotonic_regression_of_scikit_learn(seed):
    targets, nontargets = score_set(seed)
    labels, scores, weights = classes(targets, nontargets)
    posterior = IsotonicRegression().fit(scores, labels, sample_weight=weights).predict(scores)
    paid = np.where(labels == 1, posterior, 1 - posterior).clip(1e-300)  # where nothing is lost, rounding may say so
    expected = -(weights * np.log2(paid)).sum()
    assert min_cllr(targets, nontargets) == pytest.approx(expected, abs=TOLERANCE, rel=0)


@sets
def test_the_cross_entropy_at_a_prior_is_the_weighted_log_loss_of_scikit_learn(seed):
    targets, nontargets = score_set(seed)
    labels, scores, weights = classes(targets, nontargets)
    log_odds = [-3.0, 0.0, 1.5]
    actual, least = cross_entropies(targets, nontargets, log_odds)
    for at, found in zip(log_odds, actual, strict=True):
        prior = expit(at)
        weighted = 2 * weights * np.where(labels == 1, prior, 1 - prior)
        expected = log_loss(labels, expit(scores + at), sample_weight=weighted) / math.log(2)
        assert found == pytest.approx(expected, abs=TOLERANCE, rel=0)
    assert (actual[1], least[1]) == pytest.approx((cllr(targets, nontargets), min_cllr(targets, nontargets)), abs=1e-12)
    assert (least <= actual + TOLERANCE).all()


@sets
def test_the_nearest_eer_is_that_of_the_corners_of_the_roc_of_scikit_learn(seed):
    targets, nontargets = score_set(seed)
    labels, scores, _ = classes(targets, nontargets)
    false_alarm, hit, _ = roc_curve(labels, scores)
    at = np.argmin(np.abs(1 - hit - false_alarm))
    assert eer(targets, nontargets, "nearest") == pytest.approx(max(1 - hit[at], false_alarm[at]), abs=TOLERANCE, rel=0)


@sets
def test_conditions_of_equal_weight_cost_what_the_rules_of_nists_scorer_say(seed):
    """Rates are counted in each partition and averaged over partitions, at every threshold (SRE 2016, section 3.2)."""
    partitions = [score_set(seed), score_set(seed + 500), score_set(seed + 1000)]
    weights = [
        np.concatenate([np.full(len(part[side]), 1 / len(part[side])) for part in partitions]) for side in (0, 1)
    ]
    pooled = [[score for part in partitions for score in part[side]] for side in (0, 1)]

    def rates(threshold) -> tuple[Fraction, Fraction]:
        of_each = [
            (
                Fraction(sum(score >= threshold for score in nontargets), len(nontargets)),
                Fraction(sum(score < threshold for score in targets), len(targets)),
            )
            for targets, nontargets in partitions
        ]
        return tuple(sum(rate) / len(partitions) for rate in zip(*of_each, strict=True))

    points = [rates(threshold) for threshold in [*sorted({*pooled[0], *pooled[1]}), math.inf]]
    given = {"target_weights": weights[0], "nontarget_weights": weights[1]}
    expected = float(dcf_of_corners(points, 0.01, 1, 1))
    assert min_dcf(*pooled, p_target=0.01, **given) == pytest.approx(expected, abs=TOLERANCE, rel=0)
    false_alarm, miss = rates(math.log(99))
    actual = float(miss + 99 * false_alarm)
    assert actual_dcf(*pooled, p_target=0.01, **given) == pytest.approx(actual, abs=TOLERANCE, rel=0)


METRICS = [eer, lambda t, n, **w: eer(t, n, "nearest", **w), min_dcf, cllr, min_cllr]


@sets
def test_duplicated_trials_count_as_their_weights_say(seed):
    targets, nontargets = score_set(seed)
    draw = np.random.default_rng(seed)
    times = [draw.integers(1, 4, len(scores)) for scores in (targets, nontargets)]
    repeated = [np.repeat(scores, many) for scores, many in zip((targets, nontargets), times, strict=True)]
    for metric in METRICS:
        weighted = metric(targets, nontargets, target_weights=times[0], nontarget_weights=times[1])
        assert weighted == pytest.approx(metric(*repeated), abs=TOLERANCE, rel=0)
    everything_twice = [2 * targets, 2 * nontargets]
    for metric in [*METRICS, actual_dcf]:
        assert metric(*everything_twice) == pytest.approx(metric(targets, nontargets), abs=TOLERANCE, rel=0)


@pytest.mark.parametrize("metric", [*METRICS, actual_dcf])
@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_one_score_that_is_no_number_is_an_error_wherever_it_stands(metric, bad):
    with pytest.raises(ScoringError, match="1 and 0 are not finite"):
        metric([0.5, bad, 1.0], [0.0, 0.2])
    with pytest.raises(ScoringError, match="0 and 1 are not finite"):
        metric([0.5, 1.0], [0.0, 0.2, bad])


@pytest.mark.parametrize("metric", [*METRICS, actual_dcf])
def test_one_class_alone_is_an_error_that_says_which_is_missing(metric):
    with pytest.raises(ScoringError, match="2 target and 0 non-target scores: error rates need both"):
        metric([0.5, 1.0], [])
    with pytest.raises(ScoringError, match="0 target and 1 non-target scores: error rates need both"):
        metric([], [0.5])
