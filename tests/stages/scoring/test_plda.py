"""PLDA against densities of scipy, against the model it is drawn from, and in scikit-learn's manner."""

import numpy as np
import pytest
from scipy.stats import multivariate_normal
from sklearn.base import clone

from reseed.stages.scoring.cosine import cosine_scores, unit_rows
from reseed.stages.scoring.metrics import cllr, eer, min_cllr
from reseed.stages.scoring.plda import TwoCovariancePLDA, _two_covariances
from reseed.store import ScoringError


def drawn(speakers: int, each: int, dim: int = 12, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Vectors of the model with known, unequal variances: [N, D], labels, and the between / within ratio [D]."""
    generator = np.random.default_rng(seed)
    ratio_D = np.linspace(3.0, 0.2, dim)
    speaker = np.repeat(np.arange(speakers), each)
    voices = generator.normal(size=(speakers, dim)) * np.sqrt(ratio_D)
    return voices[speaker] + generator.normal(size=(speakers * each, dim)), speaker, ratio_D


def test_em_finds_the_covariances_vectors_were_drawn_from() -> None:
    vectors, speaker, ratio = drawn(3000, 4)
    rotation = np.linalg.qr(np.random.default_rng(1).normal(size=(12, 12)))[0] @ np.diag(np.linspace(0.5, 2, 12))
    _, basis, found = _two_covariances(vectors @ rotation + 5, speaker, np.full(3000, 4))
    np.testing.assert_allclose(found, ratio, atol=0.15)
    np.testing.assert_allclose(basis.T @ rotation.T @ rotation @ basis, np.eye(12), atol=0.05)


@pytest.mark.parametrize("count", [1, 3])
def test_score_is_the_ratio_of_two_joint_densities(count: int) -> None:
    vectors, speaker, _ = drawn(60, 5)
    model = TwoCovariancePLDA(dimensions=6).fit(vectors, speaker)
    latent = model.transform(vectors)
    between = model.between_
    for first in range(4):
        enrolled, test = latent[first * 5 : first * 5 + count], latent[7 * first + 9]
        score = model.score_trials(enrolled.mean(axis=0)[None], test[None], np.array([[0, 0]]), np.array([count]))[0]
        joint = apart = 0.0
        for k, variance in enumerate(between):
            covariance = np.eye(count + 1) + variance
            joint += multivariate_normal.logpdf([*enrolled[:, k], test[k]], np.zeros(count + 1), covariance)
            apart += multivariate_normal.logpdf(enrolled[:, k], np.zeros(count), covariance[:count, :count])
            apart += multivariate_normal.logpdf(test[k], 0, 1 + variance)
        assert score == pytest.approx(joint - apart, rel=1e-9)


def test_ahead_of_cosine_where_sessions_differ_along_few_directions_and_nearly_calibrated() -> None:
    generator = np.random.default_rng(3)
    loud = np.diag([6.0] * 5 + [1.0] * 35)

    def speech(speakers: int) -> tuple[np.ndarray, np.ndarray]:
        speaker = np.repeat(np.arange(speakers), 6)
        voices = generator.normal(size=(speakers, 40))
        return voices[speaker] + generator.normal(size=(speakers * 6, 40)) @ loud, speaker

    model = TwoCovariancePLDA(dimensions=40).fit(*speech(800))
    vectors, speaker = speech(60)
    pairs = np.stack(np.triu_indices(360, 1), axis=1)
    same = speaker[pairs[:, 0]] == speaker[pairs[:, 1]]
    latent, unit = model.transform(vectors), unit_rows(vectors)
    plda, cosine = model.score_trials(latent, latent, pairs), cosine_scores(unit, unit, pairs)
    assert eer(plda[same], plda[~same]) < 0.6 * eer(cosine[same], cosine[~same])
    assert cllr(plda[same], plda[~same]) < min_cllr(plda[same], plda[~same]) + 0.05


def test_dimensions_are_bounded_by_the_speakers_and_fewer_vectors_than_dimensions_do() -> None:
    vectors, speaker, _ = drawn(5, 3, dim=64)
    model = TwoCovariancePLDA(dimensions=128).fit(vectors, speaker)
    assert model.transform(vectors).shape == (15, 4)
    assert np.isfinite(model.score_trials(model.transform(vectors), model.transform(vectors), np.array([[0, 1]]))).all()


@pytest.mark.parametrize("counts", [[1] * 30 + [2, 2, 2], [2] * 63, [6, 5, 4]])
def test_few_or_equal_vectors_of_many_dimensions_give_finite_scores_of_a_sane_size(counts):
    generator = np.random.default_rng(0)
    speaker = np.repeat(np.arange(len(counts)), counts)
    for vectors in (generator.normal(size=(speaker.size, 256)), generator.normal(size=(len(counts), 256))[speaker]):
        latent = (model := TwoCovariancePLDA().fit(vectors, speaker)).transform(vectors)
        scores = model.score_trials(latent, latent, np.stack(np.triu_indices(speaker.size, 1), axis=1))
        assert np.abs(scores).max() < 1e5


def test_is_cloned_and_configured_like_any_estimator() -> None:
    assert clone(TwoCovariancePLDA(dimensions=7)).get_params() == {"dimensions": 7}


def test_labels_that_tell_nothing_are_refused() -> None:
    vectors, _, _ = drawn(4, 1)
    with pytest.raises(ScoringError, match="3 or more speakers with two or more vectors each; there are 0 among 4"):
        TwoCovariancePLDA().fit(vectors, np.arange(4))
    with pytest.raises(ScoringError, match="there are 2 among 2 speakers"):
        TwoCovariancePLDA().fit(vectors, np.array([0, 0, 1, 1]))
