"""MMSE and i-MAP against least squares and the published form."""

import numpy as np
import pytest
import torch

from reseed.stages.enhancers.base import Enhancer
from reseed.stages.enhancers.table import ENHANCERS, make_enhancer
from tests.stages.stores import clustered_vectors

VIEWS = ["noise", "clean", "reverb"]
DIM = 6


def vectors() -> torch.Tensor:
    return torch.from_numpy(clustered_vectors(60, len(VIEWS), DIM))


def fitted(name: str, block: int = 60, shrinkage: float = 1e-9) -> Enhancer:
    enhancer = make_enhancer(name, ENHANCERS[name].Config.model_validate({"shrinkage": shrinkage}), DIM)
    enhancer.fit(vectors().split(block), VIEWS)
    return enhancer


def clean_and_noisy() -> tuple[np.ndarray, np.ndarray]:
    """Return unit vectors [60 * 3, D]: the clean one of each crop, three times, and all its views."""
    unit = vectors().double().numpy()
    unit = unit / np.linalg.norm(unit, axis=-1, keepdims=True)
    return np.repeat(unit[:, 1], len(VIEWS), axis=0), unit.reshape(-1, DIM)


def expected(enhancer: Enhancer, estimate: np.ndarray) -> None:
    enhanced = enhancer.enhance(5 * vectors().flatten(0, 1), torch.Generator()).numpy()
    unit = estimate / np.linalg.norm(estimate, axis=-1, keepdims=True)
    np.testing.assert_allclose(enhanced, unit, atol=2e-4)


@pytest.mark.parametrize("block", [60, 7])
def test_mmse_is_the_linear_map_of_least_squared_error(block):
    clean, noisy = clean_and_noisy()
    clean, noisy = clean - clean.mean(axis=0), noisy - noisy.mean(axis=0)
    expected(fitted("mmse", block), noisy @ np.linalg.lstsq(noisy, clean, rcond=None)[0])


def test_imap_is_the_published_estimate():
    clean, noisy = clean_and_noisy()
    covariance_x = np.cov(clean.T, bias=True)
    both = np.cov(clean.T, noisy.T, bias=True)
    covariance_n = np.cov((noisy - clean).T, bias=True)
    assert not np.allclose(both[:DIM, DIM:], covariance_x, atol=1e-3)  # noise is not independent of what is clean
    inverse_n, inverse_x = np.linalg.inv(covariance_n), np.linalg.inv(covariance_x)
    mean_x, mean_n = clean.mean(axis=0), (noisy - clean).mean(axis=0)
    estimate = ((noisy - mean_n) @ inverse_n + mean_x @ inverse_x) @ np.linalg.inv(inverse_n + inverse_x)
    expected(fitted("imap"), estimate - mean_x)


def test_shrinkage_keeps_more_dimensions_than_vectors_from_being_a_riddle():
    few = torch.from_numpy(clustered_vectors(3, len(VIEWS), 32))
    for name in ("mmse", "imap"):
        enhancer = make_enhancer(name, ENHANCERS[name].Config(), 32)
        enhancer.fit([few], VIEWS)
        assert enhancer.enhance(few[:, 0], torch.Generator()).isfinite().all()
