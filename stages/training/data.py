"""What an enhancer is trained on: vectors of a store to learn from and, where some are held out, to validate with.

Shapes: D embedding dimension, N utterances x crops, V views.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from reseed.stages.training.cache.blocks import BLOCK_BYTES, Part, crops_of, cut, load_vectors, read_blocks
from reseed.stages.training.cache.memory import free_bytes
from reseed.stages.training.cache.reader import PairReader
from reseed.stages.training.cache.resident import ResidentPairs
from reseed.stages.training.cache.stream import StreamedPairs
from reseed.stages.training.process_group import ONE_PROCESS, ProcessGroup
from reseed.stages.training.validation import HeldOutUtterances
from reseed.store import EmbeddingStore, StoreError

CLEAN_VIEW = "clean"
_FEWEST = 2


@dataclass(frozen=True)
class TrainingData:
    """The vectors that are trained on, in memory or streamed from disk, and those held out.

    Attributes:
        part: of the store that is trained on.
        vectors_NVD: that part on the device, float32; None where it is streamed.
        held_out: None where everything is trained on.
    """

    store: EmbeddingStore
    part: Part
    device: torch.device
    vectors_NVD: Tensor | None
    held_out: HeldOutUtterances | None

    def __len__(self) -> int:
        """How many pairs there are."""
        return crops_of(cut(self.store, BLOCK_BYTES, self.part)) * len(self.store.views)

    @property
    def kind(self) -> str:
        """How the vectors are read, in a word."""
        return StreamedPairs.kind if self.vectors_NVD is None else ResidentPairs.kind

    def pairs(self, batch: int, seed: int) -> PairReader:
        """Return a reader that gives every vector beside the clean view of its own crop.

        Args:
            batch: pairs in a batch.
            seed: seeds the order of every epoch; that of a stream is another than that of vectors in memory.
        """
        clean_view = self.store.views.index(CLEAN_VIEW)
        if self.vectors_NVD is not None:
            return ResidentPairs(self.vectors_NVD, clean_view=clean_view, batch=batch, seed=seed)
        return StreamedPairs(
            self.store, clean_view=clean_view, batch=batch, seed=seed, device=self.device, part=self.part
        )

    def blocks(self) -> Iterator[Tensor]:
        """Yield the vectors once, in the order of the store, in pieces float32 [N, V, D] on the device."""
        if self.vectors_NVD is not None:
            return iter([self.vectors_NVD])
        return read_blocks(self.store, self.device, self.part)


def open_data(
    store: EmbeddingStore,
    held_out: float,
    device: torch.device,
    resident_limit_bytes: int | None = None,
    group: ProcessGroup = ONE_PROCESS,
) -> TrainingData:
    """Open a store for training.

    Args:
        held_out: share of the utterances of each shard that are kept for validation.
        resident_limit_bytes: a store larger than this, as float32, is streamed; None for half of the memory that is
            free on the device.
        group: the processes that open it together.

    Raises:
        StoreError: a store that cannot be trained on, or too few utterances to hold some out.
    """
    _check_trainable(store)
    part = Part(held_out)
    if resident_limit_bytes is None:  # one for all processes, which on the CPU share what is free
        free = free_bytes(device) // 2 // (group.size if device.type == "cpu" else 1)
        resident_limit_bytes = group.broadcast(free)
    resident = len(store) * store.dim * torch.float32.itemsize <= resident_limit_bytes
    vectors_NVD = load_vectors(store, device, part) if resident else None
    validation = _held_out(store, held_out).to(device) if held_out else None
    return TrainingData(store, part, device, vectors_NVD, validation)


def coverage(store: EmbeddingStore) -> str:
    """Return how many utterances a store has, in words."""
    return f"{store.header.stored} of {store.header.expected} utterances stored, {store.header.rejected} rejected"


def _check_trainable(store: EmbeddingStore) -> None:
    views = ", ".join(store.views)
    if CLEAN_VIEW not in store.views:
        raise StoreError(f"{store.path} has no view {CLEAN_VIEW!r} to train towards, only {views}; extract with it")
    if len(store.views) < 2:
        raise StoreError(f"{store.path} has the view {views} alone; extract it with a noisy view too")
    if store.header.stored < _FEWEST:
        raise StoreError(f"{store.path}: {coverage(store)}, training needs 2 or more; see its rejects.parquet")


def _held_out(store: EmbeddingStore, share: float) -> HeldOutUtterances:
    vectors_NVD = load_vectors(store, "cpu", Part(share, last=True))  # a few of them go to the device
    held = len(vectors_NVD) // store.crops
    kept = store.header.stored - held
    if min(held, kept) < _FEWEST:
        raise StoreError(
            f"{store.path}: held_out={share} keeps {kept} utterances to train on and {held} to validate with, and "
            f"either needs {_FEWEST} or more; change held_out, or compact the store if its shards are small"
        )
    return HeldOutUtterances.of(vectors_NVD, store.crops, store.views.index(CLEAN_VIEW))
