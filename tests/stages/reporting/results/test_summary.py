import numpy as np
import pytest

from reseed.stages.audio.conditions import describe
from reseed.stages.reporting.metrics.table import METRICS
from reseed.stages.reporting.results.measure import Measurement
from reseed.stages.reporting.results.summary import (
    best_enhanced,
    best_system,
    centred_reference,
    headline,
    means_by_kind,
    reference,
    summarise,
)
from reseed.stages.reporting.results.systems import System
from reseed.stages.scoring.comparison import detectable, holm, p_value
from reseed.stages.scoring.detection_costs import Costs

VIEWS = {"clean": {}, "noise_5db": {"noise": 5}, "music_5db": {"music": 5}}


def measured(name, view, eer, replicates=None, backbone="ge2e", recipe=None, scoring="cosine", **values):
    return Measurement(
        system=System(name, backbone, scoring),
        values=dict.fromkeys(metric.key for metric in METRICS) | {"eer": eer, "eer_nearest": eer} | values,
        condition=describe({view: VIEWS[view] if recipe is None else recipe})[0][view],
        trials=10,
        targets=5,
        unlabelled=0,
        contradictory=0,
        costs=Costs(0.05),
        replicates={} if replicates is None else {"eer": np.array(replicates)},
    )


def test_noisy_means_leave_out_clean_and_changes_are_relative_to_raw():
    raw, seed = summarise(
        [
            measured("raw", "clean", 0.05),
            measured("raw", "noise_5db", 0.2),
            measured("raw", "music_5db", 0.1),
            measured("seed", "clean", 0.06),
            measured("seed", "noise_5db", 0.1),
            measured("seed", "music_5db", 0.08),
        ]
    )
    assert (raw.clean.eer, raw.noisy.eer) == pytest.approx((0.05, 0.15))
    assert (seed.clean_change.relative, seed.noisy_change.relative) == pytest.approx((0.2, -0.4))
    assert raw.noisy_change is None
    assert seed.noisy_change.ci95 is None
    assert not seed.noisy_change.is_significant


def test_means_cover_only_the_conditions_that_all_systems_share():
    raw, seed = summarise(
        [measured("raw", "noise_5db", 0.2), measured("raw", "music_5db", 0.6), measured("seed", "noise_5db", 0.1)]
    )
    assert (raw.noisy.eer, raw.noisy.conditions, seed.noisy_change.relative) == pytest.approx((0.2, 1, -0.5))


def test_the_change_is_paired_draw_by_draw():
    # Either EER varies between draws by more than they differ, but in every draw the second is a tenth lower.
    draws = np.linspace(0.1, 0.3, 50)
    raw, seed = summarise([measured("raw", "noise_5db", 0.2, draws), measured("seed", "noise_5db", 0.18, 0.9 * draws)])
    assert raw.noisy.ci95[0] < seed.noisy.ci95[1]
    assert seed.noisy_change.ci95 == pytest.approx((-0.1, -0.1))
    assert seed.noisy_change.is_significant


def test_a_mean_has_an_interval_only_where_every_condition_has_replicates():
    (raw,) = summarise([measured("raw", "noise_5db", 0.2, [0.1, 0.3]), measured("raw", "music_5db", 0.2)])
    assert raw.noisy.ci95 is None


def test_raw_of_another_backbone_is_no_reference():
    raws = [measured("raw", "clean", 0.1), measured("raw", "clean", 0.2, backbone="resnet")]
    *_, seed = summarise([*raws, measured("seed", "clean", 0.05, backbone="ecapa")])
    assert seed.clean_change is None


def test_a_raw_without_errors_gives_no_relative_change():
    _, seed = summarise([measured("raw", "clean", 0.0), measured("seed", "clean", 0.05)])
    assert seed.clean_change is None


def test_the_best_system_is_the_one_of_the_lowest_noisy_mean():
    summaries = summarise(
        [
            measured(name, view, eer)
            for name, clean, noisy in [("raw", 0.01, 0.1), ("mse", 0.05, 0.08), ("seed", 0.02, 0.2)]
            for view, eer in [("clean", clean), ("noise_5db", noisy)]
        ]
    )
    assert best_system(summaries).system.name == "mse"
    assert best_enhanced(summaries[::2]).system.name == "seed"
    assert best_enhanced(summaries[:1]) is None


def test_without_noise_the_best_system_is_the_best_on_clean_speech():
    summaries = summarise([measured("raw", "clean", 0.1), measured("mse", "clean", 0.05)])
    assert best_system(summaries).system.name == "mse"


