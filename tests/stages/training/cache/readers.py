"""Both readers over one small store, and what the tests look at: the identity of pairs and the worker threads."""

import hashlib
import threading
from collections.abc import Iterable

from reseed.stages.training.cache.blocks import load_vectors
from reseed.stages.training.cache.pairs import Pairs
from reseed.stages.training.cache.reader import PairReader
from reseed.stages.training.cache.resident import ResidentPairs
from reseed.stages.training.cache.stream import StreamedPairs
from reseed.store import EmbeddingStore

CROP_BYTES = 3 * 16 * 4  # of a store as `write_store` makes it: three views of sixteen float32
KINDS = ("resident", "streamed")


def make_reader(kind: str, store: EmbeddingStore, batch: int = 7, seed: int = 0, window_crops: int = 9) -> PairReader:
    """Return a reader whose batches and windows fit neither each other nor the shards."""
    clean_view = store.views.index("clean")
    if kind == "resident":
        return ResidentPairs(load_vectors(store), clean_view=clean_view, batch=batch, seed=seed)
    window_bytes = window_crops * CROP_BYTES
    return StreamedPairs(store, clean_view=clean_view, batch=batch, seed=seed, window_bytes=window_bytes, prefetch=2)


def digests(batches: Iterable[Pairs]) -> list[str]:
    """Return one digest per batch, over its pairs and their order."""
    return [
        hashlib.sha256(pairs.clean_BD.numpy().tobytes() + pairs.noisy_BD.numpy().tobytes()).hexdigest()[:16]
        for pairs in batches
    ]


def pair_bytes(batches: Iterable[Pairs]) -> list[tuple[bytes, bytes]]:
    """Return every pair (clean, noisy) as bytes, in the order given."""
    return [
        (clean_D.numpy().tobytes(), noisy_D.numpy().tobytes())
        for pairs in batches
        for clean_D, noisy_D in zip(pairs.clean_BD, pairs.noisy_BD, strict=True)
    ]


def workers() -> list[threading.Thread]:
    """Return the background threads that are alive."""
    return [thread for thread in threading.enumerate() if thread.name == "reseed-prefetch"]
