from pathlib import Path

import numpy as np
import pytest
import torch

from reseed.stages.enhance import enhance
from reseed.stages.enhancers.folder import load_model
from reseed.stages.enhancers.library import Enhancer
from reseed.stages.enhancers.seed import SeedConfig
from reseed.stages.enhancers.table import ENHANCERS
from reseed.stages.train import EnhancerOrder, train
from reseed.stages.training.settings import TrainingSettings
from reseed.store import EmbeddingStore, ModelError
from tests.stages.stores import write_store


def make_model(folder: Path, enhancer: str = "seed", **settings: object) -> Path:
    store = write_store(folder / "store")
    config = ENHANCERS[enhancer].Config
    given = {"epochs": 2} | settings if issubclass(config, TrainingSettings) else settings
    chosen = config.model_validate(given)
    train(EnhancerOrder(store=store.path, model=folder / "model", enhancer=enhancer, settings=chosen, seed=0))
    return folder / "model"


@pytest.mark.parametrize("enhancer", ENHANCERS)
def test_arrays_are_enhanced_as_a_store_is(tmp_path, enhancer):
    model = make_model(tmp_path, enhancer)
    enhance(store=tmp_path / "store", model=model, enhanced=tmp_path / "enhanced", seed=0)
    raw = EmbeddingStore(tmp_path / "store").vectors()
    enhanced = Enhancer.load(model).enhance(raw)
    assert isinstance(enhanced, np.ndarray)
    np.testing.assert_allclose(enhanced, EmbeddingStore(tmp_path / "enhanced").vectors(), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("shape", [(16,), (0, 16), (3, 16), (2, 3, 16)])
def test_any_number_of_embeddings_is_taken_in_any_shape(tmp_path, shape):
    enhancer = Enhancer.load(str(make_model(tmp_path)))
    x = np.random.default_rng(0).normal(size=shape)
    enhanced = enhancer.enhance(x.tolist() if 0 not in shape else x)
    assert (enhanced.shape, enhanced.dtype) == (shape, np.float32)


@pytest.mark.parametrize("shape", [(16,), (3, 16)])
def test_tensors_are_taken_as_arrays_are(tmp_path, shape):
    enhancer = Enhancer.load(make_model(tmp_path, "wccn"))
    tensor = torch.randn(shape, requires_grad=True)
    expected = enhancer.enhance(tensor.detach().numpy())
    np.testing.assert_array_equal(enhancer.enhance(tensor), expected)
    np.testing.assert_allclose(enhancer.enhance(tensor.bfloat16()), expected, atol=0.05)
    with pytest.raises(ModelError, match=r"not an array of shape \(3, 8\)"):
        enhancer.enhance(torch.ones(3, 8))


def test_draws_of_noise_follow_the_seed(tmp_path):
    enhancer = Enhancer.load(make_model(tmp_path, "seed", noise_draws=1, epochs=20, lr=1e-2))
    x = np.ones((2, 16))
    assert np.array_equal(enhancer.enhance(x), enhancer.enhance(x, seed=0))
    assert not np.array_equal(enhancer.enhance(x), enhancer.enhance(x, seed=1))


def test_a_model_says_what_it_fits(tmp_path):
    model = make_model(tmp_path)
    enhancer = Enhancer.load(model, space="ge2e:aaaaaaaa")
    assert (enhancer.dim, enhancer.space) == (16, "ge2e:aaaaaaaa")
    assert enhancer.info == load_model(model)[1]
    with pytest.raises(ModelError, match="was trained on embeddings of ge2e:aaaaaaaa, not of wavlm:bbbbbbbb"):
        Enhancer.load(model, space="wavlm:bbbbbbbb")


def test_embeddings_that_do_not_fit_are_one_clear_line(tmp_path):
    enhancer = Enhancer.load(make_model(tmp_path))
    with pytest.raises(ModelError, match=r"takes embeddings \[\.\.\., 16\], not an array of shape \(3, 8\)"):
        enhancer.enhance(np.ones((3, 8)))
    x = np.ones((4, 16))
    x[2, 5] = np.nan
    with pytest.raises(ModelError, match="1 embeddings are not finite, the first is row 2"):
        enhancer.enhance(x)


def test_nothing_of_it_can_be_trained_by_mistake(tmp_path):
    assert SeedConfig().noise_draws == 0
    assert not any(p.requires_grad for p in Enhancer.load(make_model(tmp_path))._network.parameters())
    assert torch.is_grad_enabled()


def test_a_model_adapts_to_the_mean_of_what_is_to_be_enhanced_and_the_one_loaded_stays_as_it_is(tmp_path):
    enhancer = Enhancer.load(make_model(tmp_path, "centre", mean="store", prior=2))
    x = EmbeddingStore(tmp_path / "store").vectors() + 0.5
    before = enhancer.enhance(x)
    adapted = enhancer.adapt(x, speakers=6)
    network = load_model(tmp_path / "model")[0]
    network.adapt([torch.from_numpy(x)[:, None]], crops=1, speakers=6)
    expected = network.enhance_block(torch.from_numpy(x)[:, None], torch.Generator())[:, 0]
    np.testing.assert_allclose(adapted.enhance(x), expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(enhancer.enhance(x), before)
    np.testing.assert_allclose(adapted.enhance(x[3]), adapted.enhance(x)[3], atol=1e-6)
    assert np.linalg.norm(adapted.enhance(x).mean(axis=0)) < np.linalg.norm(before.mean(axis=0))


def test_a_model_that_takes_nothing_from_what_it_enhances_says_so(tmp_path):
    with pytest.raises(ModelError, match="the model wccn takes nothing from what it enhances; leave adapt out"):
        Enhancer.load(make_model(tmp_path, "wccn")).adapt(np.ones((3, 16)))
