"""Shapes: C crops, D embedding dimension, N utterances x crops, U utterances, V views."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from reseed.stages.enhancers.neighbours import Neighbours, NeighboursConfig
from reseed.store import ModelError, StoreError

DIM, CROPS, VIEWS = 64, 2, ["clean", "noise"]


def speech(utterances_of_each: list[int], seed: int = 0) -> Tensor:
    """Vectors [N, V, D] of speakers with so many utterances each; noise blurs the second view more."""
    rng = np.random.default_rng(seed)
    speaker_SD = rng.normal(size=(len(utterances_of_each), DIM))
    utterance_UD = np.repeat(speaker_SD, utterances_of_each, axis=0)
    utterance_UD = utterance_UD + 0.5 * rng.normal(size=utterance_UD.shape)
    crop_ND = np.repeat(utterance_UD, CROPS, axis=0)
    blur_V = np.array([0.3, 0.8])[:, None]
    return torch.from_numpy(crop_ND[:, None] + blur_V * rng.normal(size=(len(crop_ND), 2, DIM))).float()


def fitted(**settings: float) -> Neighbours:
    enhancer = Neighbours(NeighboursConfig.model_validate(settings), DIM)
    enhancer.fit(speech([1] * 80, seed=1).split([3, 100, 57]), VIEWS, CROPS)
    return enhancer


def together(enhancer: Neighbours, vectors_NVD: Tensor) -> Tensor:
    enhancer.adapt([vectors_NVD], CROPS, speakers=5)
    return enhancer.enhance_block(vectors_NVD, torch.Generator())


def means(vectors_NVD: Tensor, view: int) -> np.ndarray:
    unit_UCD = F.normalize(vectors_NVD[:, view], dim=-1).unflatten(0, (-1, CROPS))
    return F.normalize(unit_UCD.mean(dim=1), dim=-1).double().numpy()


def test_vectors_of_a_speaker_with_many_utterances_come_together_and_their_noise_falls():
    vectors_NVD = speech([6] * 10)
    before, after = F.normalize(vectors_NVD, dim=-1), together(fitted(), vectors_NVD)

    def spread(unit_NVD: Tensor) -> Tensor:
        speaker = unit_NVD.unflatten(0, (10, -1))
        return (speaker - speaker.mean(dim=1, keepdim=True)).square().sum() / speaker.mean(dim=1).square().sum()

    assert spread(after) < 0.6 * spread(before)
    torch.testing.assert_close(after.norm(dim=-1), torch.ones(120, 2))


def test_a_speaker_who_is_in_the_store_once_stays_where_they_are():
    vectors_NVD = speech([6] * 10 + [1] * 10)
    alone = slice(-10 * CROPS, None)
    torch.testing.assert_close(
        together(fitted(), vectors_NVD)[alone], F.normalize(vectors_NVD, dim=-1)[alone], atol=0.02, rtol=0
    )


def test_a_store_in_which_nobody_has_a_neighbour_stays_as_it_is():
    vectors_NVD = speech([1] * 12)
    torch.testing.assert_close(together(fitted(expected=1e-12), vectors_NVD), F.normalize(vectors_NVD, dim=-1))


def test_each_vector_is_moved_as_the_formula_says():
    enhancer, vectors_NVD = fitted(expected=3, strength=0.7), speech([4] * 8)
    (same, deviation), other_deviation = enhancer.same_2.tolist(), enhancer.other_deviation.item()
    enhanced_NVD = together(enhancer, vectors_NVD)
    for view in range(2):
        mean_UD = means(vectors_NVD, view)
        score_UU = mean_UD @ mean_UD.T
        apart = ~np.eye(32, dtype=bool)
        other = torch.from_numpy(score_UU[apart]).median().item()
        clipped = np.clip(score_UU, other, same)
        ratio = -0.5 * ((clipped - same) / deviation) ** 2 + 0.5 * ((clipped - other) / other_deviation) ** 2
        odds = np.exp(ratio) * other_deviation / deviation * 3 / (32 - 3)
        w_UU = odds / (1 + odds) * apart
        w_UU[w_UU < 0.01] = 0
        t_UU = w_UU @ w_UU
        drawn_ND = np.repeat(w_UU * t_UU / (1 + t_UU) @ mean_UD, CROPS, axis=0)
        expected_ND = F.normalize(vectors_NVD[:, view], dim=-1).double().numpy() + 0.7 * drawn_ND
        expected_ND /= np.linalg.norm(expected_ND, axis=-1, keepdims=True)
        np.testing.assert_allclose(enhanced_NVD[:, view], expected_ND, atol=2e-4)


def test_what_a_speakers_scores_look_like_is_learnt_without_labels():
    enhancer = fitted()
    mean, deviation = enhancer.same_2.tolist()
    assert 0.6 < mean < 1
    assert 0 < deviation < 0.3
    # Scores of different speakers in 64 dimensions, of random directions: a deviation of 1 / 8.
    assert enhancer.other_deviation.item() == pytest.approx(1 / 8, rel=0.1)


def test_of_single_crops_the_views_say_what_a_speakers_scores_look_like():
    enhancer, vectors_NVD = Neighbours(NeighboursConfig(), DIM), speech([1] * 80)[::CROPS]
    enhancer.fit([vectors_NVD], VIEWS, crops=1)
    score_U = F.cosine_similarity(vectors_NVD[:, 0], vectors_NVD[:, 1])
    torch.testing.assert_close(enhancer.same_2, torch.stack([score_U.mean(), score_U.std()]))


def test_stores_are_looked_through_in_chunks_and_enhanced_in_blocks_with_the_same_result(monkeypatch):
    vectors_NVD = speech([6] * 10)
    expected = together(fitted(), vectors_NVD)
    monkeypatch.setattr("reseed.stages.enhancers.neighbours._CHUNK_UTTERANCES", 7)
    enhancer = fitted()
    enhancer.adapt(vectors_NVD.split([10, 110]), CROPS, speakers=10)
    parts = [(0, vectors_NVD[:46]), (46, vectors_NVD[46:])]
    enhanced = [enhancer.enhance_block(part, torch.Generator(), first) for first, part in parts]
    torch.testing.assert_close(torch.cat(enhanced), expected)


def test_single_vectors_and_those_of_another_store_have_no_neighbours():
    enhancer = fitted()
    x_MD = speech([1] * 5)[:, 0]
    assert torch.equal(enhancer.enhance(x_MD, torch.Generator()), F.normalize(x_MD, dim=-1))
    together(enhancer, speech([6] * 4))
    with pytest.raises(ModelError, match="among 24 utterances; enhance those, and no others"):
        enhancer.enhance_block(speech([6] * 5), torch.Generator())


def test_too_little_to_learn_from_is_one_clear_line():
    enhancer = Neighbours(NeighboursConfig(), DIM)
    with pytest.raises(StoreError, match="learns from several crops or views of each training utterance; extract more"):
        enhancer.fit([speech([1] * 8)[:, :1]], VIEWS[:1], crops=1)
    with pytest.raises(StoreError, match="three training utterances at least"):
        enhancer.fit([speech([1, 1])], VIEWS, CROPS)
    with pytest.raises(StoreError, match="three utterances at least, the store has 2"):
        fitted().adapt([speech([1, 1])], CROPS, speakers=2)
