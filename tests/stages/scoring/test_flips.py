import numpy as np

from reseed.stages.scoring.flips import flips


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
