import numpy as np
import pytest
from sklearn.metrics import roc_curve

from reseed.stages.scoring.metrics import cllr, eer, min_cllr, min_dcf
from reseed.store import ScoringError

# Error rates of the hand-worked example, threshold by threshold (false alarm, miss):
# (1, 0) (2/3, 0) (2/3, 1/4) (1/3, 1/4) (1/3, 1/2) (0, 1/2) (0, 3/4) (0, 1); hull edge from (2/3, 0) to (0, 1/2).
TARGETS, NONTARGETS = [1.0, 3.0, 4.0, 5.0], [0.0, 2.0, 3.5]

METRICS = {
    "eer": eer,
    "nearest": lambda t, n, **weights: eer(t, n, "nearest", **weights),
    "min_dcf": min_dcf,
    "cllr": cllr,
    "min_cllr": min_cllr,
}
every_metric = pytest.mark.parametrize("metric", METRICS.values(), ids=METRICS.keys())


def random_scores(seed: int, ties: bool = True) -> tuple[np.ndarray, np.ndarray]:
    draw = np.random.default_rng(seed)
    targets, nontargets = draw.normal(1.2, 1, draw.integers(1, 60)), draw.normal(0, 1, draw.integers(1, 60))
    return (np.round(targets * 2), np.round(nontargets * 2)) if ties else (targets, nontargets)


def test_eer_of_the_hand_worked_example_lies_on_the_hull_edge():
    assert eer(TARGETS, NONTARGETS) == pytest.approx(2 / 7)


def test_nearest_eer_of_the_hand_worked_example_is_the_larger_rate_at_the_nearest_corner():
    assert eer(TARGETS, NONTARGETS, "nearest") == pytest.approx(1 / 3)


@pytest.mark.parametrize(("p_target", "expected"), [(0.5, 0.5), (0.05, 0.5), (0.95, 2 / 3)])
def test_min_dcf_of_the_hand_worked_example_is_normalised(p_target, expected):
    assert min_dcf(TARGETS, NONTARGETS, p_target=p_target) == pytest.approx(expected)


def test_min_dcf_weighs_costs():
    assert min_dcf(TARGETS, NONTARGETS, p_target=0.5, c_miss=10) == pytest.approx(2 / 3)


def test_cllr_of_hand_worked_scores_is_in_bits():
    expected = ((1 + np.log2(4 / 3)) / 2 + 1) / 2
    assert cllr([0.0, np.log(3)], [0.0]) == pytest.approx(expected)


def test_min_cllr_of_hand_worked_scores_pools_the_one_violation():
    assert min_cllr([1.0, 3.0], [0.0, 2.0]) == pytest.approx(0.5)


def test_separated_scores_have_no_error():
    scores = [2.0, 3.0], [0.0, 1.0, 1.0]
    assert [eer(*scores), eer(*scores, "nearest"), min_dcf(*scores), min_cllr(*scores)] == [0, 0, 0, 0]


def test_reversed_scores_have_an_eer_of_one_at_the_nearest_corner_and_a_half_on_the_hull():
    assert eer([0.0], [1.0], "nearest") == pytest.approx(1.0)
    assert eer([0.0], [1.0]) == pytest.approx(0.5)


def test_scores_that_are_all_tied_say_nothing():
    scores = [0.5, 0.5], [0.5, 0.5, 0.5]
    assert eer(*scores) == pytest.approx(0.5)
    assert min_dcf(*scores) == pytest.approx(1.0)
    assert min_cllr(*scores) == pytest.approx(1.0)


def test_cllr_of_scores_that_are_all_zero_is_one_bit():
    assert cllr([0.0, 0.0], [0.0]) == pytest.approx(1.0)


def test_a_tie_across_classes_is_one_threshold_and_not_two():
    # Broken in favour of the target the tie would give 0; as one threshold its hull edge is (1/2, 0) to (0, 1/2).
    assert eer([1.0, 2.0], [0.0, 1.0]) == pytest.approx(1 / 4)


@pytest.mark.parametrize("seed", range(40))
def test_nearest_eer_is_what_the_roc_curve_of_scikit_learn_gives(seed):
    targets, nontargets = random_scores(seed)
    labels = np.repeat([1, 0], [targets.size, nontargets.size])
    false_alarm, hit, _ = roc_curve(labels, np.concatenate([targets, nontargets]))
    at = np.nanargmin(np.abs(1 - hit - false_alarm))
    assert eer(targets, nontargets, "nearest") == pytest.approx(max(1 - hit[at], false_alarm[at]), abs=1e-12)


