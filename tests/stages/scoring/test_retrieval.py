import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score, top_k_accuracy_score
from sklearn.neighbors import KNeighborsClassifier, NearestCentroid

from reseed.stages.scoring import retrieval
from reseed.stages.scoring.retrieval import Classifiers, gallery_and_queries, retrieved


def drawn(items: int, classes: int = 6, seed: int = 0, noise: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """Unit vectors of items around the means of their classes, and the classes."""
    draw = np.random.default_rng(seed)
    class_U = np.concatenate([np.arange(classes), draw.integers(classes, size=items - classes)])
    vectors_UD = np.random.default_rng(99).normal(size=(classes, 8))[class_U] + noise * draw.normal(size=(items, 8))
    return vectors_UD / np.linalg.norm(vectors_UD, axis=1, keepdims=True), class_U


@pytest.mark.parametrize("block", [7, 1024])
def test_average_precision_and_recall_are_those_of_scikit_learn(block, monkeypatch):
    monkeypatch.setattr(retrieval, "_BLOCK_Q", block)
    (gallery, own), (queries, asked) = drawn(80), drawn(50, seed=1)
    found = retrieved(queries, gallery, asked, own)
    cosines = queries @ gallery.T
    precisions = [average_precision_score(own == label, row) for label, row in zip(asked, cosines, strict=True)]
    assert found.mean_average_precision == pytest.approx(np.mean(precisions))
    best = np.stack([np.where(own == label, cosines, -2).max(axis=1) for label in range(6)], axis=1)
    assert found.recall_at_1 == pytest.approx(top_k_accuracy_score(asked, best, k=1))
    nearest = KNeighborsClassifier(10, algorithm="brute").fit(gallery, own).kneighbors(queries, return_distance=False)
    for first, recall in ((5, found.recall_at_5), (10, found.recall_at_10)):
        assert recall == pytest.approx(np.mean((own[nearest[:, :first]] == asked[:, None]).any(axis=1)))


def test_a_gallery_worked_out_by_hand():
    gallery = np.array([[1, 0], [0.8, 0.6], [0, 1]])
    found = retrieved(np.array([[1.0, 0.0]]), gallery, np.array([7]), np.array([3, 7, 7]))
    assert found == (0, 1, 1, pytest.approx((1 / 2 + 2 / 3) / 2))


def test_classifiers_are_those_of_scikit_learn():
    (gallery, own), (queries, asked) = drawn(80), drawn(50, seed=1)
    found = Classifiers(gallery, own).classified(queries, asked)
    peers = (NearestCentroid(), KNeighborsClassifier(5), LogisticRegression(max_iter=1000))
    assert found == pytest.approx([peer.fit(gallery, own).score(queries, asked) for peer in peers])
    assert Classifiers(gallery, own + 10).classified(queries, asked + 10) == pytest.approx(found)


def test_every_other_item_of_a_class_is_a_query_and_what_has_no_other_is_left_out(monkeypatch):
    gallery, queries = gallery_and_queries(np.array([4, 2, 4, -1, 4, 9, 2, 4, -1]))
    assert (gallery.tolist(), queries.tolist()) == ([0, 1, 4], [2, 6, 7])
    assert [side.size for side in gallery_and_queries(np.array([-1, -1, 3]))] == [0, 0]
    monkeypatch.setattr(retrieval, "MOST", 3)
    gallery, queries = gallery_and_queries(np.repeat(np.arange(5), 4))
    assert gallery.size <= 3 >= queries.size
    assert {*np.repeat(np.arange(5), 4)[queries]} <= {*np.repeat(np.arange(5), 4)[gallery]}


def test_vectors_that_say_more_of_their_class_are_better_by_every_measure():
    sides = [(drawn(80, noise=noise), drawn(50, seed=1, noise=noise)) for noise in (1.0, 4.0)]
    better, worse = (
        (*retrieved(queries, gallery, asked, own), *Classifiers(gallery, own).classified(queries, asked))
        for (gallery, own), (queries, asked) in sides
    )
    assert all(one >= other for one, other in zip(better, worse, strict=True))
    assert sum(better) > sum(worse) + 1
