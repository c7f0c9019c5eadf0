import numpy as np
import pytest

from stages.reporting.load import System
from stages.reporting.summary import Mean, Summary, change
from stages.reporting.words import bare_range, in_words, listed, signed_percent, signed_range, system_labels

DRAWS = np.linspace(-1, 1, 41)


def mean(eer, spread=None, conditions=3):
    """A mean EER whose replicates lie around it, the same draw always on the same side."""
    if spread is None:
        return Mean(eer, None, conditions, None)
    return Mean(eer, (eer - spread, eer + spread), conditions, eer + spread * DRAWS)


def summary(name, clean, noisy, raw=None):
    changes = (None, None) if raw is None else (change(clean, raw.clean), change(noisy, raw.noisy))
    return Summary(System(name, "ge2e", "cosine"), clean, noisy, *changes)


def say(*summaries):
    labels = system_labels([s.system for s in summaries])
    return [sentence.replace("\u202f", " ") for sentence in in_words(summaries, labels)]


def test_numbers_read_as_a_reader_wants_them():
    texts = [bare_range((0.101, 0.2)), signed_percent(-0.331), signed_percent(0.002), signed_range((-0.3, 0.1))]
    assert [text.replace("\u202f", " ") for text in texts] == ["10.1 to 20.0", "−33 %", "0 %", "−30 to +10"]
    assert [listed(["a"]), listed(["a", "b", "c"])] == ["a", "a, b and c"]


@pytest.mark.parametrize(
    ("systems", "labels"),
    [
        ([("raw", "ge2e", "cosine"), ("seed", "ge2e", "cosine")], ["raw", "seed"]),
        ([("raw", "ge2e:1a", "cosine"), ("seed", "ge2e:1a+seed:2b", "cosine")], ["raw", "seed"]),
        ([("raw", "ge2e:1a", "cosine"), ("raw", "ecapa:2b", "cosine")], ["raw · ge2e", "raw · ecapa"]),
        ([("raw", "ge2e:1a", "cosine"), ("raw", "ge2e:2b", "cosine")], ["raw · ge2e:1a", "raw · ge2e:2b"]),
        ([("raw", "ge2e", "cosine"), ("raw", "ge2e", "as_norm")], ["raw · cosine", "raw · as_norm"]),
    ],
)
def test_labels_tell_systems_apart_and_say_no_more(systems, labels):
    assert list(system_labels([System(*system) for system in systems]).values()) == labels


def test_a_clear_gain_is_said_with_both_means_the_change_and_the_intervals():
    raw = summary("raw", mean(0.05, 0.01), mean(0.2, 0.02))
    assert say(raw, summary("seed", mean(0.05, 0.02), mean(0.1, 0.02), raw)) == [
        "seed is best in noise: EER 10.0 % (8.0 to 12.0) on the mean of 3 noisy conditions, "
        "against 20.0 % (18.0 to 22.0) for raw, a change of −50 % (−55 to −46).",
        "On clean speech it has 5.0 % (3.0 to 7.0), raw 5.0 % (4.0 to 6.0), a change of 0 % (−23 to +16), "
        "which these trials cannot tell from none.",
    ]


def test_the_paired_change_decides_whether_there_is_a_gain_and_not_the_overlap_of_intervals():
    raw = summary("raw", None, mean(0.2, 0.04))
    assert "cannot tell" not in say(raw, summary("seed", None, mean(0.18, 0.036), raw))[0]
    assert say(raw, summary("seed", None, mean(0.19, 0.1), raw))[0].endswith(
        "which these trials cannot tell from none."
    )


def test_rivals_are_those_that_the_paired_draws_do_not_separate():
    raw = summary("raw", None, mean(0.3, 0.02))
    best = summary("wccn", None, mean(0.1, 0.02), raw)
    close, apart = summary("mse", None, mean(0.102, 0.01), raw), summary("seed", None, mean(0.12, 0.02), raw)
    assert say(raw, best, close, apart)[-1] == (
        "Over the same draws of speakers, wccn cannot be told apart in noise from mse."
    )


def test_enhancers_that_harm_clean_speech_are_named():
    raw = summary("raw", mean(0.05, 0.005), mean(0.2, 0.02))
    harmful = summary("mse", mean(0.1, 0.01), mean(0.1, 0.01), raw), summary("seed", mean(0.06, 0.005), mean(0.3), raw)
    assert (
        say(raw, *harmful)[-1]
        == "Worse than raw on clean speech: mse by 100 % (100 to 100) and seed by 20 % (18 to 22)."
    )


def test_raw_can_win():
    raw = summary("raw", mean(0.05), mean(0.1))
    assert say(raw, summary("seed", mean(0.06), mean(0.2), raw)) == [
        "No enhancer has a lower EER than raw, EER 5.0 % on clean speech and 10.0 % on the mean of 3 noisy conditions."
    ]


def test_one_system_is_described_without_comparison():
    assert say(summary("raw", mean(0.05), mean(0.1, conditions=1))) == [
        "raw: EER 5.0 % on clean speech and 10.0 % on the mean of one noisy condition."
    ]


def test_clean_speech_alone_is_compared_on_clean_speech():
    raw = summary("raw", mean(0.05), None)
    assert say(raw, summary("seed", mean(0.04), None, raw)) == [
        "seed is best.",
        "On clean speech it has 4.0 %, raw 5.0 %, a change of −20 %.",
    ]


def test_systems_that_share_no_condition_are_not_compared():
    assert "no condition that all systems share" in say(summary("raw", None, None), summary("seed", None, None))[0]
