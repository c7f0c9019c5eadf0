"""SEED, speaker embedding enhancement by diffusion (arXiv 2505.16798, Interspeech 2025).

    x_t   = sqrt(alpha_bar_t) s(noisy) + sqrt(1 - alpha_bar_t) epsilon      the chain starts at the *noisy* embedding
    loss  = mean | x0 - s(clean) |,  t uniform in 0..999                    and its x0 is the clean one
    x_out = x0 of x_50, each component clipped to +-3 sqrt(D)               one step enhances

with s(x) = sqrt(D) x / |x|, under which a component has unit mean square, as the noise has. The network puts out x0
itself, or epsilon or v, from which x0 follows.

A network that has to put out all of a speaker's embedding forgets what little training speech does not show: it makes
strong backbones worse than they were (docs/results/enhancers.md). Hence, by default, prediction "correction":

    s(x)  = sqrt(D) normalise(x / |x| - mean)                               centred, as it will be scored
    x0    = sqrt(alpha_bar_t) x_t + output                                  an output of zero leaves x as it is
    x_out = s(x) + strength (x0 of x_50 - s(x))

Mode "compat" is the released code: it trains on raw vectors, without s, though it samples with it, and where epsilon
or v is predicted its loss is the distance from the drawn epsilon, or from the v of that and the clean embedding.

Shapes: B batch, D embedding dimension, T diffusion timesteps.
"""

import math
from collections.abc import Iterable, Iterator
from typing import Any, Literal

import torch
import torch.nn.functional as F
from pydantic import Field, SerializerFunctionWrapHandler, model_serializer
from torch import Tensor

from reseed.stages.common.section import Conflict
from reseed.stages.enhancers.base import Speakers, TrainedEnhancer
from reseed.stages.enhancers.centre import unit_means
from reseed.stages.enhancers.diffusion import (
    TIMESTEPS,
    Prediction,
    add_noise,
    alphas_cumprod,
    descent,
    mean_of_draws,
    normal_like,
    original,
    sample,
    velocity,
)
from reseed.stages.enhancers.mlp import BLOCKS, RdmMlp
from reseed.stages.training.cache.pairs import Pairs
from reseed.stages.training.settings import TrainingSettings


class SeedConfig(TrainingSettings):
    """Settings of SEED.

    Attributes:
        mode: scale embeddings in training as in sampling (consistent), or in sampling alone, as the released code and
            its checkpoints do (compat).
        prediction: what the network puts out: what the noisy embedding lacks, in centred coordinates (correction), the
            clean embedding (sample), the noise (epsilon) or the velocity; null: correction, or sample in mode compat.
        strength: share of the correction that is made.
        sampling_timestep: of the 1000 steps of the diffusion, the one at which sampling enters.
        sampling_steps: steps of DDIM from there; SEED's own sampler takes one.
        noise_draws: draws of noise over which an embedding is averaged; 0: no noise, hence deterministic.
        blocks: residual blocks of the network; SEED's released networks have three.
    """

    mode: Literal["consistent", "compat"] = "consistent"
    prediction: Prediction | None = None
    strength: float = Field(default=0.5, gt=0, le=1)
    sampling_timestep: int = Field(default=50, ge=0, lt=TIMESTEPS)
    sampling_steps: int = Field(default=1, ge=1)
    noise_draws: int = Field(default=0, ge=0, le=10_000)
    blocks: int = Field(default=BLOCKS, ge=1)

    @model_serializer(mode="wrap")
    def _without_usual_blocks(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leave out the number of blocks that all had before it could be set: what was trained then is not stale."""
        found: dict[str, Any] = dump(self)
        return {name: value for name, value in found.items() if (name, value) != ("blocks", BLOCKS)}

    @property
    def predicted(self) -> Prediction:
        """What the network puts out."""
        return self.prediction or ("sample" if self.mode == "compat" else "correction")

    def conflicts(self) -> Iterator[Conflict]:
        yield from super().conflicts()
        if self.mode == "compat" and self.predicted == "correction":
            yield Conflict("prediction", "is correction, which the released code (mode compat) does not know")
        if self.sampling_steps > self.sampling_timestep + 1:
            text = f"is {self.sampling_steps}, but from sampling_timestep {self.sampling_timestep} there are fewer"
            yield Conflict("sampling_steps", text)


class Seed(TrainedEnhancer):
    """SEED: diffusion from the noisy to the clean embedding, by default in one step.

    Enhanced embeddings are not normalised, as in the paper: their length is near sqrt(D).
    """

    Config = SeedConfig
    config: SeedConfig
    alpha_bar_T: Tensor
    unit_mean_D: Tensor | None

    def __init__(self, config: SeedConfig, dim: int) -> None:
        super().__init__(config, dim)
        self.network = RdmMlp(dim, config.blocks)
        self.register_buffer("unit_mean_D", torch.zeros(dim) if config.predicted == "correction" else None)
        self.register_buffer("alpha_bar_T", alphas_cumprod(), persistent=False)

    def fit(self, blocks: Iterable[Tensor], view_names: list[str], crops: int = 1, speakers: Speakers = ()) -> None:
        """Set the mean that is subtracted, where corrections are predicted."""
        if self.unit_mean_D is not None:
            self.unit_mean_D.copy_(unit_means(blocks).mean(dim=0))

    def loss(self, pairs: Pairs, generator: torch.Generator) -> Tensor:
        """L1 distance from the predicted to the clean embedding, at a random timestep per row."""
        clean_BD, noisy_BD = pairs.clean_BD, pairs.noisy_BD
        compat = self.config.mode == "compat"
        if not compat:
            clean_BD, noisy_BD = self._scaled(clean_BD), self._scaled(noisy_BD)
        timestep_B = torch.randint(TIMESTEPS, noisy_BD.shape[:1], generator=generator, device=noisy_BD.device)
        noise_BD, alpha_bar_B = normal_like(noisy_BD, generator), self.alpha_bar_T[timestep_B]
        x_t_BD = add_noise(noisy_BD, noise_BD, alpha_bar_B)
        output_BD = self.network(x_t_BD, timestep_B)
        if compat and self.config.predicted == "epsilon":
            return F.l1_loss(output_BD, noise_BD)
        if compat and self.config.predicted == "v_prediction":
            return F.l1_loss(output_BD, velocity(clean_BD, noise_BD, alpha_bar_B))
        return F.l1_loss(original(output_BD, x_t_BD, alpha_bar_B, self.config.predicted), clean_BD)

    def enhance(self, embedding_BD: Tensor, generator: torch.Generator) -> Tensor:
        """Return x0 [B, D], averaged over `noise_draws` samples."""
        scaled_BD = self._scaled(embedding_BD)
        timesteps = descent(self.config.sampling_timestep, self.config.sampling_steps)
        clip = 3.0 * math.sqrt(self.dim)

        def sampler(noise_BD: Tensor) -> Tensor:
            return sample(self.network, scaled_BD, noise_BD, self.alpha_bar_T, timesteps, self.config.predicted, clip)

        restored_BD = mean_of_draws(sampler, scaled_BD, self.config.noise_draws, generator)
        return restored_BD if self.unit_mean_D is None else scaled_BD.lerp(restored_BD, self.config.strength)

    def _scaled(self, x_BD: Tensor) -> Tensor:
        unit_BD = F.normalize(x_BD, dim=-1)
        if self.unit_mean_D is not None:
            unit_BD = F.normalize(unit_BD - self.unit_mean_D, dim=-1)
        return math.sqrt(self.dim) * unit_BD
