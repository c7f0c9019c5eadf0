import numpy as np
import pytest
import torch
import torch.nn.functional as F
from pydantic import ValidationError
from torch import Tensor

from reseed.stages.enhancers.base import Enhancer
from reseed.stages.enhancers.centre import CentreConfig
from reseed.stages.enhancers.chain import ChainConfig
from reseed.stages.enhancers.table import make_enhancer
from reseed.stages.enhancers.wccn import WccnConfig
from reseed.store import StoreError
from tests.stages.stores import SPEAKERS, clustered_vectors

VIEWS, DIM = ["clean", "noise", "reverb"], 8
LABELS = [f"spk-{index % SPEAKERS}" for index in range(60)]


def vectors(seed: int = 0) -> Tensor:
    return torch.from_numpy(clustered_vectors(60, len(VIEWS), DIM, seed))


def chain(*steps: object) -> Enhancer:
    enhancer = make_enhancer("chain", ChainConfig.model_validate({"chain": steps}), DIM)
    enhancer.fit(vectors().split([7, 50, 3]), VIEWS, speakers=LABELS)
    return enhancer


def enhanced(enhancer: Enhancer, vectors_NVD: Tensor) -> Tensor:
    return enhancer.enhance(vectors_NVD.flatten(0, 1), torch.Generator()).unflatten(0, vectors_NVD.shape[:2])


def test_each_step_is_fitted_on_what_the_steps_before_it_give():
    centre, wccn = make_enhancer("centre", CentreConfig(), DIM), make_enhancer("wccn", WccnConfig(shrinkage=3), DIM)
    centre.fit([vectors()], VIEWS)
    wccn.fit([enhanced(centre, vectors())], VIEWS)
    expected = enhanced(wccn, enhanced(centre, vectors(1)))
    torch.testing.assert_close(enhanced(chain("centre", {"wccn": 3}), vectors(1)), expected, rtol=1e-4, atol=1e-5)


def test_steps_may_be_names_numbers_and_settings_and_mean_the_same_spelt_out():
    short = ChainConfig(chain=["centre", {"lda": 4}, {"vire": {"emphasis": 1}}])
    assert [next(iter(step)) for step in short.chain] == ["centre", "lda", "vire"]
    assert short.chain[1] == {"lda": {"dims": 4, "shrinkage": 0.1}}
    assert short.chain[2]["vire"]["emphasis"] == 1
    assert ChainConfig(chain=short.chain) == short


@pytest.mark.parametrize(
    ("step", "message"),
    [
        (
            "ldaa",
            "no step of a chain 'ldaa'; choose one of centre, length_norm, whiten, lda, nda, wccn, vire, nap,",
        ),
        ({"lda": 4, "centre": {}}, "a step is a name, or one name with its settings"),
        ({"centre": 3}, "the step centre takes no number"),
        ({"lda": {"dimz": 3}}, "dimz"),
        ({"lda": 0}, "greater than or equal to 1"),
    ],
)
def test_a_wrong_step_is_named(step, message):
    with pytest.raises(ValidationError, match=message.replace("(", r"\(")):
        ChainConfig(chain=["centre", step])


def test_length_normalisation_divides_by_the_length():
    lengthened = vectors() * torch.arange(1, 61)[:, None, None]
    torch.testing.assert_close(enhanced(chain("length_norm"), lengthened), F.normalize(vectors(), dim=-1))


def test_whitening_leaves_the_covariance_of_all_vectors_round():
    whitened_MD = enhanced(chain({"whiten": 1e-6}), vectors()).flatten(0, 1)
    covariance_DD = whitened_MD.T.cov(correction=0)
    torch.testing.assert_close(covariance_DD, torch.eye(DIM), atol=1e-3, rtol=0)
    torch.testing.assert_close(whitened_MD.mean(dim=0), torch.zeros(DIM), atol=1e-4, rtol=0)


def test_lda_keeps_the_directions_in_which_speakers_differ_most_for_the_variance_within_them():
    rng = np.random.default_rng(5)
    spread_D = np.array([3.0, 0, 0, 1.5, 0, 0, 0, 0])
    speaker_SD = rng.normal(size=(200, DIM)) * spread_D
    vectors_NVD = torch.from_numpy((speaker_SD[:, None] + 0.1 * rng.normal(size=(200, 4, DIM))).astype(np.float32))
    enhancer = make_enhancer("chain", ChainConfig(chain=[{"lda": {"dims": 2, "shrinkage": 1e-3}}]), DIM)
    enhancer.fit([vectors_NVD], ["a", "b", "c", "d"], speakers=[f"spk-{index}" for index in range(200)])
    kept_NVK = enhanced(enhancer, vectors_NVD)
    assert (enhancer.dim_out, kept_NVK.shape[-1]) == (2, 2)
    # The first two directions are the axes 0 and 3, the wider one first, with variance one within speakers.
    for found, axis in ((0, 0), (1, 3)):
        correlation = np.corrcoef(kept_NVK[..., found].flatten(), vectors_NVD[..., axis].flatten())[0, 1]
        assert abs(correlation) > 0.99
    within_NVK = kept_NVK - kept_NVK.mean(dim=1, keepdim=True)
    torch.testing.assert_close(within_NVK.square().sum(dim=(0, 1)) / 800, torch.ones(2), atol=0.05, rtol=0)


def test_lda_leaves_out_utterances_whose_speaker_is_not_known():
    labels = [None if index % 2 else label for index, label in enumerate(LABELS)]
    whole, known = (make_enhancer("chain", ChainConfig(chain=[{"lda": 2}]), DIM) for _ in range(2))
    whole.fit([vectors()], VIEWS, speakers=labels)
    known.fit([vectors()[::2]], VIEWS, speakers=labels[::2])
    torch.testing.assert_close(enhanced(whole, vectors()), enhanced(known, vectors()))


@pytest.mark.parametrize("labels", [[], LABELS, [None] * 60])
def test_lda_with_too_few_known_speakers_is_refused(labels):
    enhancer = make_enhancer("chain", ChainConfig(chain=[{"lda": 7}]), DIM)
    message = f"the training store names {len({*labels} - {None})}; set lda to"
    with pytest.raises(StoreError, match=message):
        enhancer.fit([vectors()], VIEWS, speakers=labels)


def test_lda_to_more_dimensions_than_there_are_is_refused():
    with pytest.raises(StoreError, match=r"lda cannot keep 9 dimensions of 8"):
        make_enhancer("chain", ChainConfig(chain=[{"lda": 9}]), DIM)


def test_a_chain_takes_the_means_of_the_store_that_is_enhanced():
    enhancer, others = chain({"centre": {"mean": "views", "prior": 0}}, "length_norm"), vectors(1) + 0.3
    assert enhancer.adapts
    enhancer.adapt([others], crops=1, speakers=6)
    unit_NVD = F.normalize(others, dim=-1)
    expected_NVD = F.normalize(unit_NVD - unit_NVD.mean(dim=0), dim=-1)
    torch.testing.assert_close(enhancer.enhance_block(others, torch.Generator()), expected_NVD, rtol=1e-4, atol=1e-5)


def test_what_follows_a_step_that_adapts_is_fitted_on_vectors_moved_by_the_means_of_their_own_views():
    enhancer = chain({"centre": {"mean": "views", "prior": 0}}, "whiten")
    enhancer.adapt([vectors()], crops=1, speakers=6)
    whitened_NVD = enhancer.enhance_block(vectors(), torch.Generator())
    torch.testing.assert_close(whitened_NVD.mean(dim=(0, 1)), torch.zeros(DIM), atol=1e-4, rtol=0)
