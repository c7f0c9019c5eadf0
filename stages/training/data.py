"""What an enhancer is trained on: vectors of a store to learn from and, where some are held out, to validate with."""

from dataclasses import dataclass

import torch

from reseed.stages.training.cache.blocks import Part, load_vectors
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
    """What is trained on, and what is held out to validate with.

    Attributes:
        pairs: every vector beside the clean view of its own crop; `reordered` puts them in batches.
        held_out: None where everything is trained on.
    """

    pairs: PairReader
    held_out: HeldOutUtterances | None


def open_data(
    store: EmbeddingStore,
    held_out: float,
    device: torch.device,
    resident_limit_bytes: int | None = None,
    group: ProcessGroup = ONE_PROCESS,
    needs_noise: bool = True,
) -> TrainingData:
    """Open a store for training.

    Args:
        held_out: share of the utterances of each shard that are kept for validation.
        resident_limit_bytes: a store larger than this, as float32, is streamed; None for half of the memory that is
            free on the device.
        group: the processes that open it together.
        needs_noise: whether there must be a clean view and another one.

    Raises:
        StoreError: a store that cannot be trained on, or too few utterances to hold some out.
    """
    _check_trainable(store, held_out, needs_noise)
    part = Part(held_out)
    if resident_limit_bytes is None:  # one for all processes, which on the CPU share what is free
        free = free_bytes(device) // 2 // (group.size if device.type == "cpu" else 1)
        resident_limit_bytes = group.broadcast(free)
    resident = len(store) * store.dim * torch.float32.itemsize <= resident_limit_bytes
    vectors_NVD = load_vectors(store, device, part) if resident else None
    last_NVD = load_vectors(store, "cpu", Part(held_out, last=True)) if held_out else None  # few go to the device
    clean_view = store.views.index(CLEAN_VIEW) if CLEAN_VIEW in store.views else 0
    validation = None
    if last_NVD is not None:
        validation = HeldOutUtterances.of(last_NVD, store.crops, clean_view).to(device)
    if vectors_NVD is not None:
        return TrainingData(ResidentPairs(vectors_NVD, clean_view=clean_view), validation)
    return TrainingData(StreamedPairs(store, clean_view=clean_view, device=device, part=part), validation)


def coverage(store: EmbeddingStore) -> str:
    """Return how many utterances a store has, in words."""
    return f"{store.header.stored} of {store.header.expected} utterances stored, {store.header.rejected} rejected"


def _check_trainable(store: EmbeddingStore, share: float, needs_noise: bool) -> None:
    views = ", ".join(store.views)
    if needs_noise and CLEAN_VIEW not in store.views:
        raise StoreError(f"{store.path} has no view {CLEAN_VIEW!r} to train towards, only {views}; extract with it")
    if needs_noise and len(store.views) < 2:
        raise StoreError(f"{store.path} has the view {views} alone; extract it with a noisy view too")
    if store.header.stored < _FEWEST:
        raise StoreError(f"{store.path}: {coverage(store)}, training needs 2 or more; see its rejects.parquet")
    kept = Part(share).crops(store) // store.crops
    held_out = store.header.stored - kept
    if share and min(held_out, kept) < _FEWEST:
        raise StoreError(
            f"{store.path}: held_out={share} keeps {kept} utterances to train on and {held_out} to validate with, and "
            f"either needs {_FEWEST} or more; change held_out, or compact the store if its shards are small"
        )
