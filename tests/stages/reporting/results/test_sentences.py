from dataclasses import replace

import numpy as np
import pytest

from reseed.stages.reporting.results.measure import Measured
from reseed.stages.reporting.results.sentences import calibration_warning, conclusions
from reseed.stages.reporting.results.styles import scored_labels, system_labels
from reseed.stages.reporting.results.summary import Mean, Summary, change
from reseed.stages.reporting.results.systems import System
from reseed.stages.scoring.detection_costs import Costs

DRAWS = np.linspace(-1, 1, 41)


def mean(eer, spread=None, conditions=3):
    """A mean EER whose replicates lie around it, the same draw always on the same side."""
    if spread is None:
        return Mean(eer, None, conditions, None)
    return Mean(eer, (eer - spread, eer + spread), conditions, eer + spread * DRAWS)


def summary(name, clean, noisy, raw=None, centred=None, scoring="cosine", backbone="ge2e"):
    changes = [
        change(mine, theirs)
        for other in (raw, centred)
        for mine, theirs in ((clean, other and other.clean), (noisy, other and other.noisy))
    ]
    space = backbone if name in ("raw", backbone) else f"{backbone}+{name.removeprefix(f'{backbone}+')}:1"
    return Summary(System(name, space, scoring), clean, noisy, *changes)


def say(*summaries):
    labels = scored_labels(system_labels([s.system for s in summaries]))
    return [sentence.replace("\u202f", " ") for sentence in conclusions(summaries, labels)]


@pytest.mark.parametrize(
    ("systems", "labels"),
    [
        ([("raw", "ge2e", "cosine"), ("seed", "ge2e", "cosine")], ["raw", "seed"]),
        ([("raw", "ge2e:1a", "cosine"), ("seed", "ge2e:1a+seed:2b", "cosine")], ["raw", "seed"]),
        ([("raw", "ge2e:1a", "cosine"), ("raw", "ecapa:2b", "cosine")], ["raw · ge2e", "raw · ecapa"]),
        ([("raw", "ge2e:1a", "cosine"), ("raw", "ge2e:2b", "cosine")], ["raw · ge2e:1a", "raw · ge2e:2b"]),
        ([("raw", "ge2e", "cosine"), ("raw", "ge2e", "as_norm")], ["raw", "raw"]),
        ([("raw", "ge2e", "cosine", "a"), ("raw", "ge2e", "cosine", "b")], ["raw · a", "raw · b"]),
        ([("raw", "ge2e", "cosine", "a"), ("seed", "ge2e+x", "cosine", "b")], ["raw", "seed"]),
        ([("raw", "ge2e", "cosine"), ("raw", "ge2e", "cosine+calibrated")], ["raw", "raw · calibrated"]),
        ([("raw", "ge2e", "cosine"), ("fused", "ge2e", "cosine+calibrated")], ["raw", "fused"]),
    ],
)
def test_labels_tell_systems_apart_and_say_no_more(systems, labels):
    assert list(system_labels([System(*system) for system in systems]).values()) == labels


def test_labels_name_the_scoring_where_there_are_several():
    one, two = System("raw", "ge2e", "cosine"), System("raw", "ge2e", "as_norm+calibrated")
    assert scored_labels({one: "raw"}) == {one: "raw"}
    assert scored_labels({one: "raw", two: "raw"}) == {one: "raw · cosine", two: "raw · as_norm"}


def test_a_clear_gain_is_said_with_both_means_the_change_and_the_intervals():
    raw = summary("raw", mean(0.05, 0.01), mean(0.2, 0.02))
    assert say(raw, summary("seed", mean(0.05, 0.02), mean(0.1, 0.02), raw)) == [
        "seed is best in noise, with an EER of 10.0 % (8.0 to 12.0) on average over 3 noisy conditions, "
        "against 20.0 % (18.0 to 22.0) for raw: a change of −50 % (−55 to −46; p = 0.048).",
        "On clean speech, seed has an EER of 5.0 % (3.0 to 7.0), against 5.0 % (4.0 to 6.0) for raw: a change of "
        "0 % (−23 to +16; p = 1.000; not significant).",
    ]


