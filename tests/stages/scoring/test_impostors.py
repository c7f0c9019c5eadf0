"""Learnt impostors on vectors whose speakers lie in clusters of different spread, so that scores need normalising."""

import numpy as np
import pytest

from reseed.stages.scoring.cosine import unit_rows
from reseed.stages.scoring.impostors import ImpostorTraining, learn_impostors
from reseed.stages.scoring.metrics import eer, min_dcf
from reseed.stages.scoring.normalise import cohort_statistics, normalise
from reseed.store import ScoringError

CENTRES = 1.2 * np.random.default_rng(7).normal(size=(4, 24))
SPREADS = np.array([0.5, 0.9, 1.3, 1.7])


def speech(speakers: int, each: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    draw = np.random.default_rng(seed)
    cluster = draw.integers(4, size=speakers)
    voices = np.repeat(CENTRES[cluster] + draw.normal(size=(speakers, 24)), each, axis=0)
    vectors = voices + np.repeat(SPREADS[cluster], each)[:, None] * draw.normal(size=voices.shape)
    return unit_rows(vectors), np.repeat(np.arange(speakers), each)


def judged(impostors: np.ndarray) -> tuple[float, float]:
    """EER and minDCF of trials among other speakers, normalised by the twenty nearest."""
    vectors, speakers = speech(60, 5, seed=1)
    pairs = np.stack(np.triu_indices(len(vectors), 1), axis=1)
    statistics = cohort_statistics(vectors, impostors, 20)
    scores = normalise((vectors[pairs[:, 0]] * vectors[pairs[:, 1]]).sum(axis=1), pairs, statistics, statistics)
    same = speakers[pairs[:, 0]] == speakers[pairs[:, 1]]
    return eer(scores[same], scores[~same]), min_dcf(scores[same], scores[~same])


def test_learnt_impostors_normalise_the_scores_of_strangers_better_than_means_do():
    vectors, speakers = speech(200, 5, seed=0)
    means = unit_rows(np.stack([vectors[speakers == who].mean(axis=0) for who in range(200)]))
    learnt = learn_impostors(vectors, speakers, ImpostorTraining(top=20, steps=150))
    assert learnt.shape == means.shape
    np.testing.assert_allclose(np.linalg.norm(learnt, axis=1), 1)
    (rate, cost), (of_means, cost_of_means) = judged(learnt), judged(means)
    assert rate < 0.9 * of_means
    assert cost < cost_of_means


def test_the_seed_decides_and_no_step_leaves_the_means():
    vectors, speakers = speech(30, 3, seed=2)
    one, same, other = (learn_impostors(vectors, speakers, ImpostorTraining(5, steps=3, seed=s)) for s in (0, 0, 1))
    np.testing.assert_array_equal(one, same)
    assert np.abs(one - other).max() > 0
    still = learn_impostors(vectors, speakers, ImpostorTraining(5, steps=0))
    means = unit_rows(np.stack([vectors[speakers == who].mean(axis=0) for who in range(30)]))
    np.testing.assert_allclose(still, means, atol=1e-6)


def test_too_few_speakers_are_refused():
    vectors, speakers = speech(6, 2, seed=3)
    with pytest.raises(ScoringError, match="more than the top 6; there are 6, and 6 speakers"):
        learn_impostors(vectors, speakers, ImpostorTraining(6))
    with pytest.raises(ScoringError, match="there are 0, and 12 speakers"):
        learn_impostors(vectors, np.arange(12), ImpostorTraining(2))
