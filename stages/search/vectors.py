"""The vectors that are searched: one of unit length for each utterance, in one view.

Shapes: U utterances, C crops, D embedding dimension.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reseed.store import EmbeddingStore, StoreError

Float32 = NDArray[np.float32]
Rows = NDArray[np.int64]

_BLOCK_ELEMENTS = 1 << 20  # of vectors at a time: 4 MB
_TINY = 1e-30


def view_index(store: EmbeddingStore, view: str) -> int:
    """Return the place of a view among those of a store.

    Raises:
        StoreError: there is no such view.
    """
    if view not in store.views:
        raise StoreError(f"{store.path} has the views {', '.join(store.views)}, not {view!r}; name one of them")
    return store.views.index(view)


def directions(vectors_UCD: NDArray[np.floating[Any]]) -> Float32:
    """Return one unit vector per utterance, [U, D]: crops to unit length, averaged, to unit length again.

    What has no direction (zero, or not finite) comes out as zeros: near to nothing.
    """
    unit_UCD = _unit(vectors_UCD.astype(np.float32))
    return unit_UCD[:, 0] if unit_UCD.shape[1] == 1 else _unit(unit_UCD.mean(axis=1))


def blocks(store: EmbeddingStore, view: str) -> Iterator[Float32]:
    """Yield the unit vectors of a view in the order of the store, a few thousand utterances at a time: [U, D]."""
    index, step = view_index(store, view), max(1, _BLOCK_ELEMENTS // (store.crops * store.dim))
    for vectors_UCVD in store.utterance_blocks():
        for first in range(0, len(vectors_UCVD), step):
            yield directions(vectors_UCVD[first : first + step, :, index])


def taken(store: EmbeddingStore, view: str, numbers: Rows) -> Float32:
    """Return the unit vectors of some utterances, by their numbers in the order of the store: [U, D]."""
    crops = np.arange(store.crops) * len(store.views) + view_index(store, view)
    rows_UC = numbers.reshape(-1, 1) * (store.crops * len(store.views)) + crops
    return directions(store.take(rows_UC.reshape(-1)).reshape(*rows_UC.shape, store.dim))


def _unit(vectors: Float32) -> Float32:
    """Scale vectors [..., D] of ours to unit length, in place."""
    with np.errstate(all="ignore"):
        square = np.einsum("...d,...d->...", vectors, vectors)
        odd = ~((square > _TINY) & (square < np.inf))  # or too small or too large for single precision
        wide = vectors[odd].astype(np.float64)
        vectors /= np.sqrt(square)[..., None]
        length = np.linalg.norm(wide, axis=-1, keepdims=True)
        vectors[odd] = np.where(np.isfinite(length) & (length > 0), wide / length, 0.0)
    return vectors
