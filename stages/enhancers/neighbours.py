"""Neighbours: add to each vector those of other utterances of its store that are probably the same speaker's.

    s_ij = cosine of the means of the unit crops of utterances i and j, in one view of the store that is enhanced
    w_ij = posterior probability that i and j are one speaker, other than i = j
    t_ij = sum over k of w_ik w_kj, the neighbours that both have
    z    = normalise(x + strength * sum over j of w_ij t_ij / (1 + t_ij) mean_j)

Query expansion (Chum et al., ICCV 2007) with probabilities for weights. A neighbour counts that has neighbours in
common with the utterance (Jarvis and Patrick, IEEE Trans. Computers 22, 1973): of speakers who have one or two
utterances in the store less is changed, right or wrong (measured: docs/results/noise.md).

The posterior is that of two Gaussians with a prior of `expected` same-speaker utterances in the store. No labels are
asked for: the same speaker's scores are those between halves of the crops of one training utterance (of a single crop,
as where whole utterances are stored: between its views), others' are between different training utterances, their
deviation taken from the tail (98 % quantile), where mistakes are made.

It goes by what else is in the store: trials are no longer scored independently of each other, which evaluations such
as NIST's forbid.

Shapes: B utterances of a chunk, D embedding dimension, N utterances x crops of a block, U utterances, V views.
"""

from collections.abc import Iterable
from statistics import NormalDist

import numpy as np
import torch
import torch.nn.functional as F
from pydantic import Field
from scipy.sparse import csr_array, vstack
from torch import Tensor

from reseed.stages.common.section import Section
from reseed.stages.enhancers.base import Enhancer, Speakers
from reseed.stages.enhancers.utterances import sampled_utterances, unit_utterances
from reseed.store import ModelError, StoreError

_CHUNK_UTTERANCES = 1024
_NEAREST = 64  # of an utterance's neighbours at most
_LEAST = 0.01  # posterior below which there is no neighbour
_SAMPLE = 4096  # training utterances whose scores are looked at
_TAIL = 0.98


class NeighboursConfig(Section):
    """Settings of neighbours.

    Attributes:
        expected: utterances of the same speaker that an utterance is expected to have in the store, as a prior.
        strength: weight of a certain neighbour beside the vector itself.
    """

    expected: float = Field(default=5.0, gt=0)
    strength: float = Field(default=1.0, gt=0)


