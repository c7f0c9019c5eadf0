import math

import pytest
import torch
import torch.nn.functional as F

from reseed.stages.enhancers.diffusion import add_noise
from reseed.stages.enhancers.seed import Seed, SeedConfig
from reseed.stages.enhancers.table import make_enhancer
from reseed.stages.training.cache.pairs import Pairs
from reseed.stages.training.cache.resident import ResidentPairs
from reseed.stages.training.loop import optimise

DIM = 8


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def seed_enhancer(**settings: object) -> Seed:
    """An enhancer whose last layer is drawn at random; by default it puts out the clean embedding."""
    enhancer = make_enhancer("seed", SeedConfig.model_validate({"prediction": "sample", **settings}), DIM)
    torch.nn.init.normal_(enhancer.network.out[-1].weight, std=0.3, generator=generator())
    return enhancer


def embeddings(seed: int = 0) -> torch.Tensor:
    return torch.randn(6, DIM, generator=generator(seed))


def test_untrained_network_gives_the_mean_size_of_the_scaled_clean_embedding_as_loss():
    enhancer = make_enhancer("seed", SeedConfig(prediction="sample"), DIM)
    clean = embeddings(1)
    expected = (math.sqrt(DIM) * F.normalize(clean, dim=-1)).abs().mean()
    torch.testing.assert_close(enhancer.loss(Pairs(clean, embeddings(2)), generator()), expected)


def test_consistent_training_ignores_the_length_of_its_vectors_and_compat_does_not():
    pairs = Pairs(embeddings(1), embeddings(2))
    doubled = Pairs(2 * pairs.clean_BD, 2 * pairs.noisy_BD)
    consistent, compat = seed_enhancer(), seed_enhancer(mode="compat")
    torch.testing.assert_close(consistent.loss(pairs, generator()), consistent.loss(doubled, generator()))
    assert compat.loss(doubled, generator()) > 1.2 * compat.loss(pairs, generator())


@pytest.mark.parametrize("mode", ["consistent", "compat"])
def test_sampling_ignores_the_length_of_the_embedding_in_either_mode(mode):
    enhancer, embedding = seed_enhancer(mode=mode), embeddings()
    torch.testing.assert_close(
        enhancer.enhance(embedding, generator()), enhancer.enhance(5 * embedding, generator()), rtol=1e-4, atol=1e-5
    )


def test_components_are_clipped_at_three_times_the_root_of_the_dimension():
    enhancer = seed_enhancer()
    torch.nn.init.constant_(enhancer.network.out[-1].bias, 100.0)
    assert (enhancer.enhance(embeddings(), generator()) == torch.tensor(3 * math.sqrt(DIM))).all()


def test_zero_noise_draws_make_sampling_deterministic():
    enhancer = seed_enhancer(noise_draws=0)
    assert torch.equal(enhancer.enhance(embeddings(), generator(1)), enhancer.enhance(embeddings(), generator(2)))


def test_several_noise_draws_are_averaged():
    shared = generator(3)
    single = [seed_enhancer(noise_draws=1).enhance(embeddings(), shared) for _ in range(4)]
    averaged = seed_enhancer(noise_draws=4).enhance(embeddings(), generator(3))
    torch.testing.assert_close(averaged, torch.stack(single).mean(dim=0))


def test_saved_state_holds_the_network_alone():
    assert {name.split(".")[0] for name in seed_enhancer().state_dict()} == {"network"}


@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction"])
def test_compat_losses_are_those_of_the_released_code(prediction):
    enhancer, pairs = seed_enhancer(mode="compat", prediction=prediction), Pairs(embeddings(1), embeddings(2))
    source = generator()
    timestep = torch.randint(1000, (6,), generator=source)
    noise = torch.randn(6, DIM, generator=source)
    alpha_bar = enhancer.alpha_bar_T[timestep]
    output = enhancer.network(add_noise(pairs.noisy_BD, noise, alpha_bar), timestep)
    velocity = alpha_bar[:, None].sqrt() * noise - (1 - alpha_bar)[:, None].sqrt() * pairs.clean_BD
    target = noise if prediction == "epsilon" else velocity
    torch.testing.assert_close(enhancer.loss(pairs, generator()), (output - target).abs().mean())


@pytest.mark.parametrize("prediction", ["correction", "sample", "epsilon", "v_prediction"])
def test_with_every_prediction_the_original_comes_nearer_to_the_clean_embedding(prediction):
    vectors = torch.stack([embeddings(1), embeddings(1) + 1.5 * embeddings(2)], dim=1)
    enhancer = make_enhancer("seed", SeedConfig(epochs=200, batch=12, lr=3e-3, prediction=prediction), DIM)
    history = optimise(enhancer, ResidentPairs(vectors, clean_view=0, batch=12, seed=0), seed=0)
    losses = [row["loss"] for row in history]
    assert sum(losses[-40:]) < 0.95 * sum(losses[:40])


