import numpy as np
import pytest
import torch

from reseed.stages.enhancers.table import make_enhancer
from reseed.stages.enhancers.wccn import WccnConfig, inverse_square_root, view_covariance
from reseed.store import StoreError
from tests.stages.stores import clustered_vectors

VIEWS = ["clean", "noise", "reverb"]


def vectors(dim: int = 6) -> torch.Tensor:
    return torch.from_numpy(clustered_vectors(40, len(VIEWS), dim))


def fitted(vectors_NVD: torch.Tensor, **settings: float):
    enhancer = make_enhancer("wccn", WccnConfig.model_validate(settings), vectors_NVD.shape[-1])
    enhancer.fit([vectors_NVD], VIEWS)
    return enhancer


def test_view_covariance_equals_a_hand_worked_one():
    two_crops = torch.tensor([[[1.0, 0.0], [3.0, 0.0]], [[5.0, 7.0], [5.0, 9.0]]])
    assert view_covariance(two_crops).tolist() == [[1.0, 0.0], [0.0, 1.0]]


def test_view_covariance_is_the_same_in_chunks(monkeypatch):
    whole = view_covariance(vectors())
    monkeypatch.setattr("reseed.stages.enhancers.wccn._CHUNK_ROWS", 7)
    torch.testing.assert_close(view_covariance(vectors()), whole)


def test_inverse_square_root_undoes_the_covariance():
    covariance = view_covariance(vectors())
    whitening = inverse_square_root(covariance, shrinkage=0.5)
    loaded = covariance + 0.5 * covariance.diagonal().mean() * torch.eye(6)
    torch.testing.assert_close(whitening @ loaded @ whitening, torch.eye(6, dtype=torch.float64))


def test_wccn_equals_the_published_formula():
    x = vectors().double().numpy()
    deviation = (x - x.mean(axis=1, keepdims=True)).reshape(-1, 6)
    within = deviation.T @ deviation / (40 * 2)
    loaded = within + 0.1 * 10 * np.linalg.eigvalsh(within).mean() * np.eye(6)
    values, basis = np.linalg.eigh(loaded)
    z = (x - x.mean(axis=(0, 1))) @ (basis / np.sqrt(values)) @ basis.T
    z /= np.linalg.norm(z, axis=-1, keepdims=True)
    enhanced = fitted(vectors()).enhance(vectors().flatten(0, 1), torch.Generator())
    torch.testing.assert_close(enhanced.numpy(), z.reshape(-1, 6).astype(np.float32), rtol=1e-4, atol=1e-5)


def test_wccn_brings_the_views_of_a_crop_together():
    def spread(x):
        within = (x - x.mean(dim=1, keepdim=True)).square().sum()
        return within / (x - x.mean(dim=(0, 1))).square().sum()

    enhanced = fitted(vectors(16)).enhance(vectors(16).flatten(0, 1), torch.Generator()).reshape(40, 3, 16)
    assert spread(enhanced) < spread(vectors(16))


def test_identical_views_are_refused():
    with pytest.raises(StoreError, match="clean, noise, reverb hold identical vectors"):
        fitted(vectors()[:, :1].expand(-1, 3, -1))
