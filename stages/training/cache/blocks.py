"""A store as blocks of whole crops: cut by a pure plan, read one at a time, checked as they are read.

Shapes: D embedding dimension, M rows (N x V), N crops of a block, V views.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from reseed.store import EmbeddingStore
from reseed.store.shards import EXTRACT_AGAIN

BLOCK_BYTES = 64 << 20  # bounds the copy in host memory on the way to a device


class Block(NamedTuple):
    """`crops` consecutive crops of one shard, from crop `first` on; blocks sort in the order of the store."""

    shard: int
    first: int
    crops: int


class Part(NamedTuple):
    """A part of every shard: all but the last utterances, a share of them, or those alone.

    The last, and not some at random, so that what is held out is the same whatever the seed, is often of other
    speakers, and can be left unread.
    """

    held_out: float = 0.0
    last: bool = False

    def stretch(self, crops: int, per_utterance: int) -> tuple[int, int]:
        """Return the first crop of this part, and the one after its last, in a shard of `crops`."""
        border = crops
        if self.held_out:
            border -= per_utterance * round(self.held_out * (crops // per_utterance))
        return (border, crops) if self.last else (0, border)

    def crops(self, store: EmbeddingStore) -> int:
        """Return N, how many crops of a store this part holds."""
        stretches = (self.stretch(shard.rows // len(store.views), store.crops) for shard in store.shards)
        return sum(stop - start for start, stop in stretches)


WHOLE = Part()


def crop_bytes(store: EmbeddingStore) -> int:
    """Return the bytes of one crop in all its views, as float32."""
    return len(store.views) * store.dim * torch.float32.itemsize


def cut(store: EmbeddingStore, limit_bytes: int, part: Part = WHOLE) -> list[Block]:
    """Cut a part of a store into blocks, in its own order: whole shards, or pieces of those above `limit_bytes`.

    Args:
        limit_bytes: of a block, counted as float32; a block has at least one crop.
    """
    limit = max(1, limit_bytes // crop_bytes(store))
    return [
        Block(position, first, min(limit, stop - first))
        for position, shard in enumerate(store.shards)
        for start, stop in [part.stretch(shard.rows // len(store.views), store.crops)]
        for first in range(start, stop, limit)
    ]


def read_block(store: EmbeddingStore, block: Block, target_NVD: Tensor) -> Tensor:
    """Copy the vectors of a block to `target_NVD`, float32 on any device, and return it.

    Raises:
        StoreError: the shard cannot be read, or holds vectors that are not finite; names the first such utterance.
    """
    n_views, reader = len(store.views), store.shard(block.shard)
    rows = slice(block.first * n_views, (block.first + block.crops) * n_views)
    host_NVD = target_NVD if target_NVD.device.type == "cpu" else torch.empty(target_NVD.shape)
    vectors_MD = host_NVD.view(-1, store.dim).numpy()
    np.copyto(vectors_MD, reader.vectors()[rows])
    if not np.isfinite(vectors_MD).all():
        reader.check_finite(reader.vectors(), EXTRACT_AGAIN)
    return target_NVD if target_NVD is host_NVD else target_NVD.copy_(host_NVD)


def read_blocks(store: EmbeddingStore, device: torch.device | str = "cpu", part: Part = WHOLE) -> Iterator[Tensor]:
    """Yield the vectors of a part of a store once, in its own order, block by block: float32 [N, V, D] on `device`.

    Raises:
        StoreError: as of `read_block`.
    """
    for block in cut(store, BLOCK_BYTES, part):
        yield read_block(store, block, torch.empty(block.crops, len(store.views), store.dim, device=device))


def load_vectors(store: EmbeddingStore, device: torch.device | str = "cpu", part: Part = WHOLE) -> Tensor:
    """Return the vectors of a store, or of a part of it, float32 [N, V, D] on `device`.

    Raises:
        StoreError: as of `read_block`.
    """
    vectors_NVD = torch.empty(part.crops(store), len(store.views), store.dim, device=device)
    filled = 0
    for block in cut(store, BLOCK_BYTES, part):
        read_block(store, block, vectors_NVD[filled : filled + block.crops])
        filled += block.crops
    return vectors_NVD