def test_the_p_value_is_twice_the_share_of_replicates_on_the_rarer_side_the_sample_itself_counted():
    assert p_value(np.array([-3.0, -2.0, -1.0, 1.0])) == pytest.approx(2 * (1 + 1) / 5)
    assert p_value(np.array([-1.0] * 99)) == pytest.approx(2 / 100)
    assert p_value(np.array([-1.0, 0.0, np.nan])) == pytest.approx(1.0)
    assert p_value(np.array([np.nan])) is None


def test_the_p_value_agrees_with_the_normal_one_where_differences_are_normal():
    differences = np.random.default_rng(0).normal(-1.5, 1.0, 200_000)
    assert p_value(differences) == pytest.approx(0.1336, abs=0.003)


def test_a_p_value_above_a_twentieth_is_no_certainty_however_few_the_replicates():
    _, seed = summarise([measured("raw", "clean", 0.2, [0.2] * 20), measured("seed", "clean", 0.1, [0.1] * 20)])
    assert seed.clean_change.ci95[1] < 0
    assert seed.clean_change.p_value == pytest.approx(2 / 21)
    assert not seed.clean_change.is_significant


def test_raw_under_the_same_scoring_is_the_reference_calibrated_alike_where_there_is_one():
    plain, calibrated = (System("raw", "ge2e", scoring) for scoring in ("as_norm", "as_norm+calibrated"))
    raws = [System("raw", "ge2e", "cosine"), plain, System("raw", "ge2e", "as_norm", "other run")]
    fused = System("raw+seed", "ge2e+x", "as_norm+calibrated")
    assert reference(fused, raws) == plain
    assert reference(fused, [*raws, calibrated]) == calibrated
    assert reference(System("seed", "ge2e+x", "plda"), raws) is None
    assert reference(plain, raws) is None


def test_what_centring_alone_makes_of_the_same_vectors_is_a_second_reference():
    raw, centred, seed = summarise(
        [
            measured(name, view, eer, backbone=space)
            for name, space, clean, noisy in [
                ("raw", "ge2e:1", 0.05, 0.2),
                ("centre", "ge2e:1+centre:2", 0.04, 0.1),
                ("seed", "ge2e:1+seed:3", 0.05, 0.08),
            ]
            for view, eer in [("clean", clean), ("noise_5db", noisy)]
        ]
    )
    assert (raw.noisy_from_centred, centred.noisy_from_centred) == (None, None)
    assert (seed.noisy_from_centred.relative, seed.noisy_change.relative) == pytest.approx((-0.2, -0.6))
    assert seed.row()["clean_change_from_centred"] == pytest.approx(0.25)
    assert centred.row()["noisy_change_from_centred"] is None


def test_an_enhancer_is_compared_with_the_centred_vectors_of_its_own_backbone_and_a_backbone_with_those_of_the_first():
    raw, centred = System("raw", "ge2e:1", "cosine"), System("centre", "ge2e:1+centre:2", "cosine")
    small, small_centred = System("small", "small:3", "cosine"), System("small+centre", "small:3+centre:4", "cosine")
    systems = [raw, centred, small, small_centred]
    assert centred_reference(System("vire", "ge2e:1+vire:5", "cosine"), systems) == centred
    assert centred_reference(System("small+vire", "small:3+vire:6", "cosine"), systems) == small_centred
    assert centred_reference(System("small+vire", "small:3+vire:6", "cosine"), systems[:3]) == centred
    assert [centred_reference(system, systems) for system in systems] == [None, None, centred, centred]
    calibrated = System("centre", "ge2e:1+centre:2", "cosine+calibrated")
    assert centred_reference(calibrated, [*systems, calibrated]) is None
    assert centred_reference(System("vire", "ge2e:1+vire:5", "plda"), systems) is None
    assert centred_reference(System("vire", "ge2e:1+vire:5", "cosine", "other run"), systems) is None


@pytest.mark.parametrize(
    ("name", "space", "is_centred"),
    [
        ("centre", "ge2e:1+centre:2", True),
        ("small+centre", "small:3+centre:4", True),
        ("centre", "ge2e:1+mse:2", False),
        ("mean", "ge2e:1+centre:2", False),
        ("raw+centre", "ge2e:1+fusion:2", False),
    ],
)
def test_centred_is_what_is_called_so_and_is_so(name, space, is_centred):
    assert System(name, space, "cosine").is_centred is is_centred


