"""Counts, means, histograms and extremes of numbers, added up block by block.

Shapes: H bins, N vectors, D embedding dimension.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from reseed.stages.auditing.arrays import Counts, Float32, Float64
from reseed.stages.auditing.blocks import RowKey

Key = TypeVar("Key")

COSINE_EDGES = np.linspace(-1, 1, 201)
MOST_ROWS = 10  # of the most extreme


@dataclass
class Tally:
    """Count, mean, spread and least of a number."""

    count: int = 0
    total: float = 0.0
    squares: float = 0.0
    least: float = np.inf

    @classmethod
    def of(cls, values: NDArray[np.floating[Any]]) -> Self:
        """Tally some numbers."""
        wide = values.astype(np.float64)
        return cls(wide.size, float(wide.sum()), float((wide**2).sum()), float(wide.min(initial=np.inf)))

    def add(self, other: "Tally") -> None:
        """Take in what another tally has counted."""
        self.count += other.count
        self.total += other.total
        self.squares += other.squares
        self.least = min(self.least, other.least)

    @property
    def mean(self) -> float:
        return self.total / self.count if self.count else float("nan")

    @property
    def spread(self) -> float:
        """Standard deviation."""
        return float(np.sqrt(max(self.squares / self.count - self.mean**2, 0.0))) if self.count else float("nan")


def add_tallies(tallies: dict[Key, Tally], others: Mapping[Key, Tally], most: float = np.inf) -> None:
    """Add tallies by their key, `most` keys at most."""
    for key, tally in others.items():
        if key in tallies or len(tallies) < most:
            tallies.setdefault(key, Tally()).add(tally)


@dataclass(frozen=True)
class Outlier:
    """One of the rows with the most extreme values, and what was added to its recording."""

    value: float
    key: RowKey
    snr_db: float | None = None
    noise_ids: tuple[str, ...] = ()
    rir_id: str | None = None


def lowest(rows: Iterable[Outlier]) -> list[Outlier]:
    """Return the few rows of the lowest values, the same in whatever order they came."""
    return sorted(rows, key=lambda row: (row.value, row.key))[:MOST_ROWS]


def highest(rows: Iterable[Outlier]) -> list[Outlier]:
    """Return the few rows of the highest values, the same in whatever order they came."""
    return sorted(rows, key=lambda row: (-row.value, row.key))[:MOST_ROWS]


def quantile(count_H: Counts, edges: Float64, share: float) -> float | None:
    """Return the value below which a share of a histogram lies, as the middle of its bin."""
    if not count_H.sum():
        return None
    place = int(np.searchsorted(np.cumsum(count_H), share * count_H.sum()))
    return float((edges[place] + edges[place + 1]) / 2)


class Moments:
    """Count, sum [D] and second moment [D, D] of vectors, added up."""

    def __init__(self, dim: int) -> None:
        self.count = 0
        self.sum_D: Float64 = np.zeros(dim)
        self.second_DD: Float64 = np.zeros((dim, dim))

    @classmethod
    def of(cls, vectors_ND: Float32) -> Self:
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
    def mean_D(self) -> Float64:
        return self.sum_D / max(self.count, 1)

    @property
    def covariance_DD(self) -> Float64:
        mean_D = self.mean_D
        return self.second_DD / max(self.count, 1) - np.outer(mean_D, mean_D)

    @property
    def effective_rank(self) -> float:
        """The exponential of the entropy of the covariance's eigenvalues (Roy and Vetterli, EUSIPCO 2007): 1 to D."""
        values_D = np.linalg.eigvalsh(self.covariance_DD).clip(min=0)
        if not values_D.sum() > 0:
            return 0.0
        share_D = values_D / values_D.sum()
        share_D = share_D[share_D > 0]
        return float(np.exp(-(share_D * np.log(share_D)).sum()))