def centred_example():
    raw = summary("raw", mean(0.05, 0.01), mean(0.2, 0.02))
    return raw, summary("centre", mean(0.04, 0.008), mean(0.12, 0.012), raw)


def test_a_gain_is_said_over_centring_alone_before_it_is_said_over_raw():
    raw, centred = centred_example()
    said = say(raw, centred, summary("vire", mean(0.04, 0.008), mean(0.1, 0.01), raw, centred))
    assert said == [
        "vire is best in noise, with an EER of 10.0 % (9.0 to 11.0) on average over 3 noisy conditions, against "
        "12.0 % (10.8 to 13.2) for centre: a change of −17 % (−17 to −17; p = 0.048), and "
        "20.0 % (18.0 to 22.0) for raw: a change of −50 % (−50 to −50; p = 0.048).",
        "On clean speech, vire has an EER of 4.0 % (3.2 to 4.8), against "
        "4.0 % (3.2 to 4.8) for centre: a change of 0 % (0 to 0; p = 1.000; not significant), and "
        "5.0 % (4.0 to 6.0) for raw: a change of −20 % (−20 to −20; p = 0.048).",
    ]


def test_what_is_no_better_than_centring_beyond_chance_is_named_however_far_below_raw():
    raw, centred = centred_example()
    best = summary("wccn", mean(0.04, 0.008), mean(0.1, 0.01), raw, centred)
    level = summary("vire", mean(0.04, 0.008), mean(0.118, 0.02), raw, centred)
    worse = summary("seed", mean(0.06, 0.012), mean(0.15, 0.015), raw, centred)
    said = say(raw, centred, best, level, worse)
    assert "Worse in noise than centring alone: seed, +25 % (+25 to +25; p = 0.048)." in said
    assert (
        "Not shown to be better in noise than centring alone: vire, −2 % (−9 to +4; p = 0.810; not significant)."
        in said
    )
    assert said[-1] == "Significantly worse than centring alone on clean speech: seed by 50 % (50 to 50)."


def test_another_backbone_is_no_enhancer_that_failed_to_be_better_than_centring():
    raw, centred = centred_example()
    poor = mean(0.06, 0.012), mean(0.15, 0.015)
    other = [summary(name, *poor, raw, centred, backbone="small") for name in ("small", "small+centre")]
    said = say(raw, centred, *other)
    assert said[0].startswith("centre is best in noise")
    assert "Significantly worse than raw on clean speech: small by 20 % (20 to 20) and small+centre by 20 %" in said[-1]
    on_top = summary("small+vire", mean(0.06, 0.012), mean(0.16, 0.016), raw, other[1], backbone="small")
    said = say(raw, centred, *other, on_top)
    assert "Worse in noise than centring alone: small+vire, +7 % (+7 to +7; p = 0.048)." in said
    assert not any("centring alone" in each for each in said if "small+vire" not in each)


def test_where_centring_wins_no_enhancer_is_said_to_have_gained_anything():
    raw, centred = centred_example()
    said = say(raw, centred, summary("seed", None, mean(0.15, 0.015), raw, centred))
    assert said[0] == "No enhancer has a lower EER than centre, which subtracts a mean and no more."
    assert said[1].startswith("centre is best in noise, with an EER of 12.0 % (10.8 to 13.2)")
    assert "against 20.0 % (18.0 to 22.0) for raw: a change of −40 %" in said[1]
    assert say(raw, centred)[0].startswith("centre is best in noise")  # where there is no enhancer none has failed


def test_without_intervals_only_a_higher_error_is_said_to_be_no_better_than_centring():
    raw = summary("raw", None, mean(0.2))
    centred = summary("centre", None, mean(0.12), raw)
    eers = {"vire": 0.1, "mse": 0.11, "seed": 0.15}
    others = [summary(name, None, mean(eer), raw, centred) for name, eer in eers.items()]
    said = say(raw, centred, *others)
    (sentence,) = [each for each in said if "centring alone" in each]
    assert sentence == "Not shown to be better in noise than centring alone: seed, +25 %."


def test_the_paired_change_decides_whether_there_is_a_gain_and_not_the_overlap_of_intervals():
    raw = summary("raw", None, mean(0.2, 0.04))
    assert "not significant" not in say(raw, summary("seed", None, mean(0.18, 0.036), raw))[0]
    assert say(raw, summary("seed", None, mean(0.19, 0.1), raw))[0].endswith("; not significant).")