FUSED = "ge2e+fusion:1"


def led_by(*systems):
    """The names of the headline system and of a fused one beside it; of (name, space, scoring, noisy replicates)."""
    measurements = [
        measured(name, "noise_5db", float(np.mean(draws)), draws, backbone=space, scoring=scoring)
        for name, space, scoring, draws in systems
    ]
    first, fused = headline(summarise(measurements))
    return first.system.name, fused and fused.system.name


def test_a_fused_system_leads_only_where_it_is_certainly_better_than_the_best_single_one():
    draws = np.linspace(0.1, 0.3, 100)
    raw, member = ("raw", "ge2e", "cosine", draws), ("vire", "ge2e+vire:1", "cosine", 0.8 * draws)
    assert led_by(raw, member) == ("vire", None)
    level = ("both", FUSED, "cosine+calibrated", 0.8 * draws + np.where(np.arange(100) % 3, -0.01, 0.015))
    assert led_by(raw, member, level) == ("vire", "both")
    assert led_by(raw, member, ("both", FUSED, "cosine+calibrated", 0.7 * draws)) == ("both", None)
    assert led_by(raw, member, ("both", FUSED, "cosine+calibrated", 0.9 * draws)) == ("vire", None)
    assert led_by(level) == ("both", None)


def test_a_fused_system_is_judged_by_those_scored_alike():
    draws = np.linspace(0.1, 0.3, 100)
    fused = ("both", FUSED, "cosine+calibrated", 0.7 * draws)
    wobbly = ("vire", "ge2e+vire:1", "as_norm", 0.7 * draws + np.where(np.arange(100) % 2, -0.02, 0.021))
    assert led_by(("raw", "ge2e", "cosine", draws), wobbly, fused) == ("both", None)
    assert led_by(wobbly, fused) == ("vire", "both")


def test_the_mean_by_kind_is_over_the_shared_conditions_of_that_kind():
    recipes = {
        "clean": {},
        "n0": {"noise": 0},
        "n5": {"noise": 5},
        "rn": {"reverb": True, "noise": 5},
        "m": {"music": 5},
    }
    measurements = [
        measured("raw", view, eer, [eer, 2 * eer], recipe=recipe)
        for (view, recipe), eer in zip(recipes.items(), (0.05, 0.3, 0.2, 0.4, 0.1), strict=True)
    ]
    kinds = means_by_kind(measurements, set(recipes) - {"m"})
    assert list(kinds) == ["noise", "reverb + noise"]
    (mean,) = kinds["noise"].values()
    assert (mean.eer, mean.conditions) == pytest.approx((0.25, 2))
    assert mean.replicate_R == pytest.approx([0.25, 0.5])


def test_a_backbone_that_replaces_another_is_compared_with_its_raw():
    raw, tuned = measured("raw", "clean", 0.2), measured("tuned", "clean", 0.1, backbone="ge2e:tuned")
    assert reference(tuned.system, [raw.system, tuned.system]) == raw.system
    rival = measured("raw", "clean", 0.3, backbone="resnet")
    assert reference(tuned.system, [raw.system, rival.system, tuned.system]) is None


def test_p_values_are_corrected_for_how_many_systems_are_compared_with_the_same_reference():
    draws = np.linspace(-1, 1, 99)
    rows = [measured("raw", "noise_5db", 0.2, 0.2 + 0.001 * draws)]
    shifts = {"seed": 0.10, "vire": 0.002, "wccn": 0.0005}
    rows += [measured(name, "noise_5db", 0.2 - by, 0.2 - by + 0.003 * draws) for name, by in shifts.items()]
    found = {s.system.name: s.noisy_change for s in summarise(rows)}
    plain = {
        name: p_value(rows[place].replicates["eer"] - rows[0].replicates["eer"]) for place, name in enumerate(shifts, 1)
    }
    assert [found[name].p_value for name in shifts] == pytest.approx(holm([*plain.values()]))
    assert found["seed"].p_value == pytest.approx(3 * plain["seed"])
    alone = summarise(rows[:2])[1].noisy_change
    assert alone.p_value == pytest.approx(plain["seed"])
    assert alone.detectable == pytest.approx(detectable(rows[1].replicates["eer"] / rows[0].replicates["eer"] - 1))


def test_holm_is_worked_by_hand():
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.5, 0.6]) == [1.0, 1.0]
    assert holm([]) == []
