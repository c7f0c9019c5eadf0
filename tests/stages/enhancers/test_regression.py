import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from reseed.stages.enhancers.regression import CosineConfig, MseConfig, VmfPlConfig
from reseed.stages.enhancers.table import make_enhancer
from reseed.stages.training.cache.pairs import Pairs

DIM = 8


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def pairs() -> Pairs:
    clean_BD, noisy_BD = torch.randn(2, 6, DIM, generator=generator())
    return Pairs(clean_BD, noisy_BD)


def test_mse_is_two_minus_twice_the_cosine():
    enhancer = make_enhancer("mse", MseConfig(), DIM)
    enhanced = enhancer.enhance(pairs().noisy_BD, generator())
    expected = 2.0 - 2.0 * F.cosine_similarity(enhanced, pairs().clean_BD).mean()
    torch.testing.assert_close(enhancer.loss(pairs(), generator()), expected)


def test_the_cosine_loss_is_half_of_the_mse_and_so_are_its_gradients():
    mse, cosine = make_enhancer("mse", MseConfig(), DIM), make_enhancer("cosine", CosineConfig(), DIM)
    losses = [enhancer.loss(pairs(), generator()) for enhancer in (mse, cosine)]
    torch.testing.assert_close(2 * losses[1], losses[0])
    for loss in losses:
        loss.backward()
    for ours, theirs in zip(cosine.parameters(), mse.parameters(), strict=True):
        torch.testing.assert_close(2 * ours.grad, theirs.grad, rtol=1e-4, atol=1e-6)


def test_vmf_pl_equals_the_published_formula():
    enhancer = make_enhancer("vmf_pl", VmfPlConfig(), DIM)
    enhanced = enhancer.enhance(pairs().noisy_BD, generator()).detach().double().numpy()
    clean = pairs().clean_BD.double().numpy()
    clean /= np.linalg.norm(clean, axis=1, keepdims=True)
    expected = np.mean(np.log(((clean - enhanced) ** 2).sum(axis=1) + 1e-6))
    assert enhancer.loss(pairs(), generator()).item() == pytest.approx(expected, abs=1e-5)


def test_vmf_pl_of_a_perfect_map_is_the_logarithm_of_the_floor():
    enhancer = make_enhancer("vmf_pl", VmfPlConfig(), DIM)
    noisy_BD = pairs().noisy_BD
    perfect = Pairs(clean_BD=enhancer.enhance(noisy_BD, generator()), noisy_BD=noisy_BD)
    assert enhancer.loss(perfect, generator()).item() == pytest.approx(math.log(1e-6), abs=1e-2)


def test_regression_ignores_the_length_of_its_input():
    enhancer = make_enhancer("mse", MseConfig(), DIM)
    short, long = pairs().noisy_BD, 7 * pairs().noisy_BD
    torch.testing.assert_close(enhancer.enhance(short, generator()), enhancer.enhance(long, generator()))
