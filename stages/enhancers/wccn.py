"""View-WCCN: whiten by what the views of one crop have different. No labels, no gradient, one pass over the cache.

    W = covariance of (vector - mean over the views of its crop)
    z = normalise((x - mean) (W + shrinkage * mean eigenvalue of W * I)^(-1/2))

Within-class covariance normalisation (Hatch, Kajarekar, Stolcke: Interspeech 2006) with the crop as the class, so
that what is suppressed is what noise does to an utterance rather than what sessions do to a speaker.

Shapes: B batch, D embedding dimension, M rows of a chunk, N crops of a block, V views.
"""

from collections.abc import Iterable

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from reseed.stages.common.section import Section
from reseed.stages.enhancers.base import Enhancer, Speakers
from reseed.store import StoreError

_CHUNK_ROWS = 65_536  # bounds the float64 copy of the cache: 128 MiB at D=256


class WccnConfig(Section):
    """Settings of view-WCCN.

    Attributes:
        shrinkage: added to the diagonal of the covariance within crops, as a multiple of its mean eigenvalue.
    """

    shrinkage: float = Field(default=1.0, gt=0)


class ViewWccn(Enhancer):
    """View-WCCN: whitening by the covariance that the views of one crop span."""

    Config = WccnConfig
    config: WccnConfig
    mean_D: Tensor
    whitening_DD: Tensor

    def __init__(self, config: WccnConfig, dim: int) -> None:
        super().__init__(config, dim)
        self.register_buffer("mean_D", torch.zeros(dim))
        self.register_buffer("whitening_DD", torch.eye(dim))

    def fit(self, blocks: Iterable[Tensor], view_names: list[str], crops: int = 1, speakers: Speakers = ()) -> None:
        """Set the mean over all vectors and the whitening matrix, in one pass over the blocks [N, V, D].

        Raises:
            StoreError: the views of every crop hold the same vectors, so that W is zero.
        """
        mean_D, covariance_DD = mean_and_view_covariance(blocks, view_names, self.mean_D)
        self.mean_D.copy_(mean_D)
        self.whitening_DD.copy_(inverse_square_root(covariance_DD, self.config.shrinkage))

    def enhance(self, embedding_BD: Tensor, generator: torch.Generator) -> Tensor:
        """Return unit vectors [B, D]; deterministic."""
        return F.normalize((embedding_BD - self.mean_D) @ self.whitening_DD, dim=-1)


def mean_and_view_covariance(blocks: Iterable[Tensor], view_names: list[str], like_D: Tensor) -> tuple[Tensor, Tensor]:
    """Return the mean over all vectors [D] and the covariance within crops [D, D], float64, in one pass.

    Args:
        like_D: says how many dimensions there are, and on which device.

    Raises:
        StoreError: the views of every crop hold the same vectors, so that the covariance is zero.
    """
    n_crops, mean_D = 0, torch.zeros_like(like_D, dtype=torch.float64)
    covariance_DD = mean_D.outer(mean_D)
    for block_NVD in blocks:
        n_crops += len(block_NVD)
        share = len(block_NVD) / n_crops
        mean_D += share * (block_NVD.mean(dim=(0, 1)) - mean_D)
        covariance_DD += share * (view_covariance(block_NVD) - covariance_DD)
    if not covariance_DD.trace() > 0:
        raise no_noise(view_names)
    return mean_D, covariance_DD


def no_noise(view_names: list[str]) -> StoreError:
    """Return the error that views which do not differ deserve."""
    return StoreError(
        f"the views {', '.join(view_names)} hold identical vectors: there is no noise to learn from; "
        "check the views' recipes and extract again"
    )


def view_covariance(vectors_NVD: Tensor) -> Tensor:
    """Return the covariance [D, D], float64, of each vector's deviation from the mean over its crop's views."""
    n_crops, n_views, dim = vectors_NVD.shape
    scatter_DD = torch.zeros(dim, dim, dtype=torch.float64, device=vectors_NVD.device)
    for chunk in vectors_NVD.split(max(1, _CHUNK_ROWS // n_views)):
        chunk = chunk.double()
        deviation_MD = (chunk - chunk.mean(dim=1, keepdim=True)).flatten(0, 1)
        scatter_DD += deviation_MD.T @ deviation_MD
    return scatter_DD / (n_crops * (n_views - 1))


def inverse_square_root(covariance_DD: Tensor, shrinkage: float) -> Tensor:
    """Return (C + shrinkage * mean eigenvalue * I)^(-1/2), symmetric [D, D], float64."""
    eigenvalues_D, eigenvectors_DD = torch.linalg.eigh(covariance_DD)
    loaded_D = eigenvalues_D.clamp(min=0.0) + shrinkage * eigenvalues_D.mean()
    return (eigenvectors_DD * loaded_D.rsqrt()) @ eigenvectors_DD.T
