"""NDA: linear discriminant analysis by nearest neighbours, a step of chains.

Of a vector x of speaker i, M_ij is the mean of its nearest neighbours among the vectors of speaker j, and d_ij the
distance of the last of these:

    S_b = sum over i of the mean over x of i of sum over j != i of w_ij (x - M_ij)(x - M_ij)^T
    S_w = sum over i of the mean over x of i of (x - M_ii)(x - M_ii)^T
    w_ij = min(d_ii^alpha, d_ij^alpha) / (d_ii^alpha + d_ij^alpha)

so that the vectors near the border between two speakers count, and speakers need not be Gaussian; unlike LDA it may
keep more dimensions than there are speakers. Sadjadi, Pelecanos and Zhu, Interspeech 2014; S_w by neighbours and the
means over each speaker as in hyperion. A vector is among its own neighbours. Time grows with the square of the vectors.

Shapes: B batch, D embedding dimension, K dimensions kept, M labelled vectors, N crops of a block, V views.
"""

from collections.abc import Iterable

import torch
from pydantic import Field
from torch import Tensor

from reseed.stages.common.section import Section
from reseed.stages.enhancers.base import Speakers
from reseed.stages.enhancers.steps import Discriminant, discriminants, speaker_labels
from reseed.store import StoreError


class NdaConfig(Section):
    """Settings of nearest-neighbour discriminant analysis.

    Attributes:
        dims: dimensions kept, no more than the vectors have; null: as many as they have.
        shrinkage: added to the diagonal of S_w, as a multiple of its mean eigenvalue.
        neighbours: how many of each speaker; of speakers with fewer vectors, all.
        alpha: exponent of the distances; the higher, the less vectors far from a border count.
        max_vectors: of more, every so many are taken.
    """

    dims: int | None = Field(default=None, ge=1)
    shrinkage: float = Field(default=1.0, gt=0)
    neighbours: int = Field(default=10, ge=1)
    alpha: float = Field(default=1.0, ge=0)
    max_vectors: int = Field(default=20_000, ge=2)


class Nda(Discriminant):
    """NDA: the directions that tell a vector's neighbours of other speakers from those of its own; needs labels."""

    Config = NdaConfig
    config: NdaConfig

    @property
    def dim_out(self) -> int:
        """K."""
        return self.config.dims or self.dim

    def fit(self, blocks: Iterable[Tensor], view_names: list[str], crops: int = 1, speakers: Speakers = ()) -> None:
        """Set the projection; utterances of unknown speakers are left out.

        Raises:
            StoreError: fewer than two speakers are known.
        """
        names, label_N = speaker_labels(speakers, crops)
        if len(names) < 2:
            raise StoreError(
                f"nda needs two speakers or more, and the training store names {len(names)}; prepare the corpus with "
                "speaker labels"
            )
        label_M = label_N.repeat_interleave(len(view_names))
        taken_M = torch.nonzero(label_M >= 0)[:, 0]
        taken_M = taken_M[:: -(-len(taken_M) // self.config.max_vectors)].contiguous()
        vectors_MD = self._taken(blocks, taken_M)
        between_DD, within_DD = self._scatter(vectors_MD, label_M[taken_M].to(vectors_MD.device), len(names))
        self.mean_D.copy_(vectors_MD.mean(dim=0))
        self.projection_DK.copy_(discriminants(between_DD, within_DD, self.config.shrinkage)[:, : self.dim_out])

    def _taken(self, blocks: Iterable[Tensor], taken_M: Tensor) -> Tensor:
        """Return some of the vectors, [M, D], by their places in ascending order."""
        found, start = [], 0
        for block_NVD in blocks:
            vectors_BD = block_NVD.flatten(0, 1)
            first, last = torch.searchsorted(taken_M, torch.tensor([start, start + len(vectors_BD)])).tolist()
            found.append(vectors_BD[(taken_M[first:last] - start).to(vectors_BD.device)])
            start += len(vectors_BD)
        return torch.cat(found)

    def _scatter(self, vectors_MD: Tensor, label_M: Tensor, speakers: int) -> tuple[Tensor, Tensor]:
        """Return S_b and S_w, float64 [D, D]."""
        share_M = 1 / torch.bincount(label_M, minlength=speakers)[label_M].double()
        own_M = torch.zeros_like(share_M)
        within_DD = torch.zeros(self.dim, self.dim, dtype=torch.float64, device=vectors_MD.device)
        for speaker in label_M.unique():
            of_M = label_M == speaker
            apart_BD, own_M[of_M] = self._apart(vectors_MD[of_M], vectors_MD[of_M])
            within_DD += (apart_BD * share_M[of_M, None]).T @ apart_BD
        between_DD = torch.zeros_like(within_DD)
        for speaker in label_M.unique():
            other_M = label_M != speaker
            apart_BD, distance_B = self._apart(vectors_MD[other_M], vectors_MD[~other_M])
            nearer_B, sum_B = torch.minimum(own_M[other_M], distance_B), own_M[other_M] + distance_B
            weight_B = share_M[other_M] * nearer_B / sum_B.clamp(min=1e-12)
            between_DD += (apart_BD * weight_B[:, None]).T @ apart_BD
        return between_DD, within_DD

    def _apart(self, vectors_BD: Tensor, speaker_MD: Tensor) -> tuple[Tensor, Tensor]:
        """Return how vectors lie from the mean of their neighbours, [B, D], and the last one's distance^alpha, [B]."""
        count = min(self.config.neighbours, len(speaker_MD))
        distance_BK, place_BK = torch.cdist(vectors_BD, speaker_MD).topk(count, largest=False)
        mean_BD = torch.zeros_like(vectors_BD)
        for place_B in place_BK.T:  # not all at once: [B, K, D] is large
            mean_BD += speaker_MD[place_B] / count
        return (vectors_BD - mean_BD).double(), distance_BK[:, -1].double() ** self.config.alpha
