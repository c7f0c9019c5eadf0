"""A cache larger than memory: shuffled blocks, read a window at a time and shuffled again inside it.

    blocks   whole shards, parts of a shard where it is large
    window   as many blocks as fit in `window_bytes`, drawn from the whole store without replacement
    batch    pairs drawn from the window without replacement; one that the window cannot fill goes on in the next

Memory is bounded by one window, the batches made ahead, and what is read at once: a block, or a whole shard where the
vectors lie in Parquet.

Shapes: B batch, D embedding dimension, M rows of a window (N x V), N crops of a window or block, V views.
"""

import hashlib
from collections.abc import Generator, Iterator
from contextlib import closing
from typing import Any

import torch
from torch import Tensor

from reseed.stages.training.cache.blocks import WHOLE, Block, Part, crop_bytes, cut, read_block, read_blocks
from reseed.stages.training.cache.pairs import Pairs
from reseed.stages.training.cache.prefetch import Prefetch
from reseed.stages.training.cache.reader import PairReader, seeded
from reseed.stages.training.cache.resident import pairs_at
from reseed.store import EmbeddingStore

WINDOW_BYTES = 512 << 20
PREFETCH = 16
_BLOCKS_PER_WINDOW = 8  # at least: no shard, however large, makes up more of a window than this


class StreamedPairs(PairReader):
    """Pairs from a cache of any size, read and shuffled by a background thread.

    The order is drawn on the CPU and depends on the window, but neither on the device nor on `prefetch`.

    Args:
        store: the cache.
        clean_view: index of the clean view among V.
        batch: pairs in a batch.
        seed: seeds the order of every epoch.
        device: where the batches go, by way of pinned memory if it is a CUDA device.
        window_bytes: vectors in memory at once, counted as float32; the larger, the better they are shuffled.
        prefetch: batches made ahead, 1 or more.
        part: which part of the cache.
    """

    kind = "streamed"

    def __init__(
        self,
        store: EmbeddingStore,
        *,
        clean_view: int,
        batch: int = 1,
        seed: int = 0,
        device: torch.device | str = "cpu",
        window_bytes: int = WINDOW_BYTES,
        prefetch: int = PREFETCH,
        part: Part = WHOLE,
    ) -> None:
        self._blocks = cut(store, window_bytes // _BLOCKS_PER_WINDOW, part)
        super().__init__(
            rows_per_epoch=part.crops(store) * len(store.views),
            clean_view=clean_view,
            batch=batch,
            seed=seed,
            device=device,
        )
        self.store, self.part, self.window_bytes, self.prefetch = store, part, window_bytes, prefetch
        self.window_crops = max(1, window_bytes // crop_bytes(store))
        self._plan_digest = hashlib.sha256(repr((self.window_crops, self._blocks)).encode()).hexdigest()[:16]

    def reordered(self, batch: int, seed: int) -> "StreamedPairs":
        """Return a reader of the same part of the store, with windows as large."""
        return StreamedPairs(
            self.store,
            clean_view=self.clean_view,
            batch=batch,
            seed=seed,
            device=self.device,
            window_bytes=self.window_bytes,
            prefetch=self.prefetch,
            part=self.part,
        )

    def blocks(self) -> Iterator[Tensor]:
        """Yield the cache block by block, float32 [N, V, D]."""
        return read_blocks(self.store, self.device, self.part)

    def _draw(self, epoch: int, start: int) -> Generator[Pairs, None, None]:
        with closing(Prefetch(self._host_batches(epoch, start), self.prefetch)) as ready:
            for pairs in ready:
                yield Pairs(
                    clean_BD=pairs.clean_BD.to(self.device, non_blocking=True),
                    noisy_BD=pairs.noisy_BD.to(self.device, non_blocking=True),
                )

    def _host_batches(self, epoch: int, start: int) -> Iterator[Pairs]:
        parts, room = [], self.batch
        for vectors_NVD, order_M in self._windows(epoch, start * self.batch):
            while len(order_M):
                index_B, order_M = order_M[:room], order_M[room:]
                parts.append(pairs_at(vectors_NVD, self.clean_view, index_B))
                room -= len(index_B)
                if room == 0:
                    yield self._joined(parts)
                    parts, room = [], self.batch
        if parts:
            yield self._joined(parts)

    def _windows(self, epoch: int, skip: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield each window [N, V, D] with the order of its rows [M], from pair `skip` of the epoch on."""
        buffer_NVD = torch.empty(self.window_crops, len(self.store.views), self.store.dim)
        plan = plan_windows(self._blocks, self.window_crops, seeded("cpu", self.seed, epoch))
        for number, window in enumerate(plan):
            n_pairs = sum(block.crops for block in window) * len(self.store.views)
            if skip < n_pairs:
                order_M = torch.randperm(n_pairs, generator=seeded("cpu", self.seed, epoch, number))
                yield self._read(window, buffer_NVD), order_M[skip:]
            skip = max(0, skip - n_pairs)

    def _read(self, window: list[Block], buffer_NVD: Tensor) -> Tensor:
        filled = 0
        for block in sorted(window):
            read_block(self.store, block, buffer_NVD[filled : filled + block.crops])
            filled += block.crops
        return buffer_NVD[:filled]

    def _joined(self, parts: list[Pairs]) -> Pairs:
        pairs = parts[0]
        if len(parts) > 1:
            clean_BD, noisy_BD = zip(*((part.clean_BD, part.noisy_BD) for part in parts), strict=True)
            pairs = Pairs(torch.cat(clean_BD), torch.cat(noisy_BD))
        if self.device.type == "cuda":
            pairs = Pairs(pairs.clean_BD.pin_memory(), pairs.noisy_BD.pin_memory())
        return pairs

    def _order(self) -> dict[str, Any]:
        return {**super()._order(), "blocks": self._plan_digest}


def plan_windows(blocks: list[Block], window_crops: int, generator: torch.Generator) -> Iterator[list[Block]]:
    """Yield all blocks in a random order, as windows of at most `window_crops`; no block may be larger than that."""
    window: list[Block] = []
    room = window_crops
    for index in torch.randperm(len(blocks), generator=generator).tolist():
        if blocks[index].crops > room:
            yield window
            window, room = [], window_crops
        window.append(blocks[index])
        room -= blocks[index].crops
    if window:
        yield window
