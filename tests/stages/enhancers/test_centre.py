import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from reseed.stages.enhancers.base import Enhancer
from reseed.stages.enhancers.centre import CentreConfig
from reseed.stages.enhancers.table import make_enhancer
from tests.stages.stores import clustered_vectors

VIEWS = ["clean", "noise", "reverb"]


def vectors(seed: int = 0) -> Tensor:
    """Vectors [N, V, D] that noise shortens, as it does those of many networks."""
    return torch.from_numpy(clustered_vectors(40, len(VIEWS), 6, seed)) * torch.tensor([4.0, 2.0, 3.0])[:, None]


def fitted(**settings: object) -> Enhancer:
    enhancer = make_enhancer("centre", CentreConfig.model_validate(settings), 6)
    enhancer.fit(vectors().split([7, 30, 3]), VIEWS)
    return enhancer


def centred(vectors_NVD: Tensor, mean: Tensor) -> Tensor:
    return F.normalize(F.normalize(vectors_NVD, dim=-1) - mean, dim=-1)


def mean_of(vectors_NVD: Tensor, *dims: int) -> Tensor:
    return F.normalize(vectors_NVD, dim=-1).mean(dim=dims)


def test_centring_subtracts_the_mean_of_the_unit_vectors_of_all_blocks_and_keeps_the_direction_alone():
    enhanced_MD = fitted().enhance(vectors().flatten(0, 1), torch.Generator())
    expected_NVD = centred(vectors(), mean_of(vectors(), 0, 1))
    torch.testing.assert_close(enhanced_MD, expected_NVD.flatten(0, 1), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("mean", "dims"), [("store", (0, 1)), ("views", (0,))])
def test_the_means_of_the_store_that_is_enhanced_count_for_as_much_as_its_speakers(mean, dims):
    enhancer, others = fitted(mean=mean, prior=10), vectors(seed=1) + 0.5
    enhancer.adapt(others.split([7, 30, 3]), crops=1, speakers=30)
    own = 0.75 * mean_of(others, *dims) + 0.25 * mean_of(vectors(), 0, 1)
    enhanced_NVD = enhancer.enhance_block(others, torch.Generator())
    torch.testing.assert_close(enhanced_NVD, centred(others, own), rtol=1e-5, atol=1e-6)


def test_single_vectors_are_centred_on_the_training_mean_whatever_store_was_enhanced_before():
    enhancer = fitted(mean="views")
    before = enhancer.enhance(vectors()[:, 1], torch.Generator())
    enhancer.adapt([vectors(seed=1) + 0.5], crops=1, speakers=30)
    assert enhancer.adapts
    assert torch.equal(enhancer.enhance(vectors()[:, 1], torch.Generator()), before)


def test_centring_on_the_training_mean_takes_nothing_from_the_store_that_is_enhanced():
    enhancer = fitted()
    assert not enhancer.adapts
    blocks_MD = enhancer.enhance_block(vectors(), torch.Generator()).flatten(0, 1)
    assert torch.equal(blocks_MD, enhancer.enhance(vectors().flatten(0, 1), torch.Generator()))