def test_rivals_are_those_that_the_paired_draws_do_not_separate():
    raw = summary("raw", None, mean(0.3, 0.02))
    best = summary("wccn", None, mean(0.1, 0.02), raw)
    close, apart = summary("mse", None, mean(0.102, 0.01), raw), summary("seed", None, mean(0.12, 0.02), raw)
    second = (
        "Second in noise is mse, with an EER of 10.2 % (9.2 to 11.2); compared with it, wccn changes the EER by "
        "−2 % (−12 to +7; p = 0.857; not significant)."
    )
    assert say(raw, best, close, apart)[-1] == second
    third = summary("vmf_pl", None, mean(0.103, 0.01), raw)
    assert say(raw, best, close, apart, third)[-2:] == [
        second,
        "In noise, wccn does not differ significantly from vmf_pl either.",
    ]


def test_a_second_that_is_certainly_worse_is_said_to_be():
    raw = summary("raw", None, mean(0.3, 0.02))
    best, second = summary("wccn", None, mean(0.1, 0.02), raw), summary("seed", None, mean(0.12, 0.02), raw)
    assert say(raw, best, second)[-1] == (
        "Second in noise is seed, with an EER of 12.0 % (10.0 to 14.0); compared with it, wccn changes the EER by "
        "−17 % (−20 to −14; p = 0.048)."
    )


def several_scorings():
    raw = summary("raw", mean(0.05, 0.01), mean(0.2, 0.02))
    normed = summary("raw", mean(0.04, 0.008), mean(0.16, 0.016), scoring="as_norm")
    return raw, normed


def test_what_a_scoring_alone_does_to_raw_is_said_apart_from_enhancement():
    raw, normed = several_scorings()
    assert say(raw, normed)[-1] == (
        "as_norm alone changes the EER of raw · cosine by −20 % (−20 to −20; p = 0.048) in noise and by −20 % "
        "(−20 to −20; p = 0.048) on clean speech."
    )


def test_the_best_enhanced_is_compared_with_raw_under_as_norm_and_under_the_first_scoring():
    raw, normed = several_scorings()
    best = summary("seed", mean(0.05, 0.01), mean(0.12, 0.012), raw)
    said = say(raw, normed, best)
    assert said[0].startswith("seed · cosine is best in noise, with an EER of 12.0 %")
    assert "against 20.0 % (18.0 to 22.0) for raw · cosine: a change of −40 %" in said[0]
    assert (
        "Compared with raw · as_norm, which has an EER of 16.0 % (14.4 to 17.6) in noise, seed · cosine changes the "
        "EER by −25 % (−25 to −25; p = 0.048)." in said
    )
    under_norm = summary("seed", mean(0.04, 0.008), mean(0.08, 0.008), normed, scoring="as_norm")
    said = say(raw, normed, under_norm)
    assert "for raw · as_norm: a change of −50 %" in said[0]
    assert [sentence for sentence in said if sentence.startswith("Compared with raw · cosine")] == [
        "Compared with raw · cosine, which has an EER of 20.0 % (18.0 to 22.0) in noise, seed · as_norm changes the "
        "EER by −60 % (−60 to −60; p = 0.048)."
    ]


def test_where_raw_wins_by_its_scoring_the_best_enhanced_is_compared_with_it_once():
    raw, normed = several_scorings()
    worse = summary("seed", mean(0.05, 0.01), mean(0.18, 0.018), raw)
    said = say(raw, normed, worse)
    assert said[0].startswith("No enhancer has a lower EER than raw · as_norm: an EER of")
    assert said[1].startswith(
        "Second in noise is seed · cosine, with an EER of 18.0 % (16.2 to 19.8); compared with it, raw · as_norm "
        "changes the EER by −11"
    )
    assert not any(sentence.startswith("Compared with raw · as_norm") for sentence in said)
    assert any(sentence.startswith("Compared with raw · cosine, which has an EER of 20.0 %") for sentence in said)