@pytest.mark.parametrize("seed", range(20))
def test_hull_eer_is_the_worst_bayes_error_over_priors(seed):
    targets, nontargets = random_scores(seed)
    thresholds = np.append(np.unique(np.concatenate([targets, nontargets])), np.inf)
    miss = (targets[:, None] < thresholds).mean(axis=0)
    false_alarm = (nontargets[:, None] >= thresholds).mean(axis=0)
    prior = np.linspace(0, 1, 20_001)[:, None]
    assert eer(targets, nontargets) == pytest.approx((prior * miss + (1 - prior) * false_alarm).min(1).max(), abs=1e-4)


@every_metric
@pytest.mark.parametrize("seed", range(5))
def test_a_weight_counts_as_the_trial_given_so_many_times(metric, seed):
    targets, nontargets = random_scores(seed)
    draw = np.random.default_rng(seed)
    weights = [draw.integers(0, 4, scores.size) for scores in (targets, nontargets)]
    weights = [np.where(weight.sum() == 0, 1, weight) for weight in weights]
    repeated = [np.repeat(scores, weight) for scores, weight in zip((targets, nontargets), weights, strict=True)]
    weighted = metric(targets, nontargets, target_weights=weights[0], nontarget_weights=weights[1])
    assert weighted == pytest.approx(metric(*repeated), abs=1e-9)


@every_metric
def test_weights_have_no_scale(metric):
    targets, nontargets = random_scores(2)
    scaled = {"target_weights": np.full(targets.size, 0.125), "nontarget_weights": np.full(nontargets.size, 8.0)}
    assert metric(targets, nontargets, **scaled) == pytest.approx(metric(targets, nontargets), abs=1e-12)


@every_metric
def test_the_order_of_trials_does_not_matter(metric):
    targets, nontargets = random_scores(1)
    draw = np.random.default_rng(0)
    assert metric(draw.permutation(targets), draw.permutation(nontargets)) == metric(targets, nontargets)


@pytest.mark.parametrize("name", ["eer", "nearest", "min_dcf", "min_cllr"])
def test_a_monotone_map_of_the_scores_does_not_matter(name):
    targets, nontargets = random_scores(3, ties=False)
    mapped = METRICS[name](np.exp(targets), np.exp(nontargets))
    assert mapped == pytest.approx(METRICS[name](targets, nontargets), abs=1e-12)


@pytest.mark.parametrize("seed", range(10))
def test_min_cllr_never_exceeds_cllr(seed):
    targets, nontargets = random_scores(seed, ties=False)
    assert min_cllr(targets, nontargets) <= cllr(targets, nontargets) + 1e-12


@every_metric
def test_one_class_alone_is_an_error_that_counts_both(metric):
    with pytest.raises(ScoringError, match="0 target and 3 non-target scores"):
        metric([], [0.1, 0.2, 0.3])
    with pytest.raises(ScoringError, match="1 target and 0 non-target scores"):
        metric([0.1], [])


@every_metric
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_scores_that_are_not_finite_are_an_error_that_counts_them(metric, bad):
    with pytest.raises(ScoringError, match="of 2 target and 1 non-target scores, 1 and 0 are not finite"):
        metric([0.1, bad], [0.0])


@pytest.mark.parametrize("weights", [[-1.0, 1.0], [0.0, 0.0], [np.nan, 1.0]])
def test_weights_that_cannot_be_counts_are_an_error(weights):
    with pytest.raises(ScoringError, match="target weights must be finite, not negative and not all zero"):
        eer([0.1, 0.2], [0.0], target_weights=weights)


def test_weights_of_another_length_are_an_error():
    with pytest.raises(ScoringError, match="2 target scores but target weights of shape"):
        eer([0.1, 0.2], [0.0], target_weights=[1.0])


def test_scores_of_two_dimensions_are_an_error():
    with pytest.raises(ScoringError, match=r"got shapes \(1, 2\) and \(1,\)"):
        eer([[0.1, 0.2]], [0.0])


def test_an_unknown_convention_names_the_choices():
    with pytest.raises(ScoringError, match="'median'; choose rocch or nearest"):
        eer([1.0], [0.0], "median")


@pytest.mark.parametrize("settings", [{"p_target": 0.0}, {"p_target": 1.0}, {"c_miss": 0.0}, {"c_fa": -1.0}])
def test_priors_and_costs_out_of_range_are_an_error(settings):
    with pytest.raises(ScoringError, match="a DCF needs"):
        min_dcf([1.0], [0.0], **settings)
