"""SEED, speaker embedding enhancement by diffusion (arXiv 2505.16798, Interspeech 2025).

    x_t   = sqrt(alpha_bar_t) s(noisy) + sqrt(1 - alpha_bar_t) epsilon      the chain starts at the *noisy* embedding
    loss  = mean | network(x_t, t) - s(clean) |,  t uniform in 0..999       and its x0 is the clean one
    x_out = clip(network(x_50, 50), +-3 sqrt(D))                            one step enhances

with s(x) = sqrt(D) x / |x|, under which a component has unit mean square, as the noise has.

Shapes: B batch, D embedding dimension, T diffusion timesteps.
"""

import math
from typing import Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from stages.enhancers.base import Pairs, TrainedEnhancer, TrainingSettings
from stages.enhancers.diffusion import TIMESTEPS, add_noise, alphas_cumprod, sample_one_step
from stages.enhancers.mlp import RdmMlp


class SeedConfig(TrainingSettings):
    """Settings of SEED."""

    scaling: Literal["consistent", "paper"] = Field(
        default="consistent",
        description="consistent: s(x) in training and in sampling; paper: raw vectors in training, as released",
    )
    sampling_timestep: int = Field(default=50, ge=0, lt=TIMESTEPS, description="where one-step sampling enters")
    noise_draws: int = Field(
        default=0, ge=0, description="noise draws averaged per embedding; 0: no noise, hence deterministic"
    )


class Seed(TrainedEnhancer):
    """SEED: one-step diffusion from the noisy to the clean embedding.

    Enhanced embeddings are not normalised, as in the paper: their length is near sqrt(D).
    """

    Config = SeedConfig
    config: SeedConfig
    alpha_bar_T: Tensor

    def __init__(self, config: SeedConfig, dim: int) -> None:
        super().__init__(config, dim)
        self.network = RdmMlp(dim)
        self.register_buffer("alpha_bar_T", alphas_cumprod(), persistent=False)

    def loss(self, pairs: Pairs, generator: torch.Generator) -> Tensor:
        """L1 distance from the predicted x0 to the clean embedding, at a random timestep per row."""
        clean_BD, noisy_BD = pairs.clean_BD, pairs.noisy_BD
        if self.config.scaling == "consistent":
            clean_BD, noisy_BD = self._scaled(clean_BD), self._scaled(noisy_BD)
        timestep_B = torch.randint(TIMESTEPS, noisy_BD.shape[:1], generator=generator, device=noisy_BD.device)
        noise_BD = _normal_like(noisy_BD, generator)
        x_t_BD = add_noise(noisy_BD, noise_BD, self.alpha_bar_T[timestep_B])
        return F.l1_loss(self.network(x_t_BD, timestep_B), clean_BD)

    def enhance(self, embedding_BD: Tensor, generator: torch.Generator) -> Tensor:
        """Return x0 [B, D], averaged over `noise_draws` samples."""
        scaled_BD = self._scaled(embedding_BD)
        if self.config.noise_draws == 0:
            return self._sample(scaled_BD, torch.zeros_like(scaled_BD))
        draws = (self._sample(scaled_BD, _normal_like(scaled_BD, generator)) for _ in range(self.config.noise_draws))
        return sum(draws, start=torch.zeros_like(scaled_BD)) / self.config.noise_draws

    def _sample(self, scaled_BD: Tensor, noise_BD: Tensor) -> Tensor:
        clip = 3.0 * math.sqrt(self.dim)
        timestep = self.config.sampling_timestep
        return sample_one_step(self.network, scaled_BD, noise_BD, self.alpha_bar_T, timestep, clip)

    def _scaled(self, x_BD: Tensor) -> Tensor:
        return math.sqrt(self.dim) * F.normalize(x_BD, dim=-1)


def _normal_like(x_BD: Tensor, generator: torch.Generator) -> Tensor:
    return torch.randn(x_BD.shape, generator=generator, device=generator.device).to(x_BD.device)
