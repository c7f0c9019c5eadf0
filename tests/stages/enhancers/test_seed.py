import math

import pytest
import torch
import torch.nn.functional as F

from stages.enhancers import Pairs, make_enhancer
from stages.enhancers.seed import Seed, SeedConfig

DIM = 8


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def seed_enhancer(**settings: object) -> Seed:
    enhancer = make_enhancer("seed", SeedConfig.model_validate(settings), DIM)
    torch.nn.init.normal_(enhancer.network.out[-1].weight, std=0.3, generator=generator())
    return enhancer


def embeddings(seed: int = 0) -> torch.Tensor:
    return torch.randn(6, DIM, generator=generator(seed))


def test_untrained_network_gives_the_mean_size_of_the_scaled_clean_embedding_as_loss():
    enhancer = make_enhancer("seed", SeedConfig(), DIM)
    clean = embeddings(1)
    expected = (math.sqrt(DIM) * F.normalize(clean, dim=-1)).abs().mean()
    torch.testing.assert_close(enhancer.loss(Pairs(clean, embeddings(2)), generator()), expected)


def test_consistent_scaling_ignores_the_length_of_training_vectors_and_paper_scaling_does_not():
    pairs = Pairs(embeddings(1), embeddings(2))
    doubled = Pairs(2 * pairs.clean_BD, 2 * pairs.noisy_BD)
    consistent, paper = seed_enhancer(), seed_enhancer(scaling="paper")
    torch.testing.assert_close(consistent.loss(pairs, generator()), consistent.loss(doubled, generator()))
    assert paper.loss(doubled, generator()) > 1.2 * paper.loss(pairs, generator())


@pytest.mark.parametrize("scaling", ["consistent", "paper"])
def test_sampling_ignores_the_length_of_the_embedding_under_either_scaling(scaling):
    enhancer, embedding = seed_enhancer(scaling=scaling), embeddings()
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
