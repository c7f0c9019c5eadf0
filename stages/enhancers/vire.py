"""VIRE, view-reliability whitening: weigh each direction by how well it tells utterances apart in noise.

    W   = covariance within utterances: of (x - mean over all crops and views of its utterance)
    B   = covariance between utterances: of those means
    A   = (W + shrinkage * mean eigenvalue of W * I)^(-1/2)
    M   = A B A, shrunk towards the mean of its eigenvalues psi: the signal-to-noise ratios of the directions
    rho = psi / (psi + 1), the reliability: the share of the variance that belongs to the utterance
    z   = normalise((x - mean) A (I + M)^(-1/2) rho(M)^emphasis)

over vectors x of unit length. A (I + M)^(-1/2) whitens all variance together; the last factor brings back what of it is
reliable. An emphasis of 0.5 gives the posterior mean of the utterance's factor in the two-covariance model (Brümmer
and de Villiers, Odyssey 2010), counted in its prior deviations. More than that pays on weak networks, as the utterance
is but a stand-in for the speaker: of what utterances have different, not all tells speakers apart. How far M is shrunk
follows from the number of utterances (Chen, Wiesel, Eldar, Hero: IEEE Trans. Signal Processing 58, 2010, equation 23):
with few of them the map becomes plain whitening. No labels, no gradient, one pass over the cache.

Shapes: B batch, C crops of an utterance, D embedding dimension, N crops of a block, U utterances, V views.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

import torch
from pydantic import Field
from torch import Tensor

from reseed.stages.common.section import Section
from reseed.stages.enhancers.base import MappingEnhancer, Speakers
from reseed.stages.enhancers.utterances import whole_utterances
from reseed.stages.enhancers.wccn import inverse_square_root, no_noise
from reseed.store import StoreError

_ROUNDING = 1e-12  # variance of unit vectors below which they differ by no more than float32 rounds


class VireConfig(Section):
    """Settings of view-reliability whitening.

    Attributes:
        shrinkage: added to the diagonal of the covariance within utterances, as a multiple of its mean eigenvalue.
        emphasis: power of the reliability by which a direction is weighed.
    """

    shrinkage: float = Field(default=1.0, gt=0)
    emphasis: float = Field(default=0.5, ge=0)


class Vire(MappingEnhancer):
    """VIRE: whitening, each direction weighed by its reliability over crops and views."""

    Config = VireConfig
    config: VireConfig

    def fit(self, blocks: Iterable[Tensor], view_names: list[str], crops: int = 1, speakers: Speakers = ()) -> None:
        """Set the mean and the map, in one pass over the blocks [N, V, D]; a block may end inside an utterance.

        Raises:
            StoreError: the vectors of every utterance are the same, or those of all; or the blocks end inside one.
        """
        found = Statistics.of(whole_utterances(blocks, crops))
        if not found.within_DD.trace() > _ROUNDING:
            raise no_noise(view_names)
        if not found.between_DD.trace() > _ROUNDING:
            means = f"the mean vectors of all {found.utterances} utterances"
            raise StoreError(f"{means} are one: nothing tells them apart; check the recordings")
        self.mean_D.copy_(found.mean_D)
        self.map_DD.copy_(reliability_map(found, self.config))


@dataclass(frozen=True)
class Statistics:
    """What the map is made of, float64.

    Attributes:
        utterances: how many.
        mean_D: mean of their means, over crops and views.
        within_DD, between_DD: W and B.
    """

    utterances: int
    mean_D: Tensor
    within_DD: Tensor
    between_DD: Tensor

    @classmethod
    def of(cls, chunks: Iterable[Tensor]) -> Self:
        """Return the statistics of chunks of utterances [U, K, D], each with K vectors."""
        utterances, freedom = 0, 0
        total_D = within_DD = between_DD = torch.zeros(())
        for vectors_UKD in chunks:
            mean_UD = vectors_UKD.mean(dim=1)
            deviation_MD = (vectors_UKD - mean_UD[:, None]).flatten(0, 1)
            utterances += len(mean_UD)
            freedom += len(deviation_MD) - len(mean_UD)
            total_D = total_D + mean_UD.sum(dim=0)
            within_DD = within_DD + deviation_MD.T @ deviation_MD
            between_DD = between_DD + mean_UD.T @ mean_UD
        mean_D = total_D / utterances
        return cls(utterances, mean_D, within_DD / freedom, between_DD / utterances - mean_D.outer(mean_D))


def reliability_map(found: Statistics, config: VireConfig) -> Tensor:
    """Return A (I + M)^(-1/2) rho(M)^emphasis, [D, D], float64."""
    whitening_DD = inverse_square_root(found.within_DD, config.shrinkage)
    psi_D, basis_DD = torch.linalg.eigh(whitening_DD @ found.between_DD @ whitening_DD)
    psi_D = shrunk(psi_D.clamp(min=0.0), found.utterances)
    weight_D = (psi_D / (psi_D + 1)) ** config.emphasis * (psi_D + 1).rsqrt()
    return whitening_DD @ (basis_DD * weight_D) @ basis_DD.T


def shrunk(eigenvalue_D: Tensor, n: int) -> Tensor:
    """Return a covariance's eigenvalues [D] drawn towards their mean, the more the fewer the n observations.

    The oracle approximating shrinkage (Chen et al. 2010, equation 23) without its terms in 2 / D.
    """
    mean, square, trace = eigenvalue_D.mean(), eigenvalue_D.square().sum(), eigenvalue_D.sum()
    spread = (n + 1) * (square - trace * mean)
    share = ((square + trace.square()) / spread).clamp(max=1.0) if spread > 0 else 1.0
    return (1 - share) * eigenvalue_D + share * mean
