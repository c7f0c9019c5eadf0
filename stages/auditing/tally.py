"""Counts, means and spreads of numbers, added up block by block."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

Key = TypeVar("Key")


@dataclass
class Tally:
    """Count, mean, spread and greatest of a number."""

    count: int = 0
    total: float = 0.0
    squares: float = 0.0
    greatest: float = -np.inf

    @classmethod
    def of(cls, values: NDArray[np.floating[Any]]) -> "Tally":
        """Tally some numbers."""
        wide = values.astype(np.float64)
        return cls(wide.size, float(wide.sum()), float((wide**2).sum()), float(wide.max(initial=-np.inf)))

    def add(self, other: "Tally") -> None:
        """Take in what another tally has counted."""
        self.count += other.count
        self.total += other.total
        self.squares += other.squares
        self.greatest = max(self.greatest, other.greatest)

    @property
    def mean(self) -> float:
        return self.total / self.count if self.count else float("nan")

    @property
    def spread(self) -> float:
        """Standard deviation."""
        return float(np.sqrt(max(self.squares / self.count - self.mean**2, 0.0))) if self.count else float("nan")


def add_tallies(mine: dict[Key, Tally], theirs: Mapping[Key, Tally], most: float = np.inf) -> None:
    """Add tallies by their key, `most` keys at most."""
    for key, tally in theirs.items():
        if key in mine or len(mine) < most:
            mine.setdefault(key, Tally()).add(tally)
