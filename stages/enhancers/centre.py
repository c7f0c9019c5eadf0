"""Centring: subtract the mean of the cached vectors. What every enhancer has to be better than.

    z = normalise(normalise(x) - mean)

The mean is over crops and views alike, as the recipes of WeSpeaker and 3D-Speaker subtract that of their training
speech before cosine scoring. Of unit vectors: where noise shortens what a network gives (WeSpeaker's ResNet34: 4.1 for
clean speech, 1.7 for babble at 0 dB), a mean over vectors of all lengths is no mean of anything.

With `mean: store` or `views` it is that of the vectors that are enhanced, all of them or those of the same view, which
needs no clean speech and no labels. A store of few speakers has a mean that tells who they are, so that it counts for
as much as its speakers do beside `prior` speakers with the training mean:

    mean = (speakers * own mean + prior * training mean) / (speakers + prior)

Shapes: B batch, D embedding dimension, N utterances x crops of a block, V views.
"""

from collections.abc import Iterable
from typing import Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from reseed.stages.common.section import Section
from reseed.stages.enhancers.base import Enhancer, Speakers


class CentreConfig(Section):
    """Settings of centring.

    Attributes:
        mean: of what the mean is: the cache that it is fitted on (training), or the store that is enhanced, all of it
            (store) or each of its views by itself (views).
        prior: how many speakers the training mean counts for beside those of the store that is enhanced.
    """

    mean: Literal["training", "store", "views"] = "training"
    prior: float = Field(default=10.0, ge=0)


class Centre(Enhancer):
    """Centring on a mean: that of the training vectors, or of the store that is enhanced."""

    Config = CentreConfig
    config: CentreConfig
    unit_mean_D: Tensor

    def __init__(self, config: CentreConfig, dim: int) -> None:
        super().__init__(config, dim)
        self.register_buffer("unit_mean_D", torch.zeros(dim))
        self._own_VD: Tensor | None = None

    @property
    def needs_noise(self) -> bool:
        """A mean can be had of any store."""
        return False

    @property
    def adapts(self) -> bool:
        """Whether it takes the mean of the store that is enhanced."""
        return self.config.mean != "training"

    def fit(self, blocks: Iterable[Tensor], view_names: list[str], crops: int = 1, speakers: Speakers = ()) -> None:
        """Set the mean over all vectors, in one pass over the blocks [N, V, D]."""
        self.unit_mean_D.copy_(unit_means(blocks).mean(dim=0))

    def adapt(self, blocks: Iterable[Tensor], crops: int, speakers: int) -> None:
        """Take the means of a store, in one pass over its blocks [N, V, D]."""
        own_VD = unit_means(blocks).to(self.unit_mean_D)
        if self.config.mean == "store":
            own_VD = own_VD.mean(dim=0, keepdim=True).expand_as(own_VD)
        share = speakers / (speakers + self.config.prior)
        self._own_VD = share * own_VD + (1 - share) * self.unit_mean_D

    def enhance(self, embedding_BD: Tensor, generator: torch.Generator) -> Tensor:
        """Return unit vectors [B, D], centred on the training mean; deterministic."""
        return F.normalize(F.normalize(embedding_BD, dim=-1) - self.unit_mean_D, dim=-1)

    def enhance_block(self, block_NVD: Tensor, generator: torch.Generator, first: int = 0) -> Tensor:
        """Return unit vectors [N, V, D], centred on the means of the store where it took them."""
        mean_VD = self.unit_mean_D if self._own_VD is None else self._own_VD
        return F.normalize(F.normalize(block_NVD, dim=-1) - mean_VD, dim=-1)


def unit_means(blocks: Iterable[Tensor]) -> Tensor:
    """Return the mean of unit vectors by view, float64 [V, D]."""
    rows, mean_VD = 0, torch.zeros(())
    for block_NVD in blocks:
        rows += len(block_NVD)
        mean_VD = mean_VD + len(block_NVD) / rows * (F.normalize(block_NVD.double(), dim=-1).mean(dim=0) - mean_VD)
    return mean_VD
