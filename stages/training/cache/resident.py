"""The whole cache on the device: an epoch is one permutation of row numbers.

Shapes: B batch, D embedding dimension, M rows (N x V), N utterances x crops, V views.
"""

from collections.abc import Generator, Iterator
from typing import Any

import torch
from torch import Tensor

from reseed.stages.training.cache.blocks import WHOLE, Part, crops_of, cut, read_block
from reseed.stages.training.cache.pairs import Pairs
from reseed.stages.training.cache.reader import PairReader, seeded
from reseed.store import EmbeddingStore

_BLOCK_BYTES = 64 << 20  # bounds the copy in host memory on the way to a device


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

    def __init__(self, vectors_NVD: Tensor, *, clean_view: int, batch: int, seed: int) -> None:
        n_pairs = vectors_NVD.shape[:2].numel()
        super().__init__(
            pairs_per_epoch=n_pairs, clean_view=clean_view, batch=batch, seed=seed, device=vectors_NVD.device
        )
        self.vectors_NVD = vectors_NVD

    def blocks(self) -> Iterator[Tensor]:
        """Yield the cache, float32 [N, V, D], in one piece."""
        yield self.vectors_NVD

    def order(self, epoch: int) -> Tensor:
        """Return the rows [M] in the order in which `epoch` gives them."""
        generator = seeded(self.device, self.seed, epoch)
        return torch.randperm(self.pairs_per_epoch, generator=generator, device=self.device)

    def _draw(self, epoch: int, start: int) -> Generator[Pairs, None, None]:
        for index_B in self.order(epoch).split(self.batch)[start:]:
            yield pairs_at(self.vectors_NVD, self.clean_view, index_B)

    def _order(self) -> dict[str, Any]:
        return {**super()._order(), "device": self.device.type}


def load_vectors(store: EmbeddingStore, device: torch.device | str = "cpu", part: Part = WHOLE) -> Tensor:
    """Return the vectors of a store, or of a part of it, float32 [N, V, D] on `device`.

    Raises:
        StoreError: a vector is not finite; names the first such utterance.
    """
    blocks = cut(store, _BLOCK_BYTES, part)
    vectors_NVD = torch.empty(crops_of(blocks), len(store.views), store.dim, device=device)
    filled = 0
    for block in blocks:
        read_block(store, block, vectors_NVD[filled : filled + block.crops])
        filled += block.crops
    return vectors_NVD


def pairs_at(vectors_NVD: Tensor, clean_view: int, index_B: Tensor) -> Pairs:
    """Return rows `index_B` of the cache, taken as [M, D], each beside the clean view of its crop."""
    rows_MD = vectors_NVD.flatten(0, 1)
    clean_B = index_B - index_B % vectors_NVD.shape[1] + clean_view
    # On a CPU several times as fast as rows_MD[index_B].
    return Pairs(clean_BD=rows_MD.index_select(0, clean_B), noisy_BD=rows_MD.index_select(0, index_B))
