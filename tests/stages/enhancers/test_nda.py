"""NDA against its formulas, written as loops."""

import numpy as np
import pytest
import torch
from scipy.linalg import eigh

from reseed.stages.enhancers.base import Enhancer
from reseed.stages.enhancers.nda import Nda, NdaConfig
from reseed.store import StoreError

VIEWS, CROPS, DIM = ["clean", "noise"], 2, 6
SPEAKERS = ["b", "a", None, "b", "c", "a", "b"]


def vectors() -> torch.Tensor:
    """Return vectors of seven utterances x two crops, [14, 2, 6]."""
    return torch.randn(len(SPEAKERS) * CROPS, len(VIEWS), DIM, generator=torch.Generator().manual_seed(0))


def fitted(block: int = 14, **settings: float) -> Enhancer:
    enhancer = Nda(NdaConfig.model_validate({"dims": 3, **settings}), DIM)
    enhancer.fit(vectors().split(block), VIEWS, CROPS, SPEAKERS)
    return enhancer


def scatter(neighbours: int, alpha: float) -> tuple[np.ndarray, np.ndarray]:
    label = np.repeat(SPEAKERS, CROPS * len(VIEWS))
    given = vectors().double().numpy().reshape(-1, DIM)
    of = {name: given[label == name] for name in "abc"}
    between, within = np.zeros((DIM, DIM)), np.zeros((DIM, DIM))

    def near(x: np.ndarray, who: str) -> tuple[np.ndarray, float]:
        distance = np.linalg.norm(of[who] - x, axis=1)
        nearest = np.argsort(distance)[:neighbours]
        return x - of[who][nearest].mean(axis=0), distance[nearest[-1]] ** alpha

    for own, members in of.items():
        for x in members:
            apart, reach = near(x, own)
            within += np.outer(apart, apart) / len(members)
            for other in of.keys() - {own}:
                apart, distance = near(x, other)
                weight = min(reach, distance) / (reach + distance)
                between += weight * np.outer(apart, apart) / len(members)
    return between, within


@pytest.mark.parametrize(("block", "neighbours", "alpha"), [(14, 3, 1.0), (5, 3, 2.0), (14, 10, 1.0)])
def test_directions_are_those_of_the_published_scatter_matrices(block, neighbours, alpha):
    between, within = scatter(neighbours, alpha)
    shrinkage = np.trace(within) / DIM * np.eye(DIM)
    basis = eigh(between, within + shrinkage)[1][:, ::-1][:, :3]
    found = fitted(block, neighbours=neighbours, alpha=alpha)
    given = vectors().double().numpy().reshape(-1, DIM)
    known = given[np.repeat([name is not None for name in SPEAKERS], CROPS * len(VIEWS))]
    enhanced = found.enhance(vectors().flatten(0, 1), torch.Generator()).numpy()
    np.testing.assert_allclose(np.abs(enhanced), np.abs((given - known.mean(axis=0)) @ basis), atol=1e-4)


def test_more_dimensions_than_speakers_may_be_kept_and_of_many_vectors_some_are_taken():
    assert fitted(dims=None, neighbours=2).enhance(vectors()[:, 0], torch.Generator()).shape == (14, 6)
    assert not torch.equal(fitted(max_vectors=12).projection_DK, fitted().projection_DK)


def test_one_speaker_and_too_many_dimensions_are_refused():
    with pytest.raises(StoreError, match="nda needs two speakers or more, and the training store names 1; prepare"):
        Nda(NdaConfig(dims=2), DIM).fit([vectors()], VIEWS, CROPS, ["a"] * 7)
    with pytest.raises(StoreError, match="nda cannot keep 7 dimensions of 6; set nda to 6 or less"):
        Nda(NdaConfig(dims=7), DIM)