def test_the_next_is_another_system_and_not_the_best_scored_in_another_way():
    raw, normed = several_scorings()
    best = summary("seed", None, mean(0.1, 0.01), raw)
    again = summary("seed", None, mean(0.101, 0.01), normed, scoring="as_norm")
    other = summary("mse", None, mean(0.14, 0.014), normed, scoring="as_norm")
    (said,) = [sentence for sentence in say(raw, normed, best, again, other) if sentence.startswith("Second")]
    assert said.startswith("Second in noise is mse · as_norm, with an EER of 14.0 %")


def test_enhancers_that_harm_clean_speech_are_named():
    raw = summary("raw", mean(0.05, 0.005), mean(0.2, 0.02))
    harmful = summary("mse", mean(0.1, 0.01), mean(0.1, 0.01), raw), summary("seed", mean(0.06, 0.005), mean(0.3), raw)
    assert (
        say(raw, *harmful)[-1]
        == "Significantly worse than raw on clean speech: mse by 100 % (100 to 100) and seed by 20 % (18 to 22)."
    )


def test_raw_can_win():
    raw = summary("raw", mean(0.05), mean(0.1))
    assert say(raw, summary("seed", mean(0.06), mean(0.2), raw)) == [
        "No enhancer has a lower EER than raw: an EER of 5.0 % on clean speech and 10.0 % on average over 3 noisy "
        "conditions.",
        "Second in noise is seed, with an EER of 20.0 %; compared with it, raw changes the EER by −50 %.",
    ]


def test_one_system_is_described_without_comparison():
    assert say(summary("raw", mean(0.05), mean(0.1, conditions=1))) == [
        "raw: an EER of 5.0 % on clean speech and 10.0 % in one noisy condition."
    ]


def test_clean_speech_alone_is_compared_on_clean_speech():
    raw = summary("raw", mean(0.05), None)
    assert say(raw, summary("seed", mean(0.04), None, raw)) == [
        "seed is best.",
        "On clean speech, seed has an EER of 4.0 %, against 5.0 % for raw: a change of −20 %.",
    ]


def test_systems_that_share_no_condition_are_not_compared():
    assert "no condition that all systems share" in say(summary("raw", None, None), summary("seed", None, None))[0]


def with_fusion(noisy):
    raw = summary("raw", mean(0.05, 0.01), mean(0.2, 0.02))
    vire = summary("vire", mean(0.05, 0.01), mean(0.1, 0.01), raw)
    fused = summary("raw+vire", mean(0.05, 0.01), noisy, raw)
    return raw, vire, replace(fused, system=replace(fused.system, space="ge2e+fusion:1"))


def test_a_fused_system_that_is_not_certainly_better_comes_second_and_once():
    said = say(*with_fusion(mean(0.099, 0.03)))
    assert said[0].startswith("vire is the best single system in noise, with an EER of 10.0 %")
    assert said[1] == (
        "The fused system raw+vire has an EER of 9.9 % (6.9 to 12.9) in noise; compared with vire, it changes the EER "
        "by −1 % (−22 to +16; p = 1.000; not significant)."
    )
    assert sum("raw+vire" in sentence for sentence in said) == 1


def test_a_fused_system_that_is_certainly_better_leads():
    said = say(*with_fusion(mean(0.05, 0.005)))
    assert said[0].startswith("raw+vire is best in noise, with an EER of 5.0 %")
    assert said[2].startswith("Second in noise is vire, with an EER of 10.0 %")


@pytest.mark.parametrize(("costs", "instead"), [(Costs(0.05), "rejecting"), (Costs(0.5, 3), "accepting")])
def test_a_calibrated_system_that_costs_more_than_deciding_blindly_is_warned_of(costs, instead):
    systems = [System(name, "ge2e", "cosine+calibrated") for name in ("raw", "mse", "seed")]
    pooled = [Measured(s, {"actual_dcf": actual}) for s, actual in zip(systems, (0.9, 1.456, 1.01), strict=True)]
    labels = {system: f"{system.name} · cosine" for system in systems}
    assert calibration_warning(pooled, labels, costs) == [
        "The calibration of mse · cosine (1.46) and seed · cosine (1.01) does not hold: above an actual DCF of 1, the "
        f"number in brackets, {instead} everyone would cost less."
    ]
    assert calibration_warning(pooled[:1], labels, costs) == []
