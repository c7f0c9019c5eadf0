import numpy as np
import pytest
from sklearn.metrics import det_curve

from reseed.stages.scoring.curves import det_points, eer_threshold, error_rates, grouped, hull_points
from reseed.stages.scoring.metrics import eer


def scores(count: int = 400) -> tuple[np.ndarray, np.ndarray]:
    draw = np.random.default_rng(5)
    return np.round(draw.normal(1.5, 1, count), 1), np.round(draw.normal(0, 1, 3 * count), 1)


def test_error_rates_start_by_accepting_all_and_end_by_rejecting_all():
    rates = error_rates(grouped([1.0, 2.0], [0.0, 1.0, 1.0]))
    assert rates.threshold_K.tolist() == [0, 1, 2, np.inf]
    assert rates.miss_K.tolist() == [0, 0, 0.5, 1]
    assert rates.false_alarm_K.tolist() == pytest.approx([1, 2 / 3, 0, 0])


def test_error_rates_are_those_of_scikit_learn():
    targets, nontargets = scores()
    rates = error_rates(grouped(targets, nontargets))
    labels = np.repeat([1, 0], [targets.size, nontargets.size])
    false_alarm, miss, threshold = det_curve(labels, np.concatenate([targets, nontargets]))
    at = np.searchsorted(rates.threshold_K, threshold)
    np.testing.assert_allclose(rates.false_alarm_K[at], false_alarm, atol=1e-12)
    np.testing.assert_allclose(rates.miss_K[at], miss, atol=1e-12)


def test_det_points_are_few_ordered_and_on_the_curve():
    rates = error_rates(grouped(*scores(4000)))
    false_alarm, miss = det_points(rates, count=50)
    assert 2 <= false_alarm.size <= 50
    assert (np.diff(false_alarm) <= 0).all()
    assert (np.diff(miss) >= 0).all()
    on_curve = set(zip(rates.false_alarm_K.tolist(), rates.miss_K.tolist(), strict=True))
    assert set(zip(false_alarm[1:-1].tolist(), miss[1:-1].tolist(), strict=True)) <= on_curve | {
        (fa, m) for fa, m in zip(false_alarm.tolist(), miss.tolist(), strict=True) if min(fa, m) <= 1e-5
    }


def test_det_points_of_separated_scores_are_finite():
    false_alarm, miss = det_points(error_rates(grouped([2.0], [1.0])))
    assert ((false_alarm > 0) & (false_alarm < 1) & (miss > 0) & (miss < 1)).all()


def test_the_hull_lies_on_or_below_the_curve_is_convex_and_holds_the_eer():
    draw = np.random.default_rng(0)
    target_T, nontarget_N = draw.normal(1.5, 1, 300), draw.normal(size=2000)
    trials = grouped(target_T, nontarget_N)
    rates = error_rates(trials)
    false_alarm, miss = hull_points(trials, count=400)
    measured = np.interp(false_alarm, rates.false_alarm_K[::-1], rates.miss_K[::-1])
    assert (miss <= measured + 1e-12).all()
    slopes = np.diff(miss) / np.diff(false_alarm)
    assert (np.diff(slopes) >= -1e-9).all()
    at = eer(target_T, nontarget_N)
    assert np.interp(at, false_alarm, miss) == pytest.approx(at, abs=1e-3)


def test_the_hull_of_scores_that_say_nothing_is_the_diagonal_and_of_separated_ones_the_corner():
    false_alarm, miss = hull_points(grouped([1.0, 1.0], [1.0]))
    np.testing.assert_allclose(miss, 1 - false_alarm)
    np.testing.assert_allclose(hull_points(grouped([2.0], [1.0]))[1], 0)


def test_the_threshold_of_the_eer_is_the_score_at_which_both_rates_come_nearest():
    assert eer_threshold(error_rates(grouped([1, 4, 5, 6], [0, 2, 3, 4]))) == 4  # one of four missed, one accepted
    assert eer_threshold(error_rates(grouped([2, 2], [2, 2]))) == 2  # never infinity, which is no score
