"""The whole cache on the device: an epoch is one permutation of row numbers.

Shapes: B batch, D embedding dimension, M rows (N x V), N utterances x crops, V views.
"""

from collections.abc import Generator, Iterator
from typing import Any

import torch
from torch import Tensor

from reseed.stages.training.cache.pairs import Pairs
from reseed.stages.training.cache.reader import PairReader, seeded


class ResidentPairs(PairReader):
    """Pairs from a cache that lies on the device as a whole.

    The permutation is drawn where the vectors lie, so that a CPU and a GPU give different orders.

    Args:
        vectors_NVD: float32.
        clean_view: index of the clean view among V.
        batch: pairs in a batch.
        seed: seeds the order of every epoch.
    """

    kind = "resident"

    def __init__(self, vectors_NVD: Tensor, *, clean_view: int, batch: int = 1, seed: int = 0) -> None:
        rows = vectors_NVD.shape[:2].numel()
        super().__init__(rows_per_epoch=rows, clean_view=clean_view, batch=batch, seed=seed, device=vectors_NVD.device)
        self.vectors_NVD = vectors_NVD

    def reordered(self, batch: int, seed: int) -> "ResidentPairs":
        """Return a reader of the same vectors, which are not copied."""
        return ResidentPairs(self.vectors_NVD, clean_view=self.clean_view, batch=batch, seed=seed)

    def blocks(self) -> Iterator[Tensor]:
        """Yield the cache, float32 [N, V, D], in one piece."""
        yield self.vectors_NVD

    def order(self, epoch: int) -> Tensor:
        """Return the rows [M] in the order in which `epoch` gives them."""
        generator = seeded(self.device, self.seed, epoch)
        return torch.randperm(self.rows_per_epoch, generator=generator, device=self.device)

    def _draw(self, epoch: int, start: int) -> Generator[Pairs, None, None]:
        for index_B in self.order(epoch).split(self.batch)[start:]:
            yield pairs_at(self.vectors_NVD, self.clean_view, index_B)

    def _order(self) -> dict[str, Any]:
        return {**super()._order(), "device": self.device.type}


def pairs_at(vectors_NVD: Tensor, clean_view: int, index_B: Tensor) -> Pairs:
    """Return rows `index_B` of the cache, taken as [M, D], each beside the clean view of its crop."""
    rows_MD = vectors_NVD.flatten(0, 1)
    clean_B = index_B - index_B % vectors_NVD.shape[1] + clean_view
    # On a CPU several times as fast as rows_MD[index_B].
    return Pairs(clean_BD=rows_MD.index_select(0, clean_B), noisy_BD=rows_MD.index_select(0, index_B))
