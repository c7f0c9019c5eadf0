from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from reseed.stages.audio.conditions import describe
from reseed.stages.reporting.metrics.base import Identified
from reseed.stages.reporting.metrics.cllr import CLLR, MIN_CLLR
from reseed.stages.reporting.metrics.dcf import ACTUAL_DCF, MIN_DCF
from reseed.stages.reporting.metrics.eer import EER, EER_NEAREST
from reseed.stages.reporting.metrics.identification import ACCURACY, TOP5
from reseed.stages.reporting.results.measure import measure, order_preserving, pooled_calibration
from reseed.stages.reporting.results.systems import ScoredSystem, System, TrialScores
from reseed.stages.scoring.bootstrap import bias_corrected_interval, metric_replicates, speaker_draws
from reseed.stages.scoring.detection_costs import Costs
from reseed.stages.scoring.metrics import actual_dcf, cllr, eer
from reseed.stages.trial_scoring.origin import Origin

ORIGIN = Origin("ge2e:1", "f" * 64, {}, "clean", 1, None, "raw", {}, 0)
CONDITIONS = [*describe({"clean": {}, "noise": {"noise": 5}})[0].values()]
DRAW = np.random.default_rng(1)
SPEAKERS = 6
COSTS = Costs(0.05)


def trials(shift):
    same = DRAW.integers(0, SPEAKERS, 60)
    first = DRAW.integers(0, SPEAKERS, 90)
    other = (first + DRAW.integers(1, SPEAKERS, 90)) % SPEAKERS
    groups = np.empty((90, 0), np.int8)
    return TrialScores(
        DRAW.normal(1.5 - shift, 1, 60).round(2),
        DRAW.normal(0, 1, 90).round(2),
        np.stack([same, same], axis=1),
        np.stack([first, other], axis=1),
        0,
        groups[:60],
        groups,
    )


PLAIN = ScoredSystem(
    System("raw", "ge2e:1", "cosine"), Path("x"), ORIGIN, {CONDITIONS[0]: trials(0), CONDITIONS[1]: trials(0.8)}
)


def mapped(change, scoring="cosine+calibrated"):
    changed = {
        condition: replace(t, target_T=change(t.target_T), nontarget_N=change(t.nontarget_N))
        for condition, t in PLAIN.trials.items()
    }
    return replace(PLAIN, system=replace(PLAIN.system, scoring=scoring), trials=changed)


def test_a_calibration_that_keeps_the_order_is_recognised_and_shares_the_replicates():
    calibrated = mapped(lambda scores: 3 * scores - 2)
    assert order_preserving([PLAIN, calibrated]) == {calibrated.system: PLAIN}
    measured = measure([PLAIN, calibrated], {}, speaker_draws(SPEAKERS, 30, 0), COSTS)
    alone = measure([calibrated], {}, speaker_draws(SPEAKERS, 30, 0), COSTS)
    for plain, twin, apart in zip(measured[:2], measured[2:], alone, strict=True):
        assert (twin.eer, twin[MIN_DCF]) == pytest.approx((plain.eer, plain[MIN_DCF]))
        assert twin.eer_ci95 == pytest.approx(apart.eer_ci95)
        assert (plain[ACTUAL_DCF] is None, twin[ACTUAL_DCF] is None) == (True, False)


@pytest.mark.parametrize("change", [lambda s: -s, np.sin, np.round], ids=["turned", "folded", "tied"])
def test_a_map_that_changes_the_order_or_ties_scores_is_recognised_too(change):
    assert order_preserving([PLAIN, mapped(change)]) == {}


def test_fused_systems_have_no_uncalibrated_self():
    fused = replace(mapped(lambda s: s), system=System("raw+x", "ge2e:1", "cosine+calibrated"))
    assert order_preserving([PLAIN, fused]) == {}


