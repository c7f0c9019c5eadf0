import numpy as np
import pytest
from scipy.stats import norm

from reseed.stages.scoring.bootstrap import (
    bias_corrected_interval,
    eer_replicates,
    metric_replicates,
    percentile_interval,
    speaker_draws,
)
from reseed.stages.scoring.metrics import actual_dcf, cllr, eer, min_dcf


def labelled_trials(speakers: int = 7, count: int = 300, decimals: int = 1):
    draw = np.random.default_rng(0)
    speakers_P2 = draw.integers(0, speakers, (count, 2))
    speakers_P2[::3, 1] = speakers_P2[::3, 0]
    is_target = speakers_P2[:, 0] == speakers_P2[:, 1]
    score_P = np.round(draw.normal(size=count) + 1.3 * is_target, decimals)
    return score_P[is_target], score_P[~is_target], speakers_P2[is_target, 0], speakers_P2[~is_target]


@pytest.mark.parametrize("decimals", [0, 1, 8])
def test_a_replicate_is_the_eer_of_trials_repeated_as_often_as_their_speakers_were_drawn(decimals):
    targets, nontargets, target_speaker, nontarget_speakers = labelled_trials(decimals=decimals)
    draws = speaker_draws(7, 70, seed=1)
    replicates = eer_replicates(targets, nontargets, target_speaker, nontarget_speakers, draws)
    for replicate, drawn in zip(replicates, draws.T.astype(int), strict=True):
        times = drawn[nontarget_speakers[:, 0]] * drawn[nontarget_speakers[:, 1]]
        expected = eer(np.repeat(targets, drawn[target_speaker]), np.repeat(nontargets, times))
        assert replicate == pytest.approx(expected, abs=1e-9)


def test_drawing_every_speaker_once_gives_the_eer_itself():
    trials = labelled_trials()
    assert eer_replicates(*trials, np.ones((7, 1)))[0] == pytest.approx(eer(*trials[:2]), abs=1e-12)


def test_draws_have_one_column_per_replicate_that_sums_to_the_speakers_and_follow_the_seed():
    draws = speaker_draws(5, 11, seed=3)
    assert draws.shape == (5, 11)
    assert (draws.sum(axis=0) == 5).all()
    assert (draws == speaker_draws(5, 11, seed=3)).all()
    assert (draws != speaker_draws(5, 11, seed=4)).any()


def test_the_order_of_trials_does_not_change_a_replicate():
    targets, nontargets, target_speaker, nontarget_speakers = labelled_trials()
    draws = speaker_draws(7, 5, seed=0)
    first, second = np.random.default_rng(1).permutation(targets.size), slice(None, None, -1)
    turned = targets[first], nontargets[second], target_speaker[first], nontarget_speakers[second]
    expected = eer_replicates(targets, nontargets, target_speaker, nontarget_speakers, draws)
    np.testing.assert_allclose(eer_replicates(*turned, draws), expected, atol=1e-12)


def test_a_replicate_that_lost_a_class_is_not_a_number():
    draws = np.array([[2.0, 1.0], [0.0, 1.0]])  # the first column drew one speaker twice: no impostor is left
    replicates = eer_replicates([1.0, 2.0], [0.0], np.array([0, 1]), np.array([[0, 1]]), draws)
    assert np.isnan(replicates[0])
    assert replicates[1] == 0


def test_the_interval_covers_the_middle_of_the_replicates_that_exist():
    replicates = np.append(np.linspace(0, 1, 101), np.nan)
    assert percentile_interval(replicates) == pytest.approx((0.025, 0.975))


def test_there_is_no_interval_where_half_of_the_replicates_are_missing():
    assert percentile_interval(np.array([0.1, np.nan])) is None
    assert percentile_interval(np.array([])) is None


def test_replicates_of_costs_and_of_cllr_are_those_of_trials_repeated_as_often_as_their_speakers_were_drawn():
    targets, nontargets, target_speaker, nontarget_speakers = labelled_trials()
    draws = speaker_draws(7, 70, seed=1)
    costs = [(0.05, 0.95), (0.01 * 10, 0.99)]
    found = metric_replicates(targets, nontargets, target_speaker, nontarget_speakers, draws, costs)
    for replicate, drawn in enumerate(draws.T):
        times = drawn[nontarget_speakers[:, 0]] * drawn[nontarget_speakers[:, 1]]
        weights = {"target_weights": drawn[target_speaker], "nontarget_weights": times}
        assert found.cllr_R[replicate] == pytest.approx(cllr(targets, nontargets, **weights), abs=1e-9)
        for row, options in enumerate(({"p_target": 0.05}, {"p_target": 0.01, "c_miss": 10.0})):
            least = min_dcf(targets, nontargets, **options, **weights)
            actual = actual_dcf(targets, nontargets, **options, **weights)
            assert found.min_dcf_QR[row, replicate] == pytest.approx(least, abs=1e-9)
            assert found.actual_dcf_QR[row, replicate] == pytest.approx(actual, abs=1e-9)


def test_weights_of_trials_count_beside_the_draws():
    targets, nontargets, target_speaker, nontarget_speakers = labelled_trials()
    draws, twice = speaker_draws(7, 20, seed=1), np.arange(targets.size) % 2 + 1
    weighted = metric_replicates(
        targets, nontargets, target_speaker, nontarget_speakers, draws, [(0.1, 0.9)], target_weights=twice
    )
    repeated = np.repeat(targets, twice), nontargets, np.repeat(target_speaker, twice), nontarget_speakers
    expected = metric_replicates(*repeated, draws, [(0.1, 0.9)])
    for name in ("eer_R", "min_dcf_QR", "actual_dcf_QR", "cllr_R"):
        np.testing.assert_allclose(getattr(weighted, name), getattr(expected, name), atol=1e-9)


def test_a_corrected_interval_moves_as_far_as_the_replicates_lie_to_one_side():
    replicates = np.linspace(0, 1, 2001)
    assert bias_corrected_interval(0.5, replicates) == pytest.approx(percentile_interval(replicates), abs=1e-3)
    low, high = bias_corrected_interval(0.6, replicates)  # 60 % lie below: both ends move up
    assert (low, high) == pytest.approx(tuple(norm.cdf(2 * norm.ppf(0.6) + norm.ppf([0.025, 0.975]))), abs=1e-3)
    assert bias_corrected_interval(2.0, replicates)[1] == pytest.approx(1.0, abs=1e-3)
    assert bias_corrected_interval(0.1, np.array([np.nan, 0.1])) is None
