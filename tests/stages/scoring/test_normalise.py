import numpy as np
import pytest
import torch

from reseed.stages.scoring import normalise as module
from reseed.stages.scoring.cosine import cosine_scores, unit_rows
from reseed.stages.scoring.normalise import cohort_statistics, normalise
from reseed.store import ScoringError


def units(count: int, seed: int, dim: int = 12) -> np.ndarray:
    return unit_rows(np.random.default_rng(seed).normal(size=(count, dim)))


def by_hand(vectors, cohort, top):
    """Each row by itself: sort its cosines, keep the highest, two-pass statistics."""
    means, deviations = [], []
    for vector in vectors:
        highest = sorted((float(vector @ other) for other in cohort), reverse=True)[:top]
        mean = sum(highest) / len(highest)
        means.append(mean)
        deviations.append((sum((value - mean) ** 2 for value in highest) / len(highest)) ** 0.5)
    return np.array(means), np.array(deviations)


@pytest.fixture(autouse=True)
def _small_blocks(monkeypatch):
    monkeypatch.setattr(module, "_BLOCK_U", 4)
    monkeypatch.setattr(module, "_BLOCK_M", 9)


@pytest.mark.parametrize("top", [2, 7, 9, 20, 31, None])
def test_statistics_are_those_of_the_sorted_cosines_of_each_row(top):
    vectors, cohort = units(11, 0), units(31, 1)
    for ours, expected in zip(cohort_statistics(vectors, cohort, top), by_hand(vectors, cohort, top), strict=True):
        np.testing.assert_allclose(ours, expected, atol=1e-12)


@pytest.mark.parametrize("top", [5, None])
def test_a_cohort_that_comes_in_blocks_gives_the_same_statistics(top):
    vectors, cohort = units(11, 0), units(31, 1)
    parts = iter([cohort[:1], cohort[1:14], cohort[14:14], cohort[14:]])
    for ours, expected in zip(
        cohort_statistics(vectors, parts, top), cohort_statistics(vectors, cohort, top), strict=True
    ):
        np.testing.assert_allclose(ours, expected, atol=1e-13)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("top", [5, None])
def test_a_gpu_gives_the_same_statistics(top):
    vectors, cohort = units(11, 0), units(31, 1)
    for ours, expected in zip(
        cohort_statistics(vectors, cohort, top, "cuda"), cohort_statistics(vectors, cohort, top), strict=True
    ):
        np.testing.assert_allclose(ours, expected, atol=1e-12)


def test_a_hand_worked_score_is_half_the_sum_of_both_sides():
    enrolment = np.array([0.1, 0.2]), np.array([0.1, 0.5])
    test = np.array([0.3, 0.0]), np.array([0.2, 0.25])
    scores = normalise(np.array([0.5, 0.7]), np.array([[0, 0], [1, 1]]), enrolment, test)
    np.testing.assert_allclose(scores, [(4 + 1) / 2, (1 + 2.8) / 2])


def test_two_sides_of_one_set_score_alike_whichever_is_enrolled():
    vectors, cohort = units(9, 3), units(40, 4)
    statistics = cohort_statistics(vectors, cohort, 10)
    pairs = np.array([[a, b] for a in range(9) for b in range(9)])
    forth, back = (
        normalise(cosine_scores(vectors, vectors, way), way, statistics, statistics) for way in (pairs, pairs[:, ::-1])
    )
    np.testing.assert_allclose(forth, back, atol=1e-12)


def test_what_shifts_and_scales_all_scores_of_a_side_is_taken_out():
    cosines, pairs = np.linspace(-1, 1, 6), np.array([[0, 1]] * 6)
    plain = np.array([0.1, 0.2]), np.array([0.3, 0.4])
    moved = tuple(3 * part + shift for part, shift in zip(plain, (5, 0), strict=True))
    np.testing.assert_allclose(
        normalise(3 * cosines + 5, pairs, moved, moved), normalise(cosines, pairs, plain, plain), atol=1e-12
    )


@pytest.mark.parametrize("cohort", [units(31, 1), [units(30, 1), units(1, 2)]])
def test_a_cohort_smaller_than_the_top_is_an_error_that_says_both(cohort):
    with pytest.raises(ScoringError, match="the cohort has 31 vectors, fewer than 300"):
        cohort_statistics(units(3, 0), cohort, 300)


@pytest.mark.parametrize("cohort", [units(0, 1), units(1, 1), []])
def test_a_cohort_of_less_than_two_is_an_error(cohort):
    with pytest.raises(ScoringError, match=r"the cohort has [01] vectors, fewer than 2"):
        cohort_statistics(units(3, 0), cohort, None)


def test_a_top_of_one_has_no_deviation():
    with pytest.raises(ScoringError, match="the top 2 of a cohort at least, not 1"):
        cohort_statistics(units(3, 0), units(3, 1), 1)


@pytest.mark.parametrize("top", [10, 25, None])
def test_a_cohort_of_equal_vectors_is_an_error_that_names_the_row(top):
    with pytest.raises(ScoringError, match=r"cohort cosines of 5 vectors are all equal, the first at row 0"):
        cohort_statistics(units(5, 0), np.repeat(units(1, 1), 25, axis=0), top)


def test_a_row_whose_nearest_are_one_recording_is_named():
    cohort = np.concatenate([np.repeat(units(1, 1), 3, axis=0), units(20, 2)])
    rows = np.concatenate([units(6, 3), cohort[:1]])
    with pytest.raises(ScoringError, match=r"the 3 cohort cosines of 1 vectors are all equal, the first at row 6"):
        cohort_statistics(rows, cohort, 3)


def test_a_cohort_of_other_dimensions_is_an_error():
    with pytest.raises(ScoringError, match="the cohort has 13 dimensions, the trials 12"):
        cohort_statistics(units(3, 0), units(9, 1, dim=13), 2)
