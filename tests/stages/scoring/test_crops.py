import numpy as np
import pytest
import torch

from reseed.stages.scoring.cosine import cosine_scores, utterance_embeddings
from reseed.stages.scoring.crops import crop_distance_scores, mean_unit_crops, unit_crops
from reseed.store import ScoringError


def crops(utterances: int = 9, count: int = 4, dim: int = 24, seed: int = 0, dtype=np.float32) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(utterances, count, dim)).astype(dtype) * 3


def trials(count: int = 60, enrolled: int = 9, tested: int = 9) -> np.ndarray:
    draw = np.random.default_rng(1)
    return np.stack([draw.integers(0, enrolled, count), draw.integers(0, tested, count)], axis=1)


def pair_scores(enrolment, test, pairs):
    return cosine_scores(mean_unit_crops(enrolment), mean_unit_crops(test), pairs)


def distance_scores(enrolment, test, pairs, device="cpu"):
    return crop_distance_scores(unit_crops(enrolment), unit_crops(test), pairs, device)


def by_double_loop(enrolment, test, pairs, of_two):
    """Every pair of crops by itself, in double precision."""
    scores = []
    for first, second in pairs:
        values = []
        for a in enrolment[first].astype(np.float64):
            for b in test[second].astype(np.float64):
                values.append(of_two(a / np.sqrt((a * a).sum()), b / np.sqrt((b * b).sum())))
        scores.append(np.mean(values))
    return np.array(scores)


def cosine(a, b):
    return (a * b).sum()


def minus_distance(a, b):
    return -np.sqrt(((a - b) ** 2).sum())


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_the_mean_cosine_of_all_crop_pairs_is_that_of_a_double_loop(dtype):
    enrolment, test, pairs = crops(dtype=dtype), crops(7, 3, seed=2, dtype=dtype), trials(tested=7)
    expected = by_double_loop(enrolment, test, pairs, cosine)
    np.testing.assert_allclose(pair_scores(enrolment, test, pairs), expected, atol=1e-12)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_the_mean_distance_of_all_crop_pairs_is_that_of_a_double_loop(dtype):
    enrolment, test, pairs = crops(dtype=dtype), crops(7, 3, seed=2, dtype=dtype), trials(tested=7)
    expected = by_double_loop(enrolment, test, pairs, minus_distance)
    np.testing.assert_allclose(distance_scores(enrolment, test, pairs), expected, atol=1e-6)


@pytest.mark.parametrize("spread", [0.0, 1e-7, 1e-5, 1e-3, 1e-2, 0.03, 0.1, 0.3])
def test_no_digits_cancel_between_crops_that_nearly_agree(spread):
    draw = np.random.default_rng(3)
    vectors = (draw.normal(size=512) + spread * draw.normal(size=(6, 5, 512))).astype(np.float64)
    pairs = trials(30, 6, 6)
    expected = by_double_loop(vectors, vectors, pairs, minus_distance)
    np.testing.assert_allclose(distance_scores(vectors, vectors, pairs), expected, atol=1e-6)


def test_identical_crops_have_no_distance():
    vectors = np.repeat(crops(3, 1), 10, axis=1)
    assert (distance_scores(vectors, vectors.copy(), np.array([[0, 0], [2, 2]])) == 0).all()


def test_many_trials_of_one_enrolment_in_any_order_score_as_they_do_alone():
    enrolment, test = crops(2), crops(50, seed=4)
    pairs = np.random.default_rng(0).permutation(np.stack([np.arange(400) % 2, np.arange(400) % 50], axis=1))
    together = distance_scores(enrolment, test, pairs)
    alone = [distance_scores(enrolment, test, pair[None])[0] for pair in pairs]
    np.testing.assert_allclose(together, alone, atol=1e-7)


def test_one_crop_has_the_distance_that_its_cosine_implies():
    enrolment, test, pairs = crops(count=1), crops(count=1, seed=5), trials()
    similar = cosine_scores(utterance_embeddings(enrolment), utterance_embeddings(test), pairs)
    np.testing.assert_allclose(distance_scores(enrolment, test, pairs), -np.sqrt(2 - 2 * similar), atol=1e-6)


@pytest.mark.parametrize("device", ["cpu:0", pytest.param("cuda", marks=pytest.mark.skipif(
    not torch.cuda.is_available(), reason="no CUDA device"))])  # fmt: skip
def test_a_device_gives_the_same_distances_across_blocks(device, monkeypatch):
    monkeypatch.setattr("reseed.stages.scoring.crops._BLOCK_ELEMENTS", 700)
    enrolment, test, pairs = crops(), crops(7, 3, seed=2), trials(tested=7)
    expected = by_double_loop(enrolment, test, pairs, minus_distance)
    np.testing.assert_allclose(distance_scores(enrolment, test, pairs, device), expected, atol=1e-7)


@pytest.mark.parametrize("scored", [pair_scores, distance_scores])
def test_no_trials_give_no_scores(scored):
    assert scored(crops(), crops(), np.empty((0, 2), np.int64)).shape == (0,)


@pytest.mark.parametrize("prepared", [mean_unit_crops, unit_crops])
@pytest.mark.parametrize("bad", [0.0, np.nan, np.inf])
def test_a_crop_without_direction_is_an_error(prepared, bad):
    damaged = crops()
    damaged[1, 2] = bad
    with pytest.raises(ScoringError, match="1 of 36 vectors have no direction .* at row 6"):
        prepared(damaged)
