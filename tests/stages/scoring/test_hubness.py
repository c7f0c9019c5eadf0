import numpy as np
import pytest
from scipy.stats import skew
from sklearn.neighbors import NearestNeighbors

from reseed.stages.scoring import hubness as module
from reseed.stages.scoring.cosine import unit_rows
from reseed.stages.scoring.hubness import hubness, occurrences, scatter

VECTORS = unit_rows(np.random.default_rng(0).normal(size=(300, 64)))


@pytest.mark.parametrize("block", [1024, 7])
def test_occurrences_and_their_skewness_are_those_of_scikit_learn_and_scipy(monkeypatch, block):
    monkeypatch.setattr(module, "_BLOCK_N", block)
    places = NearestNeighbors(n_neighbors=11, metric="cosine").fit(VECTORS).kneighbors(VECTORS)[1]
    others = np.array([[place for place in row if place != own][:10] for own, row in enumerate(places)])
    expected = np.bincount(others.ravel(), minlength=300)
    np.testing.assert_array_equal(occurrences(VECTORS), expected)
    assert hubness(VECTORS) == pytest.approx(skew(expected))


def test_a_mean_that_all_vectors_share_makes_hubs_of_those_near_it():
    assert hubness(unit_rows(VECTORS + 0.8 * VECTORS[0])) > hubness(VECTORS) + 1
    assert hubness(np.eye(3)) == 0  # all are found alike


def test_scatter_is_worked_by_hand():
    vectors = np.array([[0.0, 1], [0, -1], [4, 1], [4, -1]])
    assert scatter(vectors, np.array([5, 5, 7, 7])) == pytest.approx(1 / 4)
