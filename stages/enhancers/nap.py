"""NAP: remove the few directions in which the views of one crop differ most, and leave the others as they are.

    z = normalise((I - U U^T) (normalise(x) - mean)),    U the first eigenvectors of the covariance within crops

Nuisance attribute projection (Solomonoff, Campbell and Boardman, ICASSP 2005), with the crop as the class as in
`reseed.stages.enhancers.wccn`, so that it needs no labels.

Shapes: B batch, D embedding dimension, K directions, N crops of a block, V views.
"""

from collections.abc import Iterable

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from reseed.stages.common.section import Section
from reseed.stages.enhancers.base import Enhancer, Speakers
from reseed.stages.enhancers.wccn import mean_and_view_covariance
from reseed.store import StoreError


class NapConfig(Section):
    """Settings of nuisance attribute projection.

    Attributes:
        directions: how many are removed; fewer than the vectors have.
    """

    directions: int = Field(default=2, ge=1)


class Nap(Enhancer):
    """NAP: projection that removes the directions in which the views of one crop differ most."""

    Config = NapConfig
    config: NapConfig
    mean_D: Tensor
    nuisance_DK: Tensor

    def __init__(self, config: NapConfig, dim: int) -> None:
        super().__init__(config, dim)
        if config.directions >= dim:
            raise StoreError(
                f"nap cannot remove {config.directions} directions of {dim}; set directions to less than that"
            )
        self.register_buffer("mean_D", torch.zeros(dim))
        self.register_buffer("nuisance_DK", torch.zeros(dim, config.directions))

    def fit(self, blocks: Iterable[Tensor], view_names: list[str], crops: int = 1, speakers: Speakers = ()) -> None:
        """Set mean and directions, in one pass over the blocks [N, V, D].

        Raises:
            StoreError: the views of every crop hold the same vectors.
        """
        unit = (F.normalize(block_NVD, dim=-1) for block_NVD in blocks)
        mean_D, covariance_DD = mean_and_view_covariance(unit, view_names, self.mean_D)
        self.mean_D.copy_(mean_D)
        self.nuisance_DK.copy_(torch.linalg.eigh(covariance_DD)[1][:, -self.config.directions :])

    def enhance(self, embedding_BD: Tensor, generator: torch.Generator) -> Tensor:
        """Return unit vectors [B, D]; deterministic."""
        centred_BD = F.normalize(embedding_BD, dim=-1) - self.mean_D
        return F.normalize(centred_BD - centred_BD @ self.nuisance_DK @ self.nuisance_DK.T, dim=-1)
