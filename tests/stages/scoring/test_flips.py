import numpy as np

from reseed.stages.scoring.flips import examples, flips


def test_decisions_that_change_are_told_by_which_way_they_go():
    before, after = np.array([2.0, 2.0, 0.0, 0.0, 0.0, 3.0]), np.array([9.0, 4.0, 9.0, 4.0, 9.0, 4.0])
    target = np.array([1, 1, 1, 0, 0, 0], bool)
    found = flips(before, after, target, 1.0, 5.0)
    assert found.worse_P.tolist() == [False, True, False, False, True, False]  # a new miss, a new false alarm
    assert found.mended_P.tolist() == [False, False, True, False, False, True]
    spread = after.std()
    np.testing.assert_allclose(found.margin_P, np.array([4, -1, 4, 1, -4, 1]) / spread)


def test_a_score_at_its_threshold_is_accepted():
    found = flips(np.array([1.0, 1.0]), np.array([5.0, 4.9]), np.array([True, True]), 1.0, 5.0)
    assert found.worse_P.tolist() == [False, True]


def test_examples_are_the_worst_and_others_at_random_each_once():
    after = np.arange(100.0)
    found = flips(np.full(100, 2.0), after, np.ones(100, bool), 1.0, 50.0)  # the first 50 are missed now
    worst, drawn = examples(found, 10)
    assert worst.tolist() == list(range(10))
    assert len(set(drawn.tolist())) == 10
    assert set(drawn.tolist()) < set(range(10, 50))
    assert drawn.tolist() == examples(found, 10)[1].tolist()
    worst, drawn = examples(flips(np.full(3, 2.0), np.arange(3.0), np.ones(3, bool), 1.0, 50.0), 10)
    assert (len(worst), len(drawn)) == (3, 0)
