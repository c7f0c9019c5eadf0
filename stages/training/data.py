"""What a training reads: pairs to learn from and, where some are held out, utterances to judge it by."""

from dataclasses import dataclass

from reseed.stages.training.cache.blocks import Part
from reseed.stages.training.cache.open import open_pairs
from reseed.stages.training.cache.reader import PairReader
from reseed.stages.training.cache.resident import load_vectors
from reseed.stages.training.validation import HeldOut
from reseed.store import EmbeddingStore, StoreError

CLEAN_VIEW = "clean"
_FEWEST = 2


@dataclass(frozen=True)
class Data:
    """Pairs of the utterances that are trained on, and those held out, if any."""

    pairs: PairReader
    held_out: HeldOut | None


def open_data(
    source: EmbeddingStore,
    *,
    batch: int,
    held_out: float,
    seed: int,
    device: str = "cpu",
    resident_limit_bytes: int | None = None,
) -> Data:
    """Open a store for training.

    Args:
        batch: pairs in a batch.
        held_out: share of the utterances of each shard that are kept for validation.
        seed: seeds the order of the pairs.
        resident_limit_bytes: as of `reseed.stages.training.cache.open_pairs`.

    Raises:
        StoreError: a store that cannot be trained on, or too few utterances to hold some out.
    """
    check_trainable(source)
    pairs = open_pairs(
        source,
        batch=batch,
        seed=seed,
        device=device,
        clean_view=CLEAN_VIEW,
        resident_limit_bytes=resident_limit_bytes,
        part=Part(held_out),
    )
    return Data(pairs, _held_out(source, pairs, held_out, device) if held_out else None)


def check_trainable(source: EmbeddingStore) -> None:
    """Check that a store has what training needs.

    Raises:
        StoreError: fewer than two utterances, no view "clean", or no other view.
    """
    views = ", ".join(source.views)
    if CLEAN_VIEW not in source.views:
        raise StoreError(f"{source.path} has no view {CLEAN_VIEW!r} to train towards, only {views}; extract with it")
    if len(source.views) < 2:
        raise StoreError(f"{source.path} has the view {views} alone; extract it with a noisy view too")
    if source.header.stored < _FEWEST:
        raise StoreError(f"{source.path}: {coverage(source)}, training needs 2 or more; see its rejects.parquet")


def coverage(source: EmbeddingStore) -> str:
    """Return how many utterances a store has, in words."""
    return f"{source.header.stored} of {source.header.expected} utterances stored, {source.header.rejected} rejected"


def _held_out(source: EmbeddingStore, pairs: PairReader, share: float, device: str) -> HeldOut:
    vectors_NVD = load_vectors(source, "cpu", Part(share, last=True))  # a few of them go to the device
    held, kept = len(vectors_NVD) // source.crops, pairs.pairs_per_epoch // len(source.views) // source.crops
    if min(held, kept) < _FEWEST:
        raise StoreError(
            f"{source.path}: held_out={share} keeps {kept} utterances to train on and {held} to validate with, and "
            f"either needs {_FEWEST} or more; change held_out, or compact the store if its shards are small"
        )
    return HeldOut.of(vectors_NVD, source.crops, pairs.clean_view).to(device)
