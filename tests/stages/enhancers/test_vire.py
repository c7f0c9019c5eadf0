import numpy as np
import pytest
import scipy.linalg
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from sklearn.covariance import oas

from reseed.stages.enhancers.folder import load_model
from reseed.stages.enhancers.table import make_enhancer
from reseed.stages.enhancers.vire import Statistics, Vire, VireConfig, reliability_map, shrunk
from reseed.stages.enhancers.wccn import WccnConfig
from reseed.stages.train import EnhancerOrder, train
from reseed.store import StoreError
from tests.stages.stores import clustered_vectors, write_store

VIEWS = ["clean", "noise", "reverb"]
DIM = 6
CROPS = 2


def vectors(utterances: int = 20) -> torch.Tensor:
    """Embeddings [N, V, D] of two crops per utterance, of different lengths."""
    unit_NVD = torch.from_numpy(clustered_vectors(utterances * CROPS, len(VIEWS), DIM))
    return unit_NVD * torch.linspace(0.5, 3.0, len(unit_NVD))[:, None, None]


def fitted(*blocks: torch.Tensor, crops: int = CROPS, **settings: float) -> Vire:
    enhancer = make_enhancer("vire", VireConfig.model_validate(settings), blocks[0].shape[-1])
    enhancer.fit(blocks, VIEWS, crops)
    return enhancer


def enhanced(enhancer: Vire, embedding_BD: torch.Tensor) -> torch.Tensor:
    return enhancer.enhance(embedding_BD, torch.Generator())


