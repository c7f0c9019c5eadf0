"""Adapted PLDA against covariances worked out by hand, moved vectors, and a domain of known noise and mean."""

import numpy as np
import pytest

from reseed.stages.scoring.metrics import eer
from reseed.stages.scoring.plda import TwoCovariancePLDA
from reseed.stages.scoring.plda_adaptation import coral, coral_plus, interpolated, kaldi

WITHIN, BETWEEN, TOTAL = np.diag([1.0, 1.0]), np.diag([3.0, 1.0]), np.diag([8.0, 1.0])
MEAN = np.array([0.5, -1.0])


def vectors_of(covariance: np.ndarray, mean: np.ndarray) -> np.ndarray:
    """Return vectors whose mean and covariance are exactly these."""
    root = np.linalg.cholesky(covariance) * np.sqrt(len(covariance))
    return mean + np.concatenate([root.T, -root.T])


ADAPTED = {
    "coral": (coral, np.diag([2.0, 0.5]), np.diag([6.0, 0.5])),
    "coral_plus": (lambda *given: coral_plus(*given, 0.8, 0.5), np.diag([1.8, 1.0]), np.diag([4.5, 1.0])),
    "kaldi": (lambda *given: kaldi(*given, 0.3, 0.7, 0.0), np.diag([2.2, 1.0]), np.diag([5.8, 1.0])),
}


@pytest.mark.parametrize("name", ADAPTED)
@pytest.mark.parametrize("degrees", [0, 30])
def test_covariances_are_those_worked_out_by_hand_however_the_space_is_turned(name, degrees):
    adapt, within, between = ADAPTED[name]
    cos, sin = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    turn = np.array([[cos, -sin], [sin, cos]])
    model = TwoCovariancePLDA().with_covariances(np.zeros(2), turn.T @ WITHIN @ turn, turn.T @ BETWEEN @ turn)
    found = adapt(model, vectors_of(turn.T @ TOTAL @ turn, MEAN))
    np.testing.assert_allclose(found.covariances[0], turn.T @ within @ turn, atol=0.01)
    np.testing.assert_allclose(found.covariances[1], turn.T @ between @ turn, atol=0.01)
    np.testing.assert_allclose(found.centre_, MEAN, atol=1e-12)
    np.testing.assert_allclose(model.covariances, [turn.T @ WITHIN @ turn, turn.T @ BETWEEN @ turn], atol=1e-12)


def test_kaldi_counts_the_difference_of_the_means_as_variance():
    model = TwoCovariancePLDA().with_covariances(np.zeros(2), WITHIN, BETWEEN)
    found = kaldi(model, vectors_of(WITHIN + BETWEEN, np.array([2.0, 0.0])), 0.3, 0.7, 0.5)
    np.testing.assert_allclose(found.covariances[0], WITHIN + np.diag([0.3 * 0.5 * 4, 0]), atol=1e-9)


def speech(generator: np.random.Generator, speakers: int, noise: np.ndarray, shift: float) -> tuple[np.ndarray, ...]:
    speaker = np.repeat(np.arange(speakers), 6)
    voices = 3 * generator.normal(size=(speakers, 20))
    return voices[speaker] + generator.normal(size=(speakers * 6, 20)) * noise + shift, speaker


def test_coral_of_the_model_is_a_model_of_vectors_that_coral_has_moved():
    vectors, speaker = speech(np.random.default_rng(0), 400, np.ones(20), 0.0)
    model = TwoCovariancePLDA(dimensions=8).fit(vectors, speaker)
    reduced = model.reduce(vectors)
    domain = np.random.default_rng(1).normal(size=(5000, 8)) @ np.diag(np.linspace(0.5, 2, 8))
    before, after = sum(model.covariances), np.cov(domain.T, bias=True)
    roots = [np.linalg.eigh(covariance) for covariance in (before, after)]
    whiten, colour = (
        (basis * value**power) @ basis.T for (value, basis), power in zip(roots, (-0.5, 0.5), strict=True)
    )
    moved = model.with_labels((reduced - model.centre_) @ whiten @ colour, speaker)
    np.testing.assert_allclose(coral(model, domain).covariances, moved.covariances, atol=0.02)


def test_with_a_domain_of_another_noise_and_mean_each_adaptation_tells_speakers_apart_better():
    generator = np.random.default_rng(3)
    model = TwoCovariancePLDA(dimensions=20).fit(*speech(generator, 400, np.ones(20), 0.0))
    noise = np.array([12.0] * 4 + [1.0] * 16)
    domain, who = speech(generator, 150, noise, 4.0)
    vectors, speaker = speech(generator, 80, noise, 4.0)
    pairs = np.stack(np.triu_indices(480, 1), axis=1)
    same = speaker[pairs[:, 0]] == speaker[pairs[:, 1]]

    def error(adapted: TwoCovariancePLDA) -> float:
        latent = adapted.transform(vectors)
        scores = adapted.score_trials(latent, latent, pairs)
        return eer(scores[same], scores[~same])

    centred = model.centred_on(np.mean(domain / np.linalg.norm(domain, axis=1, keepdims=True), axis=0))
    reduced = centred.reduce(domain)
    errors = {
        "plda": error(model),
        "coral": error(coral(centred, reduced)),
        "coral_plus": error(coral_plus(centred, reduced, 0.8, 0.8)),
        "kaldi": error(kaldi(centred, reduced, 0.75, 0.25, 1.0)),
        "interpolated": error(interpolated(centred, reduced, who, 0.5)),
    }
    assert all(found < 0.8 * errors["plda"] for name, found in errors.items() if name != "plda"), errors
    assert errors["interpolated"] == min(errors.values())


def test_interpolation_runs_from_the_model_to_that_of_the_domain():
    generator = np.random.default_rng(5)
    model = TwoCovariancePLDA(dimensions=8).fit(*speech(generator, 60, np.ones(20), 0.0))
    vectors, speaker = speech(generator, 60, 3 * np.ones(20), 1.0)
    reduced = model.reduce(vectors)
    own = model.with_labels(reduced, speaker)
    for weight, expected in ((0.0, model), (1.0, own)):
        np.testing.assert_allclose(interpolated(model, reduced, speaker, weight).covariances, expected.covariances)
    np.testing.assert_array_equal(interpolated(model, reduced, speaker, 0.0).centre_, own.centre_)