def test_an_official_sampler_gives_the_same_embeddings():
    """The released code's way, by diffusers: scale, add noise at t=50, one step, clipped and not normalised."""
    scheduling_ddim = pytest.importorskip("diffusers.schedulers.scheduling_ddim")
    scheduler = scheduling_ddim.DDIMScheduler(
        num_train_timesteps=1000,
        beta_schedule="scaled_linear",
        prediction_type="sample",
        clip_sample_range=3 * math.sqrt(DIM),
    )
    enhancer = seed_enhancer(mode="compat", noise_draws=1)
    scheduler.set_timesteps(50)
    x = F.normalize(embeddings(), dim=-1) * DIM**0.5
    torch.manual_seed(3)
    noise = torch.randn_like(x)
    t = torch.full((6,), 50)
    x_t = scheduler.add_noise(x, noise, t)
    expected = scheduler.step(enhancer.network(x_t, t), 50, x_t).pred_original_sample
    torch.testing.assert_close(enhancer.enhance(embeddings(), generator(3)), expected, rtol=1e-6, atol=1e-6)


def test_more_steps_than_timesteps_are_refused():
    with pytest.raises(ValueError, match="is 52, but from sampling_timestep 50 there are fewer"):
        SeedConfig(sampling_steps=52)


def centred(x: torch.Tensor, mean: torch.Tensor) -> torch.Tensor:
    return math.sqrt(DIM) * F.normalize(F.normalize(x, dim=-1) - mean, dim=-1)


def test_until_it_is_trained_a_correction_leaves_centred_embeddings_as_they_are():
    enhancer, x = make_enhancer("seed", SeedConfig(), DIM), embeddings()
    enhancer.fit([x[:, None]], ["clean"])
    expected = centred(x, F.normalize(x, dim=-1).mean(dim=0))
    enhanced = enhancer.enhance(x, generator())
    torch.testing.assert_close(F.cosine_similarity(enhanced, expected), torch.ones(6))
    torch.testing.assert_close(enhanced, expected, rtol=0.01, atol=0.01)  # but for sqrt(alpha_bar) of 0.995, twice


@pytest.mark.parametrize("strength", [0.25, 1.0])
def test_so_much_of_a_correction_is_made_as_was_asked_for(strength):
    enhancer, x = seed_enhancer(prediction="correction", strength=strength), embeddings()
    scaled, alpha_bar = centred(x, torch.zeros(DIM)), enhancer.alpha_bar_T[50]
    x_t = alpha_bar.sqrt() * scaled
    restored = alpha_bar.sqrt() * x_t + enhancer.network(x_t, torch.tensor([50]))
    expected = scaled + strength * (restored - scaled)
    torch.testing.assert_close(enhancer.enhance(3 * x, generator()), expected, rtol=1e-4, atol=1e-5)


def test_corrections_come_nearer_to_the_clean_embeddings_in_centred_coordinates():
    noisy, clean = embeddings(1) + 0.7 * embeddings(2), embeddings(1)
    vectors = torch.stack([clean, noisy], dim=1)
    enhancer = make_enhancer("seed", SeedConfig(epochs=300, batch=12, lr=3e-3, strength=1.0), DIM)
    enhancer.fit([vectors], ["clean", "noise"])
    wanted, before = (centred(x, enhancer.unit_mean_D) for x in (clean, noisy))
    optimise(enhancer, ResidentPairs(vectors, clean_view=0, batch=12, seed=0), seed=0)
    after = F.cosine_similarity(enhancer.enhance(noisy, generator()), wanted)
    assert after.mean() > 0.95 > F.cosine_similarity(before, wanted).mean()


def test_compat_predicts_the_clean_embedding_by_default_and_knows_no_correction():
    assert SeedConfig(mode="compat").predicted == "sample"
    assert SeedConfig().predicted == "correction"
    with pytest.raises(ValueError, match="is correction, which the released code"):
        SeedConfig(mode="compat", prediction="correction")


def test_a_model_of_before_corrections_is_what_it_was():
    before = {"mode": "consistent", "prediction": "sample", "sampling_timestep": 50}
    enhancer, x = seed_enhancer(**before), embeddings()
    x_t = enhancer.alpha_bar_T[50].sqrt() * math.sqrt(DIM) * F.normalize(x, dim=-1)
    torch.testing.assert_close(enhancer.enhance(x, generator()), enhancer.network(x_t, torch.tensor([50])))


def test_the_number_of_blocks_is_a_setting_that_leaves_models_and_digests_of_before_as_they_were():
    assert "blocks" not in SeedConfig().model_dump(mode="json")
    assert SeedConfig(blocks=2).model_dump(mode="json")["blocks"] == 2
    assert [len(seed_enhancer(**given).network.res_blocks) for given in ({}, {"blocks": 2})] == [3, 2]
