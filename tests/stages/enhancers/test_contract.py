"""What every enhancer of the table must do."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from reseed.pipeline.reference import meanings
from reseed.stages.enhancers.base import Enhancer, TrainedEnhancer
from reseed.stages.enhancers.folder import ModelInfo, load_model, save_model
from reseed.stages.enhancers.table import ENHANCERS, enhancer_class, make_enhancer
from reseed.stages.enhancers.wccn import WccnConfig
from reseed.stages.training.cache.pairs import Pairs
from reseed.stages.training.cache.resident import ResidentPairs
from reseed.stages.training.loop import optimise
from reseed.stages.training.settings import TrainingSettings
from reseed.store import ConfigError
from tests.stages.stores import clustered_vectors

DIM = 16
VIEWS = ["clean", "noise"]
TRAINED = [name for name, kind in ENHANCERS.items() if issubclass(kind, TrainedEnhancer)]


def eight_pairs() -> Tensor:
    return torch.from_numpy(clustered_vectors(8, len(VIEWS), DIM))


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def fitted(name: str, **settings: object) -> Enhancer:
    enhancer = make_enhancer(name, ENHANCERS[name].Config.model_validate(settings), DIM)
    enhancer.fit([eight_pairs()], VIEWS)
    return enhancer


def randomised(name: str, **settings: object) -> Enhancer:
    """A fitted enhancer with every parameter drawn anew: those that start at zero would hide the others."""
    enhancer, source = fitted(name, **settings), generator(7)
    for parameter in enhancer.parameters():
        torch.nn.init.normal_(parameter, std=0.3, generator=source)
    return enhancer


def test_unknown_enhancer_lists_the_choices():
    with pytest.raises(ConfigError, match=r"no enhancer 'sed'; choose one of centre, wccn, seed, mse, vmf_pl"):
        enhancer_class("sed")


def test_config_of_another_enhancer_is_refused():
    with pytest.raises(ConfigError, match="'seed' takes a SeedConfig, not a WccnConfig"):
        make_enhancer("seed", WccnConfig(), DIM)


@pytest.mark.parametrize("name", ENHANCERS)
def test_defaults_form_a_valid_config_and_every_setting_has_a_meaning(name):
    config = ENHANCERS[name].Config
    assert config.model_validate(config().model_dump(mode="json")) == config()
    assert meanings(config).keys() >= config.model_fields.keys()


@pytest.mark.parametrize("name", ENHANCERS)
def test_new_weights_come_from_the_seed_and_leave_the_global_generator_alone(name):
    config = ENHANCERS[name].Config()
    before = torch.get_rng_state()
    first, second = make_enhancer(name, config, DIM, 5), make_enhancer(name, config, DIM, 5)
    assert torch.equal(torch.get_rng_state(), before)
    torch.testing.assert_close(first.state_dict(), second.state_dict(), rtol=0, atol=0)


@pytest.mark.parametrize(("name", "settings"), [*((name, {}) for name in ENHANCERS), ("seed", {"noise_draws": 2})])
def test_enhance_keeps_shape_and_repeats_itself_for_the_same_seed(name, settings):
    enhancer, embedding = randomised(name, **settings), torch.randn(5, DIM, generator=generator())
    first, second = enhancer.enhance(embedding, generator(1)), enhancer.enhance(embedding, generator(1))
    assert first.shape == embedding.shape
    assert first.dtype == torch.float32
    assert first.isfinite().all()
    assert (first.norm(dim=-1) > 1e-3).all()
    assert torch.equal(first, second)


@pytest.mark.parametrize("name", [name for name in ENHANCERS if name != "seed"])
def test_enhanced_vectors_have_unit_length(name):
    enhanced = fitted(name).enhance(3.0 * eight_pairs()[:, 1], generator())
    torch.testing.assert_close(enhanced.norm(dim=-1), torch.ones(8))


@pytest.mark.parametrize("name", TRAINED)
def test_trained_enhancers_share_the_training_settings(name):
    assert issubclass(ENHANCERS[name].Config, TrainingSettings)


@pytest.mark.parametrize("name", TRAINED)
def test_loss_is_a_finite_scalar_with_gradients_for_every_parameter(name):
    enhancer, vectors = randomised(name), eight_pairs()
    loss = enhancer.loss(Pairs(clean_BD=vectors[:, 0], noisy_BD=vectors[:, 1]), generator())
    loss.backward()
    assert loss.shape == ()
    assert loss.isfinite()
    for label, parameter in enhancer.named_parameters():
        assert parameter.grad.isfinite().all(), label
        assert parameter.grad.any(), label


@pytest.mark.parametrize("name", TRAINED)
def test_eight_pairs_are_overfitted(name):
    as_given = {"prediction": "sample"} if name == "seed" else {}  # its corrections are made in other coordinates
    enhancer, vectors = fitted(name, epochs=300, batch=16, lr=3e-3, **as_given), eight_pairs()
    optimise(enhancer, ResidentPairs(vectors, clean_view=0, batch=16, seed=0), seed=0)
    cosine = F.cosine_similarity(enhancer.enhance(vectors[:, 1], generator()), vectors[:, 0])
    assert F.cosine_similarity(vectors[:, 1], vectors[:, 0]).mean() < 0.8
    assert cosine.mean() > 0.95


@pytest.mark.parametrize("name", ENHANCERS)
def test_loaded_enhancer_equals_the_saved_one(name, tmp_path):
    enhancer = randomised(name)
    info = ModelInfo(
        enhancer=name,
        config=enhancer.config.model_dump(mode="json"),
        dim=DIM,
        space="ge2e:aaaaaaaa",
        store_fingerprint="0" * 64,
        store_path="stores/train",
        views=VIEWS,
        utterances=8,
        seed=0,
    )
    saved = save_model(tmp_path / "model", enhancer, info, [])
    loaded, loaded_info = load_model(tmp_path / "model")
    assert loaded_info == saved
    assert loaded.config == enhancer.config
    embedding = eight_pairs()[:, 1]
    expected = enhancer.enhance(embedding, generator())
    untrained = make_enhancer(name, enhancer.config, DIM).enhance(embedding, generator())
    assert torch.equal(loaded.enhance(embedding, generator()), expected)
    assert not torch.allclose(untrained, expected, atol=1e-2)
