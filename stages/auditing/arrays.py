"""Directions, lengths and hashes of vectors and ids.

Shapes: U utterances, D embedding dimension.
"""

from collections.abc import Sequence
from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray

Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]
Indices = NDArray[np.int64]
Counts = NDArray[np.int64]
Hashes = NDArray[np.uint64]
Mask = NDArray[np.bool_]


def unit(vectors: Float32) -> Float32:
    """Return vectors [..., D] of unit length; zeros where they have no direction."""
    norm = lengths(vectors)[..., None]
    usable = np.isfinite(norm) & (norm > 0)
    scaled = np.where(usable, vectors, 0.0) / np.where(usable, norm, 1.0)
    return scaled.astype(np.float32, copy=False)


def lengths(vectors: Float32) -> Float64:
    """Return the lengths of vectors [..., D]; in double precision, which no finite vector overflows."""
    norm: Float64 = np.sqrt(np.einsum("...d,...d->...", vectors, vectors, dtype=np.float64))
    return norm


def hashed_ids(ids: Sequence[str | None]) -> Hashes:
    """Return 64 bits of each id, the same in every process; 0 where there is none."""
    joined = b"".join(bytes(8) if name is None else blake2b(name.encode(), digest_size=8).digest() for name in ids)
    return np.frombuffer(joined, "<u8").astype(np.uint64)


def hashed_rows(vectors_UD: Float32) -> Hashes:
    """Return 64 bits of each row, equal where all bits of the rows are (multilinear hashing)."""
    bits = np.ascontiguousarray(vectors_UD).view(np.uint32)
    factors = np.random.default_rng(0).integers(1, 1 << 63, bits.shape[1], np.uint64) * 2 + 1
    hashed = np.zeros(len(bits), np.uint64)
    for column, factor in zip(bits.T, factors, strict=True):
        hashed += column * factor
    hashed ^= hashed >> np.uint64(29)
    return hashed
