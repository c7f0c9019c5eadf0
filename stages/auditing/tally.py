"""What is gathered block by block, and how two of it become one: counts, means, moments and the least of many.

Shapes: H bins, N vectors, D embedding dimension.
"""

from dataclasses import dataclass, field, fields
from typing import Any, Generic, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from reseed.stages.auditing.arrays import Counts, Float32, Float64, Indices
from reseed.stages.auditing.blocks import AuditedBlock, RowKey

COSINE_EDGES = np.linspace(-1, 1, 201)
MOST_ROWS = 10  # of the most extreme

Value = TypeVar("Value")
Item = TypeVar("Item", bound=Any)  # that can be sorted


@dataclass
class Accumulator:
    """What is gathered: of one block at first, of a whole store once all blocks are added, in whatever order.

    Two of a kind are added field by field: numbers, arrays and lists as such, dictionaries by their keys, accumulators
    as they say; of two rows the lesser is kept.
    """

    def add(self, other: Self) -> None:
        """Take in what another block says; `other` is of no use afterwards."""
        for part in fields(self):
            setattr(self, part.name, _added(getattr(self, part.name), getattr(other, part.name)))


def _added(first: Any, second: Any) -> Any:
    if isinstance(first, Accumulator):
        first.add(second)
    elif isinstance(first, RowKey):
        return min(first, second)
    elif isinstance(first, dict):
        first |= {key: _added(first[key], value) if key in first else value for key, value in second.items()}
    else:
        return first + second
    return first


@dataclass
class Least(Accumulator, Generic[Item]):
    """The least of many items, in their order."""

    items: list[Item] = field(default_factory=list)
    most: int = MOST_ROWS

    def add(self, other: Self) -> None:
        """Keep the least of both."""
        self.items = sorted([*self.items, *other.items])[: self.most]


@dataclass
class Tally(Accumulator):
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

    def add(self, other: Self) -> None:
        """Take in what another tally has counted."""
        least = min(self.least, other.least)
        super().add(other)
        self.least = least

    @property
    def mean(self) -> float:
        return self.total / self.count if self.count else float("nan")

    @property
    def spread(self) -> float:
        """Standard deviation."""
        return float(np.sqrt(max(self.squares / self.count - self.mean**2, 0.0))) if self.count else float("nan")


@dataclass(frozen=True, order=True)
class Outlier:
    """One of the rows with the lowest values, and what was added to its recording."""

    value: float
    key: RowKey
    snr_db: float | None = field(default=None, compare=False)
    noise_ids: tuple[str, ...] = field(default=(), compare=False)
    rir_id: str | None = field(default=None, compare=False)


def outliers(block: AuditedBlock, row_S: Indices, value_S: Float32 | Float64) -> Least[Outlier]:
    """Name those of some rows of a block that have the lowest values; what is not known is infinite."""
    found = []
    for place in np.argsort(value_S, kind="stable")[:MOST_ROWS].tolist():
        if np.isfinite(value_S[place]):
            row, snr_db = int(row_S[place]), float(block.snr_UCV.ravel()[row_S[place]])
            added = block.added(row)
            found.append(Outlier(float(value_S[place]), block.key(row), None if np.isnan(snr_db) else snr_db, *added))
    return Least(found)


def quantile(count_H: Counts, edges: Float64, share: float) -> float | None:
    """Return the value below which a share of a histogram lies, as the middle of its bin."""
    if not count_H.sum():
        return None
    place = int(np.searchsorted(np.cumsum(count_H), share * count_H.sum()))
    return float((edges[place] + edges[place + 1]) / 2)


@dataclass
class Moments(Accumulator):
    """Count, sum [D] and second moment [D, D] of vectors."""

    count: int
    sum_D: Float64
    second_DD: Float64

    @classmethod
    def of(cls, vectors_ND: Float32) -> Self:
        second_DD = (vectors_ND.T @ vectors_ND).astype(np.float64)
        return cls(len(vectors_ND), vectors_ND.sum(axis=0, dtype=np.float64), second_DD)

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
