"""Deterministic regression from the noisy to the clean embedding: the baselines that SEED must beat.

    f(x) = normalise(network(normalise(x)))
    mse     mean d,               d = |clean - f(noisy)|^2 over unit vectors
    cosine  mean 1 - cosine,      which between unit vectors is d / 2: under AdamW it is mse but for the weight decay
    vmf_pl  mean log(d + 1e-6)

Shapes: B batch, D embedding dimension.
"""

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from reseed.stages.enhancers.base import TrainedEnhancer
from reseed.stages.enhancers.mlp import ResidualMlp
from reseed.stages.training.cache.pairs import Pairs
from reseed.stages.training.settings import TrainingSettings


class MseConfig(TrainingSettings):
    """Settings of the mean-squared-error regression."""


class CosineConfig(TrainingSettings):
    """Settings of the cosine regression."""


class VmfPlConfig(TrainingSettings):
    """Settings of the vMF profile likelihood regression.

    Attributes:
        floor: added to the squared distance before the logarithm.
    """

    floor: float = Field(default=1e-6, gt=0)


class _Regression(TrainedEnhancer):
    def __init__(self, config: TrainingSettings, dim: int) -> None:
        super().__init__(config, dim)
        self.network = ResidualMlp(dim)

    def enhance(self, embedding_BD: Tensor, generator: torch.Generator) -> Tensor:
        """Return unit vectors [B, D]; deterministic."""
        return F.normalize(self.network(F.normalize(embedding_BD, dim=-1)), dim=-1)

    def _squared_distance(self, pairs: Pairs, generator: torch.Generator) -> Tensor:
        clean_BD = F.normalize(pairs.clean_BD, dim=-1)
        return (clean_BD - self.enhance(pairs.noisy_BD, generator)).square().sum(dim=-1)


class Mse(_Regression):
    """MSE regression: a residual MLP that minimises the squared distance to the clean embedding."""

    Config = MseConfig
    config: MseConfig

    def loss(self, pairs: Pairs, generator: torch.Generator) -> Tensor:
        """Mean squared Euclidean distance between unit vectors, in 0..4."""
        return self._squared_distance(pairs, generator).mean()


class Cosine(_Regression):
    """Cosine regression: a residual MLP that maximises the cosine with the clean embedding."""

    Config = CosineConfig
    config: CosineConfig

    def loss(self, pairs: Pairs, generator: torch.Generator) -> Tensor:
        """Mean of one minus the cosine, in 0..2."""
        return (1.0 - F.cosine_similarity(self.enhance(pairs.noisy_BD, generator), pairs.clean_BD, dim=-1)).mean()


class VmfPl(_Regression):
    """vMF-PL: a residual MLP that maximises the von Mises-Fisher profile likelihood of the clean embedding."""

    Config = VmfPlConfig
    config: VmfPlConfig

    def loss(self, pairs: Pairs, generator: torch.Generator) -> Tensor:
        """Mean logarithm of the squared distance (arXiv 2610.06691); may be negative."""
        return (self._squared_distance(pairs, generator) + self.config.floor).log().mean()
