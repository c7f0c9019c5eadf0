"""Pairs of vectors that all but coincide, exactly or by hashing.

By random hyperplanes (Charikar, STOC 2002): vectors that agree in all bits of a band are compared by all their bits,
and what remains by its cosine.

Shapes: U and P utterances of two stores, D embedding dimension, W words of a signature.
"""

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from reseed.stages.auditing.arrays import Float32, Hashes, Indices, Mask

NEAR = 0.99  # cosine of centred vectors from which on two utterances are taken for one recording

_BANDS, _BAND_BITS = 8, 24
_WORDS = _BANDS * _BAND_BITS // 64
_MOST_BITS = 24  # that may differ; at a cosine of `NEAR` 9 do, of vectors without relation 96
_WINDOW = 8  # neighbours in the order of a band that are looked at
_BLOCK = 2048
MOST_PAIRS = 20_000  # that are looked at

Pairs = NDArray[np.int64]


def signatures(centred_UD: Float32, usable_U: Mask, block: int) -> Hashes:
    """Return on which side of random hyperplanes each vector lies, [U, W]; at random where it has no direction."""
    planes = np.random.default_rng(1).standard_normal((centred_UD.shape[1], _WORDS * 64), np.float32)
    bits = np.packbits(centred_UD @ planes > 0, axis=1)
    signature_UW = np.ascontiguousarray(bits).view("<u8").astype(np.uint64)
    lost = np.flatnonzero(~usable_U)
    signature_UW[lost] = np.random.default_rng([2, block]).integers(1 << 63, size=(len(lost), _WORDS), dtype=np.uint64)
    return signature_UW


def equal_pairs(hash_U: Hashes) -> Pairs:
    """Return neighbours among rows of equal hashes, [P, 2]: of n equal ones n - 1 pairs; `MOST_PAIRS` at most."""
    order = np.argsort(hash_U, kind="stable")
    same = np.flatnonzero(hash_U[order][1:] == hash_U[order][:-1])[:MOST_PAIRS]
    return np.stack([order[same], order[same + 1]], axis=1)


def near_pairs(unit_UD: Float32, others_PD: Float32 | None = None) -> Pairs:
    """Return all pairs [P, 2] of a cosine of `NEAR` or more, each once, or those across two sets; `MOST_PAIRS` at most.

    Args:
        unit_UD, others_PD: centred vectors of unit length.
    """
    among = others_PD is None
    second_PD = unit_UD if others_PD is None else others_PD
    found = [np.empty((0, 2), np.int64)]
    for first in range(0, len(unit_UD), _BLOCK):
        for second in range(first if among else 0, len(second_PD), _BLOCK):
            cosine = unit_UD[first : first + _BLOCK] @ second_PD[second : second + _BLOCK].T
            if cosine.max(initial=-1) < NEAR:  # cheaper to know than where
                continue
            pairs = np.argwhere(cosine >= NEAR) + np.array([first, second])
            found.append(pairs[pairs[:, 0] < pairs[:, 1]] if among else pairs)
            if sum(map(len, found)) > MOST_PAIRS:
                return np.concatenate(found)[:MOST_PAIRS]
    return np.concatenate(found)


def hashed_pairs(signature_UW: Hashes) -> Pairs:
    """Return the pairs [P, 2] whose signatures all but agree, each once: of near ones nearly all."""
    found = []
    for band in _bands(signature_UW):
        order = np.lexsort((signature_UW[:, 0], band))
        for step in range(1, _WINDOW + 1):
            same = np.flatnonzero(band[order[step:]] == band[order[:-step]])
            first, second = order[same], order[same + step]
            differing = np.bitwise_count(signature_UW[first] ^ signature_UW[second]).sum(axis=1, dtype=np.int64)
            close = differing <= _MOST_BITS
            found.append(np.sort(np.stack([first[close], second[close]], axis=1), axis=1)[:MOST_PAIRS])
    return np.unique(np.concatenate(found), axis=0)[:MOST_PAIRS]


def confirmed(
    pair_P2: Pairs,
    unit_of: Callable[[Indices], Float32],
    others_of: Callable[[Indices], Float32] | None = None,
) -> tuple[Pairs, Float32]:
    """Keep the pairs whose vectors have a cosine of `NEAR`, and return it.

    Args:
        unit_of, others_of: rows of the one store, and of the other where there are two -> their centred vectors of
            unit length.
    """
    kept, cosines = [np.empty((0, 2), np.int64)], [np.empty(0, np.float32)]
    for first in range(0, len(pair_P2), _BLOCK):
        pairs = pair_P2[first : first + _BLOCK]
        cosine = np.einsum("pd,pd->p", unit_of(pairs[:, 0]), (others_of or unit_of)(pairs[:, 1]))
        kept.append(pairs[cosine >= NEAR])
        cosines.append(cosine[cosine >= NEAR])
    return np.concatenate(kept), np.concatenate(cosines)


def _bands(signature_UW: Hashes) -> Iterator[NDArray[np.uint32]]:
    bytes_UB = np.ascontiguousarray(signature_UW).view(np.uint8).reshape(len(signature_UW), -1)
    for band in range(_BANDS):
        three = bytes_UB[:, 3 * band : 3 * band + 3].astype(np.uint32)
        yield (three * np.array([1 << 16, 1 << 8, 1], np.uint32)).sum(axis=1, dtype=np.uint32)