class Neighbours(Enhancer):
    """Neighbours: each vector drawn to those of its store that are probably the same speaker's."""

    Config = NeighboursConfig
    config: NeighboursConfig
    same_2: Tensor
    other_deviation: Tensor

    def __init__(self, config: NeighboursConfig, dim: int) -> None:
        super().__init__(config, dim)
        self.register_buffer("same_2", torch.tensor([0.5, 0.1]))  # mean and deviation of scores of one speaker
        self.register_buffer("other_deviation", torch.tensor(0.1))
        self._drawn_UVD: Tensor | None = None
        self._crops = 1

    @property
    def adapts(self) -> bool:
        """It does nothing else."""
        return True

    def fit(self, blocks: Iterable[Tensor], view_names: list[str], crops: int = 1, speakers: Speakers = ()) -> None:
        """Set what scores of one speaker and of two look like, from as many utterances as are a fair sample.

        Raises:
            StoreError: fewer than three utterances, or a single crop in a single view of each.
        """
        unit_UCVD = sampled_utterances(blocks, crops, _SAMPLE)
        if len(unit_UCVD) < 3:
            raise StoreError("neighbours needs three training utterances at least")
        if unit_UCVD[0, ..., 0].numel() < 2:
            raise StoreError("neighbours learns from several crops or views of each training utterance; extract more")
        if crops == 1:
            first, second = unit_UCVD[:, 0, :-1], unit_UCVD[:, 0, 1:]
        else:
            first, second = (F.normalize(part.mean(dim=1), dim=-1) for part in unit_UCVD.tensor_split(2, dim=1))
        same_UV = (first * second).sum(dim=-1)
        mean_VUD = F.normalize(unit_UCVD.mean(dim=1), dim=-1).transpose(0, 1)
        apart = ~torch.eye(len(unit_UCVD), dtype=torch.bool, device=unit_UCVD.device)
        deviations = [_tail_deviation((mean_UD @ mean_UD.T)[apart]) for mean_UD in mean_VUD]
        self.same_2.copy_(torch.stack([same_UV.mean(), same_UV.std()]))
        self.other_deviation.copy_(torch.stack(deviations).mean())

    def adapt(self, blocks: Iterable[Tensor], crops: int, speakers: int) -> None:
        """Find each utterance's neighbours in every view; the means of all utterances lie in memory, twice.

        Raises:
            StoreError: fewer than three utterances.
        """
        mean_UVD = torch.cat(
            [F.normalize(unit_UCVD.mean(dim=1), dim=-1) for unit_UCVD in unit_utterances(blocks, crops)]
        )
        if len(mean_UVD) < 3:
            raise StoreError(f"neighbours needs three utterances at least, the store has {len(mean_UVD)}")
        self._crops = crops
        self._drawn_UVD = torch.stack([self._drawn(mean_UD) for mean_UD in mean_UVD.unbind(dim=1)], dim=1)

    def enhance(self, embedding_BD: Tensor, generator: torch.Generator) -> Tensor:
        """Return unit vectors [B, D], unchanged otherwise: they are of no store."""
        return F.normalize(embedding_BD, dim=-1)

    def enhance_block(self, block_NVD: Tensor, generator: torch.Generator, first: int = 0) -> Tensor:
        """Return unit vectors [N, V, D], each with its neighbours.

        Raises:
            ModelError: the block does not belong to what it has adapted to.
        """
        unit_NVD = F.normalize(block_NVD, dim=-1)
        if self._drawn_UVD is None:
            return unit_NVD
        utterance_N = torch.arange(first, first + len(block_NVD), device=block_NVD.device) // self._crops
        if len(utterance_N) and utterance_N[-1] >= len(self._drawn_UVD):
            raise ModelError(
                f"neighbours were looked for among {len(self._drawn_UVD)} utterances; enhance those, and no others"
            )
        return F.normalize(unit_NVD + self.config.strength * self._drawn_UVD[utterance_N], dim=-1)

    def _drawn(self, mean_UD: Tensor) -> Tensor:
        """Return the weighted sum of each utterance's neighbours [U, D]."""
        posterior_UU = self._posteriors(mean_UD)
        drawn = []
        for start in range(0, len(mean_UD), _CHUNK_UTTERANCES):
            own_BU = posterior_UU[start : start + _CHUNK_UTTERANCES].tocoo()
            if not own_BU.nnz:  # nobody here has a neighbour
                drawn.append(torch.zeros(own_BU.shape[0], mean_UD.shape[1]))
                continue
            common = np.asarray((own_BU @ posterior_UU).tocsr()[own_BU.coords])  # t, where there is w
            weight_BU = csr_array((own_BU.data * common / (1 + common), own_BU.coords), own_BU.shape)
            drawn.append(torch.from_numpy(weight_BU @ mean_UD.cpu().numpy()))
        return torch.cat(drawn).to(mean_UD)

    def _posteriors(self, mean_UD: Tensor) -> csr_array:
        """Return w, sparse [U, U]."""
        rows, middle = [], _median(mean_UD)
        prior = min(0.5, self.config.expected / len(mean_UD))
        for start in range(0, len(mean_UD), _CHUNK_UTTERANCES):
            score_BU = mean_UD[start : start + _CHUNK_UTTERANCES] @ mean_UD.T
            score_BU.diagonal(start).fill_(-1.0)  # nobody is a neighbour of their own
            score_BK, index_BK = score_BU.topk(min(_NEAREST, len(mean_UD) - 1), dim=1)
            weight_BK = self._posterior(score_BK, middle, prior)
            kept_BK = weight_BK >= _LEAST
            place = kept_BK.nonzero()[:, 0], index_BK[kept_BK]
            values = weight_BK[kept_BK].cpu().numpy()
            rows.append(csr_array((values, tuple(each.cpu().numpy() for each in place)), tuple(score_BU.shape)))
        return vstack(rows, format="csr")

    def _posterior(self, score: Tensor, other: Tensor, prior: float) -> Tensor:
        """Return the probability that scores are of one speaker, which grows with the score.

        Args:
            other: mean of scores of two speakers.
        """
        same, deviation = self.same_2
        score = score.clamp(max=same).clamp(min=other)
        log_same = -0.5 * ((score - same) / deviation) ** 2 - deviation.log()
        log_other = -0.5 * ((score - other) / self.other_deviation) ** 2 - self.other_deviation.log()
        return torch.sigmoid(log_same - log_other + torch.tensor(prior / (1 - prior)).log())


def _median(mean_UD: Tensor) -> Tensor:
    """Return the median score of different utterances, of a sample."""
    some_BD = mean_UD[:: -(-len(mean_UD) // _SAMPLE)]
    apart = ~torch.eye(len(some_BD), dtype=torch.bool, device=mean_UD.device)
    return (some_BD @ some_BD.T)[apart].median()


def _tail_deviation(score: Tensor) -> Tensor:
    """Return the deviation of the Gaussian with the median and the 98 % quantile of some scores."""
    rank = min(len(score) - 1, int(_TAIL * len(score)))
    high = score.kthvalue(rank + 1).values
    return ((high - score.median()) / NormalDist().inv_cdf(_TAIL)).clamp(min=1e-3)