def covariances(vectors_NVD: torch.Tensor) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Mean, within- and between-utterance covariance of unit vectors, by loops over utterances."""
    x = vectors_NVD.double().numpy()
    x = x / np.linalg.norm(x, axis=-1, keepdims=True)
    utterances = [x[first : first + CROPS].reshape(-1, DIM) for first in range(0, len(x), CROPS)]
    within = np.mean([np.cov(rows.T) for rows in utterances], axis=0)
    means = np.array([rows.mean(axis=0) for rows in utterances])
    return means.mean(axis=0), within, np.cov(means.T, bias=True)


def test_cosines_equal_those_of_the_generalised_eigenvectors_weighed_by_their_reliability():
    mean, within, between = covariances(vectors())
    psi, basis = scipy.linalg.eigh(between, within + 0.3 * np.trace(within) / DIM * np.eye(DIM))
    psi = sklearn_oas(psi, 20)
    x = vectors()[:, 1].double().numpy()
    z = (x / np.linalg.norm(x, axis=1, keepdims=True) - mean) @ basis * (psi / (psi + 1)) ** 0.9 / np.sqrt(psi + 1)
    z /= np.linalg.norm(z, axis=1, keepdims=True)
    ours = enhanced(fitted(vectors(), shrinkage=0.3, emphasis=0.9), vectors()[:, 1]).double().numpy()
    np.testing.assert_allclose(ours @ ours.T, z @ z.T, atol=1e-5)


def sklearn_oas(psi: NDArray[np.float64], n: int) -> NDArray[np.float64]:
    """Shrink eigenvalues by what scikit-learn finds for n observations of exactly that covariance."""
    turned = np.linalg.qr(np.random.default_rng(0).normal(size=(n, len(psi))))[0]  # orthonormal columns
    shrunk_DD, _ = oas(np.sqrt(n * psi.clip(0)) * turned, assume_centered=True)
    return np.diag(shrunk_DD)


@pytest.mark.parametrize("n", [7, 50, 1000])
def test_shrinkage_of_the_eigenvalues_is_that_of_scikit_learn(n):
    psi_D = torch.tensor([0.0, 0.1, 0.5, 1.0, 9.0], dtype=torch.float64)
    ours = shrunk(psi_D, n).numpy()
    assert ours.mean() == pytest.approx(psi_D.mean().item())
    np.testing.assert_allclose(ours, sklearn_oas(psi_D.numpy(), n))


def test_equal_eigenvalues_stay_as_they_are():
    assert shrunk(torch.full((4,), 0.5), 3).tolist() == [0.5] * 4


def test_emphasis_of_one_half_is_the_posterior_mean_counted_in_prior_deviations():
    _, within, between = (torch.from_numpy(np.asarray(statistic)) for statistic in covariances(vectors()))
    map_DD = reliability_map(
        Statistics(10**12, torch.zeros(DIM), within, between), VireConfig(shrinkage=1e-12, emphasis=0.5)
    )
    gain_DD = torch.linalg.solve(within + between, between)
    expected = gain_DD @ torch.linalg.inv(between) @ gain_DD.T
    torch.testing.assert_close(map_DD @ map_DD.T, expected, rtol=1e-6, atol=1e-6)


def test_direction_that_only_noise_moves_is_suppressed_and_a_reliable_one_kept():
    within, between = torch.eye(3).double(), torch.diag(torch.tensor([4.0, 0.1, 0.0])).double()
    statistics = Statistics(10**6, torch.zeros(3), within, between)
    map_DD = reliability_map(statistics, VireConfig(shrinkage=1e-3, emphasis=1.0))
    expected = torch.diag(torch.tensor([0.8 / 5**0.5, (0.1 / 1.1) / 1.1**0.5, 0.0]))
    torch.testing.assert_close(map_DD, expected.double(), atol=2e-3, rtol=0)


@pytest.mark.parametrize("cuts", [[40], [1] * 40, [3, 4, 33], [39, 1]])
def test_blocks_may_end_inside_an_utterance(cuts):
    whole, pieces = fitted(vectors()), fitted(*vectors().split(cuts))
    torch.testing.assert_close(pieces.state_dict(), whole.state_dict())


def test_fit_is_the_same_in_chunks(monkeypatch):
    whole = fitted(vectors())
    monkeypatch.setattr("reseed.stages.enhancers.utterances._CHUNK_ROWS", 7)
    torch.testing.assert_close(fitted(vectors()).state_dict(), whole.state_dict())


def test_incomplete_utterance_is_refused():
    with pytest.raises(StoreError, match="ends with 1 of the 2 crops of an utterance"):
        fitted(vectors()[:-1])


def test_identical_views_of_single_crops_are_refused():
    with pytest.raises(StoreError, match="clean, noise, reverb hold identical vectors"):
        fitted(vectors()[:, :1].expand(-1, 3, -1), crops=1)


def test_utterances_with_one_mean_are_refused():
    with pytest.raises(StoreError, match="mean vectors of all 1 utterances are one"):
        fitted(vectors()[:CROPS])


@pytest.mark.parametrize("crops", [1, 2])
def test_two_utterances_suffice_for_a_direction_in_every_vector(crops):
    enhancer = fitted(vectors()[: 2 * crops], crops=crops)
    unseen = enhanced(enhancer, torch.eye(DIM))
    torch.testing.assert_close(unseen.norm(dim=-1), torch.ones(DIM))
    assert torch.linalg.matrix_rank(enhancer.map_DD) == DIM


def test_length_of_an_embedding_has_no_influence():
    enhancer, embedding = fitted(vectors()), vectors()[:, 1]
    torch.testing.assert_close(enhanced(enhancer, 5 * embedding), enhanced(enhancer, embedding))


def test_training_tells_the_crops_of_an_utterance_from_those_of_another(tmp_path):
    source = write_store(tmp_path / "store", utterances=12, dim=DIM, crops=CROPS, shards=3)
    train(EnhancerOrder(store=source.path, model=tmp_path / "model", enhancer="vire", settings=VireConfig(), seed=0))
    trained, _ = load_model(tmp_path / "model")
    cached = torch.from_numpy(np.concatenate([block.reshape(-1, 3, source.dim) for block in source.utterance_blocks()]))
    torch.testing.assert_close(trained.state_dict(), fitted(cached).state_dict())
    assert not torch.allclose(trained.state_dict()["map_DD"], fitted(cached, crops=1).map_DD, rtol=0.01)


def test_unseen_utterances_are_recognised_more_often_than_after_plain_whitening():
    voice_D, source = torch.cat([torch.full((10,), 2.0), torch.full((50,), 0.1)]), torch.Generator().manual_seed(0)
    utterance_N1D, noise_NVD = (torch.randn(300, views, 60, generator=source) for views in (1, 8))
    drawn_NVD = voice_D * utterance_N1D + noise_NVD
    drawn_NVD = F.pad(drawn_NVD, (0, 1), value=100.0)  # far from the origin unit length hardly bends the space
    cached_NVD, unseen_NVD = drawn_NVD[:200], drawn_NVD[200:]
    recognised = {}
    for name, config in {"wccn": WccnConfig(), "vire": VireConfig()}.items():
        enhancer = make_enhancer(name, config, 61)
        enhancer.fit([cached_NVD], [f"view {number}" for number in range(8)])
        one_UD, other_UD = enhanced(enhancer, unseen_NVD[:, 0]), enhanced(enhancer, unseen_NVD[:, 1])
        recognised[name] = (one_UD @ other_UD.T).argmax(dim=1).eq(torch.arange(100)).float().mean().item()
    assert recognised["vire"] > recognised["wccn"] + 0.1
