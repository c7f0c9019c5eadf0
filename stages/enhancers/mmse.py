"""The clean embedding that a noisy one lets expect, where both are Gaussian: MMSE and i-MAP.

Over unit vectors x (clean) and y (any view of the same crop, the clean one too), with means and covariances over all:

    mmse   x and y are jointly Gaussian:    E[x | y] = mean_x + S_xy S_yy^-1 (y - mean_y)
    imap   y = x + n, n Gaussian and independent of x:  (S_n^-1 + S_xx^-1)^-1 (S_n^-1 (y - mean_n) + S_xx^-1 mean_x),
           which is mean_x + S_xx (S_xx + S_n)^-1 (y - mean_y)
    z = normalise(what is expected - mean_x)

i-MAP (Ben Kheder, Matrouf, Bonastre, Ajili and Bousquet, ICASSP 2015) and MMSE (Ben Kheder, Matrouf, Ajili and
Bonastre, Odyssey 2016) have a noise of their own for each recording; here n is all noise that was trained on.

Shapes: B batch, D embedding dimension, N crops of a block, V views.
"""

from abc import abstractmethod
from collections.abc import Iterable

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from reseed.stages.common.section import Section
from reseed.stages.enhancers.base import MappingEnhancer, Speakers
from reseed.stages.training.data import CLEAN_VIEW


class MmseConfig(Section):
    """Settings of the MMSE estimate.

    Attributes:
        shrinkage: added to the diagonal of the covariance that is inverted, as a multiple of its mean eigenvalue.
    """

    shrinkage: float = Field(default=0.01, gt=0)


class ImapConfig(MmseConfig):
    """Settings of i-MAP."""


class _Expected(MappingEnhancer):
    """Maps a vector to the clean one that is expected, about its mean."""

    config: MmseConfig

    @abstractmethod
    def covariances(self, clean_DD: Tensor, cross_DD: Tensor, noisy_DD: Tensor) -> tuple[Tensor, Tensor]:
        """Return what is inverted and what it is multiplied with, of S_xx, S_yx and S_yy."""

    def fit(self, blocks: Iterable[Tensor], view_names: list[str], crops: int = 1, speakers: Speakers = ()) -> None:
        """Set the mean of all vectors and the map, in one pass over the blocks [N, V, D]."""
        clean_view, rows = view_names.index(CLEAN_VIEW), 0
        sums, squares = torch.zeros(()), torch.zeros(())
        for block_NVD in blocks:
            noisy_BD = F.normalize(block_NVD.double(), dim=-1).flatten(0, 1)
            clean_BD = noisy_BD[clean_view :: len(view_names)].repeat_interleave(len(view_names), dim=0)
            both_BE = torch.cat([clean_BD, noisy_BD], dim=1)
            rows, sums, squares = rows + len(both_BE), sums + both_BE.sum(dim=0), squares + both_BE.T @ both_BE
        mean_E = sums / rows
        covariance_EE = squares / rows - mean_E.outer(mean_E)
        clean, noisy = slice(0, self.dim), slice(self.dim, None)
        inverted_DD, factor_DD = self.covariances(
            covariance_EE[clean, clean], covariance_EE[noisy, clean], covariance_EE[noisy, noisy]
        )
        load = self.config.shrinkage * inverted_DD.trace() / self.dim
        loaded_DD = inverted_DD + load * torch.eye(self.dim, dtype=inverted_DD.dtype, device=inverted_DD.device)
        self.mean_D.copy_(mean_E[noisy])
        self.map_DD.copy_(torch.linalg.solve(loaded_DD, factor_DD))


class Mmse(_Expected):
    """MMSE: the clean vector that a noisy one lets expect, both being jointly Gaussian."""

    Config = MmseConfig

    def covariances(self, clean_DD: Tensor, cross_DD: Tensor, noisy_DD: Tensor) -> tuple[Tensor, Tensor]:
        return noisy_DD, cross_DD


class Imap(_Expected):
    """i-MAP: the most probable clean vector, where noise is Gaussian, independent of it, and added."""

    Config = ImapConfig

    def covariances(self, clean_DD: Tensor, cross_DD: Tensor, noisy_DD: Tensor) -> tuple[Tensor, Tensor]:
        noise_DD = clean_DD + noisy_DD - cross_DD - cross_DD.T
        return clean_DD + noise_DD, clean_DD
