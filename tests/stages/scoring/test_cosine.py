import numpy as np
import pytest

from reseed.stages.scoring import cosine
from reseed.stages.scoring.cosine import cosine_scores, utterance_embeddings
from reseed.store import ScoringError


def test_crops_count_alike_whatever_their_length():
    vectors = np.array([[[10.0, 0.0], [0.0, 0.1]]], np.float16)
    np.testing.assert_allclose(utterance_embeddings(vectors), [[np.sqrt(0.5), np.sqrt(0.5)]], atol=1e-6)


def test_embeddings_have_unit_length_in_double_precision():
    embeddings = utterance_embeddings(np.random.default_rng(0).normal(size=(9, 3, 8)).astype(np.float32))
    assert embeddings.dtype == np.float64
    np.testing.assert_allclose(np.linalg.norm(embeddings, axis=1), 1)


@pytest.mark.parametrize("bad", [0.0, np.nan])
def test_a_vector_without_direction_is_an_error_that_counts_and_places_it(bad):
    vectors = np.ones((3, 1, 4))
    vectors[1] = bad
    with pytest.raises(ScoringError, match="1 of 3 vectors have no direction .* at row 1"):
        utterance_embeddings(vectors)


def test_scores_are_cosines_of_the_pairs_across_blocks(monkeypatch):
    monkeypatch.setattr(cosine, "_BLOCK_P", 4)
    draw = np.random.default_rng(0)
    vectors = draw.normal(size=(6, 5))
    units = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    pairs = draw.integers(0, 6, (11, 2))
    expected = [float(units[a] @ units[b]) for a, b in pairs]
    np.testing.assert_allclose(cosine_scores(units, units, pairs), expected)


def test_no_trials_give_no_scores():
    assert cosine_scores(np.eye(2), np.eye(2), np.empty((0, 2), np.int64)).shape == (0,)
