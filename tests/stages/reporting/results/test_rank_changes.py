import numpy as np

from reseed.stages.audio.conditions import describe
from reseed.stages.reporting.metrics.base import Identified
from reseed.stages.reporting.results.rank_changes import rank_changes
from reseed.stages.reporting.results.systems import System

CONDITIONS = [*describe({"clean": {}, "noise_5db": {"noise": 5}, "music_5db": {"music": 5}})[0].values()]
RAW, SEED = System("raw", "ge2e:1", "cosine"), System("seed", "ge2e:1+seed:2", "cosine")


def ranked(first, tests="same"):
    first_T = np.array(first, bool)
    return Identified(first_T.mean(), 1.0, 5, first_T=first_T, tests=tests)


def test_losses_and_gains_are_counted_over_the_conditions_of_a_part():
    identified = {
        (RAW, "clean"): ranked([1, 1, 0]),
        (SEED, "clean"): ranked([1, 0, 0]),
        (RAW, "noise_5db"): ranked([1, 0, 0]),
        (SEED, "noise_5db"): ranked([0, 1, 1]),
        (RAW, "music_5db"): ranked([1, 0, 0]),
        (SEED, "music_5db"): ranked([1, 1, 0]),
    }
    clean, noisy = rank_changes(identified, CONDITIONS)
    assert (clean.system, clean.part, clean.tests, clean.lost, clean.won) == (SEED, "clean", 3, 1, 0)
    assert (noisy.part, noisy.tests, noisy.lost, noisy.won) == ("noisy", 6, 1, 3)


def test_other_tests_are_not_compared_and_raw_alone_changes_nothing():
    identified = {(RAW, "clean"): ranked([1, 0]), (SEED, "clean"): ranked([0, 1], tests="others")}
    assert list(rank_changes(identified, CONDITIONS)) == []
    assert list(rank_changes({(RAW, "clean"): ranked([1, 0])}, CONDITIONS)) == []
