"""The cache as training reads it: batches of (clean, noisy) pairs, from the device or from a stream.

PairReader           every pair once per epoch, in an order drawn from the seed, resumable at any batch
├── ResidentPairs    the whole cache on the device
└── StreamedPairs    a window of it in memory, the rest on disk
"""

import torch

from reseed.stages.training.cache.blocks import WHOLE, Part, crop_bytes, crops_in
from reseed.stages.training.cache.memory import free_bytes
from reseed.stages.training.cache.reader import PairReader
from reseed.stages.training.cache.resident import ResidentPairs, load_vectors
from reseed.stages.training.cache.stream import StreamedPairs
from reseed.store import EmbeddingStore, StoreError


def open_pairs(
    store: EmbeddingStore,
    *,
    batch: int,
    seed: int,
    device: torch.device | str = "cpu",
    clean_view: str = "clean",
    resident_limit_bytes: int | None = None,
    part: Part = WHOLE,
) -> PairReader:
    """Return a reader of a store's pairs: resident where its vectors fit on the device, else a stream.

    The two give the same pairs in different orders.

    Args:
        batch: pairs in a batch.
        seed: seeds the order of every epoch.
        device: where the batches go.
        clean_view: the view that every vector is paired with.
        resident_limit_bytes: of vectors as float32; None for half of the memory that is free on the device.
        part: which part of the store.

    Raises:
        StoreError: no such view, no vectors, or, where they are loaded here, vectors that cannot be used.
    """
    if clean_view not in store.views:
        raise StoreError(f"{store.path} has no view {clean_view!r}; it has {', '.join(store.views)}")
    order = {"clean_view": store.views.index(clean_view), "batch": batch, "seed": seed}
    limit = free_bytes(device) // 2 if resident_limit_bytes is None else resident_limit_bytes
    if crops_in(store) * crop_bytes(store) <= limit:
        return ResidentPairs(load_vectors(store, device, part), **order)
    return StreamedPairs(store, **order, device=device, part=part)