def test_pooled_calibration_is_over_all_trials_of_the_shared_conditions():
    calibrated = mapped(lambda scores: 2 * scores - 1)
    (pooled,) = pooled_calibration([PLAIN, calibrated], {"clean", "noise"}, COSTS)
    target, nontarget = (
        np.concatenate([getattr(t, name) for t in calibrated.trials.values()]) for name in ("target_T", "nontarget_N")
    )
    assert pooled[CLLR] == cllr(target, nontarget)
    assert pooled[ACTUAL_DCF] == actual_dcf(target, nontarget, p_target=0.05)
    assert pooled[MIN_CLLR] <= pooled[CLLR]
    assert pooled[MIN_DCF] <= pooled[ACTUAL_DCF]


def test_every_metric_with_replicates_has_their_corrected_interval():
    draws = speaker_draws(SPEAKERS, 60, 0)
    counts = np.array([[4, 6, 5, 5, 3, 7], [3, 6, 4, 1, 3, 6], [4, 6, 4, 3, 3, 7]], float)
    identified = Identified(23 / 30, 27 / 30, SPEAKERS, counts)
    calibrated = mapped(lambda scores: 3 * scores - 2)
    found = measure([calibrated], {(calibrated.system, "clean"): identified}, draws, COSTS)[0]
    t = calibrated.trials[CONDITIONS[0]]
    speakers = t.target_speakers_T2[:, 0], t.nontarget_speakers_N2
    drawn = metric_replicates(t.target_T, t.nontarget_N, *speakers, draws, [(0.05, 0.95)])
    expected = {
        EER: drawn.eer_R,
        MIN_DCF: drawn.min_dcf_QR[0],
        ACTUAL_DCF: drawn.actual_dcf_QR[0],
        CLLR: drawn.cllr_R,
        ACCURACY: (counts[1] @ draws) / (counts[0] @ draws),
        TOP5: (counts[2] @ draws) / (counts[0] @ draws),
    }
    for metric, replicates in expected.items():
        np.testing.assert_allclose(found.replicates[metric.key], replicates, atol=1e-12)
        assert found.ci95(metric) == pytest.approx(bias_corrected_interval(found[metric], replicates))
        assert found.row()[f"{metric.key}_ci95"] == found.ci95(metric)
    assert "eer_nearest_ci95" not in found.row()
    (pooled,) = pooled_calibration([calibrated], {"clean", "noise"}, COSTS, draws)
    for metric in (CLLR, ACTUAL_DCF):
        low, high = pooled.ci95(metric)
        assert low < pooled[metric] < high


@pytest.mark.parametrize("costs", [Costs(0.05, 10, 1), Costs(0.2, 1, 3.5)])
def test_costs_are_in_both_kinds_of_detection_cost_and_in_the_rows(costs):
    calibrated = mapped(lambda scores: 2 * scores - 1)
    for measurement, t in zip(measure([calibrated], {}, None, costs), calibrated.trials.values(), strict=True):
        weights = costs.c_miss * costs.p_target, costs.c_fa * (1 - costs.p_target)

        def cost(threshold, t=t, weights=weights):
            errors = np.mean(t.target_T < threshold), np.mean(t.nontarget_N >= threshold)
            return np.dot(weights, errors) / min(weights)

        lowest = min(cost(threshold) for threshold in [*t.target_T, *t.nontarget_N, np.inf])
        assert measurement[MIN_DCF] == pytest.approx(lowest)
        assert measurement[ACTUAL_DCF] == pytest.approx(cost(np.log(weights[1] / weights[0])))
        row = measurement.row()
        assert (row["p_target"], row["c_miss"], row["c_fa"]) == (costs.p_target, costs.c_miss, costs.c_fa)
    (pooled,) = pooled_calibration([calibrated], {"clean", "noise"}, costs)
    assert pooled[MIN_DCF] <= pooled[ACTUAL_DCF] != next(pooled_calibration([calibrated], {"clean"}, COSTS))[ACTUAL_DCF]


def test_both_conventions_of_the_eer_are_measured():
    for measurement, t in zip(measure([PLAIN], {}, None, COSTS), PLAIN.trials.values(), strict=True):
        assert measurement.eer == eer(t.target_T, t.nontarget_N)
        assert measurement[EER_NEAREST] == eer(t.target_T, t.nontarget_N, "nearest")
