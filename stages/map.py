"""`reseed map`: map a store of one side into the space that an alignment shares. No audio is opened."""

from pathlib import Path

from reseed.stages.aligners.base import Side
from reseed.stages.aligners.learning import map_by
from reseed.store.url import AnyPath


def map_store(*, store: AnyPath, model: Path, side: Side, mapped: Path) -> str:
    """Map every vector of a store, shard by shard, and return one sentence on it; see `map_by` for what each is.

    Raises:
        ModelError: the alignment is missing or damaged, or the store is of the other side or of neither.
        StoreError: the store is missing or damaged, holds vectors that are not finite, or is `mapped` itself.
    """
    return map_by(model, store, side, mapped)
