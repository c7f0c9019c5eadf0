"""Centring: subtract the mean of the cached vectors. What every enhancer has to be better than.

    z = normalise(x - mean)

The mean is over crops and views alike, as the recipes of WeSpeaker and 3D-Speaker subtract that of their training
speech before cosine scoring.

Shapes: B batch, D embedding dimension, N crops of a block, V views.
"""

from collections.abc import Iterable

import torch
import torch.nn.functional as F
from torch import Tensor

from reseed.stages.common.section import Section
from reseed.stages.enhancers.base import Enhancer


class CentreConfig(Section):
    """Settings of centring: none."""


class Centre(Enhancer):
    """Centring on the mean of the training vectors."""

    Config = CentreConfig
    config: CentreConfig
    mean_D: Tensor

    def __init__(self, config: CentreConfig, dim: int) -> None:
        super().__init__(config, dim)
        self.register_buffer("mean_D", torch.zeros(dim))

    def fit(self, blocks: Iterable[Tensor], view_names: list[str], crops: int = 1) -> None:
        """Set the mean over all vectors, in one pass over the blocks [N, V, D]."""
        rows, mean_D = 0, torch.zeros_like(self.mean_D, dtype=torch.float64)
        for block_NVD in blocks:
            rows += len(block_NVD)
            mean_D += len(block_NVD) / rows * (block_NVD.double().mean(dim=(0, 1)) - mean_D)
        self.mean_D.copy_(mean_D)

    def enhance(self, embedding_BD: Tensor, generator: torch.Generator) -> Tensor:
        """Return unit vectors [B, D]; deterministic."""
        return F.normalize(embedding_BD - self.mean_D, dim=-1)
