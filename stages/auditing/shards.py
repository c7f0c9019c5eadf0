"""Whether the shards of a store are of one kind: each should lie where the others spread.

Shapes: D embedding dimension, K directions kept of a shard.
"""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Sketch = tuple[NDArray[np.float32], NDArray[np.float32]]  # energies [K] and their directions [D, K]

_KEPT_K = 32
_SHARE = 0.8  # of the others' energy, that the directions span by which a shard is judged
_EACH = 256  # shards, up to which each is compared with the others alone; beyond, with all


class Moments:
    """Count, sum [D] and second moment [D, D] of vectors, added up."""

    def __init__(self, dim: int) -> None:
        self.count = 0
        self.sum_D: Floats = np.zeros(dim)
        self.second_DD: Floats = np.zeros((dim, dim))

    @classmethod
    def of(cls, vectors_ND: NDArray[np.float32]) -> "Moments":
        moments = cls(vectors_ND.shape[1])
        moments.count = len(vectors_ND)
        moments.sum_D = vectors_ND.sum(axis=0, dtype=np.float64)
        moments.second_DD = (vectors_ND.T @ vectors_ND).astype(np.float64)
        return moments

    def add(self, other: "Moments") -> None:
        self.count += other.count
        self.sum_D = self.sum_D + other.sum_D
        self.second_DD = self.second_DD + other.second_DD

    @property
    def mean_D(self) -> Floats:
        return self.sum_D / max(self.count, 1)

    @property
    def covariance_DD(self) -> Floats:
        mean_D = self.mean_D
        covariance: Floats = self.second_DD / max(self.count, 1) - np.outer(mean_D, mean_D)
        return covariance


def effective_rank(covariance_DD: Floats) -> float:
    """Return the exponential of the entropy of the eigenvalues (Roy and Vetterli, EUSIPCO 2007), from 1 to D."""
    values_D = np.linalg.eigvalsh(covariance_DD).clip(min=0)
    if not values_D.sum() > 0:
        return 0.0
    share_D = values_D / values_D.sum()
    share_D = share_D[share_D > 0]
    return float(np.exp(-(share_D * np.log(share_D)).sum()))


def sketch(moments: Moments) -> Sketch:
    """Return the main directions of a shard and the energy along each; none where it has no vector."""
    if not moments.count:
        return np.zeros(0, np.float32), np.zeros((len(moments.sum_D), 0), np.float32)
    value_D, axes_DD = np.linalg.eigh(moments.second_DD / moments.count)
    kept = slice(-_KEPT_K, None)
    return value_D[kept].clip(min=0).astype(np.float32), np.ascontiguousarray(axes_DD[:, kept], np.float32)


def captured(sketches: Mapping[int, Sketch]) -> dict[int, float]:
    """Return how much of each shard's energy lies where the other shards spread, a fraction.

    The second moment of a shard of the same backbone is spanned by the main directions of the others, whoever speaks
    in it; that of another backbone is not.

    Args:
        sketches: of the unit vectors of each; nothing is said of fewer than two.
    """
    filled = {number: found for number, found in sketches.items() if found[0].size}
    if len(filled) < 2:
        return {}
    total_DD: Floats = sum((_restored(found) for found in filled.values()), np.zeros((1, 1)))
    shares = {}
    everything_DK = _spanning(total_DD) if len(filled) > _EACH else None
    for number, (value_K, axes_DK) in filled.items():
        rest_DK = _spanning(total_DD - _restored((value_K, axes_DK))) if everything_DK is None else everything_DK
        inside_K = ((rest_DK.T @ axes_DK) ** 2).sum(axis=0)
        shares[number] = float((value_K * inside_K).sum() / value_K.sum())
    return shares


def _restored(found: Sketch) -> Floats:
    value_K, axes_DK = found
    restored: Floats = ((axes_DK * value_K) @ axes_DK.T).astype(np.float64)
    return restored


def _spanning(second_DD: Floats) -> Floats:
    """Return the fewest main directions that hold `_SHARE` of the energy, [D, K]."""
    value_D, axes_DD = np.linalg.eigh(second_DD)
    share_D = np.cumsum(value_D[::-1]) / value_D.sum()
    return axes_DD[:, ::-1][:, : int(np.searchsorted(share_D, _SHARE)) + 1]
