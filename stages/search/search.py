"""Search among the utterances of a store: exactly, or by the index that is kept beside it.

Shapes: D embedding dimension, Q queries, K neighbours.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reseed.stages.search.exact import nearest_among
from reseed.stages.search.index import LARGE, RECALL_AT, Index, build_index, is_installed, open_index, ranked
from reseed.stages.search.vectors import Float32, Rows, blocks, directions, taken, view_index
from reseed.store import EmbeddingStore, StoreError

_QUERIES = 1024  # at a time, by an index


@dataclass(frozen=True)
class Neighbour:
    """An utterance that is near to another one, by cosine."""

    utterance_id: str
    speaker_id: str | None
    cosine: float


@dataclass(frozen=True)
class Search:
    """What answers questions for neighbours in one view of a store; index None: exactly."""

    store: EmbeddingStore
    view: str
    index: Index | None = None

    @property
    def recall(self) -> float | None:
        """Share of the 10 nearest that the index finds, as measured when it was made; None: search is exact."""
        return None if self.index is None else self.index.about.recall

    def in_words(self) -> str:
        """Return how it searches."""
        if self.recall is None:
            return "exact, of every utterance"
        return f"by an index, which finds {self.recall:.1%} of the {RECALL_AT} nearest"

    def blocks(self, most: int) -> Iterator[Float32]:
        """Yield the unit vectors of all utterances in the order of the store, [U, D], so many at a time at most."""
        for unit_UD in blocks(self.store, self.view):
            yield from (unit_UD[first : first + most] for first in range(0, len(unit_UD), most))

    def nearest(self, query_QD: NDArray[np.floating[Any]], count: int) -> tuple[Rows, Float32]:
        """Return the utterances nearest to each query by cosine: their numbers and cosines [Q, K], the nearest first.

        Numbers are those of `store.utterance_ids()`. Of an index a number may be -1, with a cosine of minus infinity,
        where it has fewer candidates. Memory is flat: a block of vectors, or of queries and their candidates.

        Args:
            query_QD: of any length.
            count: K; fewer where the store has not so many utterances.
        """
        unit_QD = directions(query_QD[:, None])
        if self.index is None:
            return nearest_among(blocks(self.store, self.view), unit_QD, count)
        found = [
            ranked(self.store, self.view, self.index, unit_QD[first : first + _QUERIES], count)
            for first in range(0, max(1, len(unit_QD)), _QUERIES)
        ]
        return np.concatenate([rows for rows, _ in found]), np.concatenate([cosines for _, cosines in found])

    def nearest_to(
        self, utterance_id: str, speakers: Mapping[str, str | None], count: int, *, view: str | None = None
    ) -> list[Neighbour]:
        """Return the other utterances that are nearest to one of the store.

        Args:
            speakers: utterance -> who speaks, in the order of the store.
            view: of the one asked about; None: the view that is searched.

        Raises:
            StoreError: it is not stored, or has no such view.
        """
        names = list(speakers)
        if utterance_id not in speakers:
            raise StoreError(f"{self.store.path}: no utterance {utterance_id[:80]!r} among {len(names)} stored")
        own = np.array([names.index(utterance_id)])
        found_1K, cosine_1K = without(own, *self.nearest(taken(self.store, view or self.view, own), count + 1))
        found = zip(found_1K[0].tolist(), cosine_1K[0].tolist(), strict=True)
        return [Neighbour(names[row], speakers[names[row]], cosine) for row, cosine in found if row >= 0]


def search_in(store: EmbeddingStore | str | Path, view: str, *, index: bool | None = None) -> Search:
    """Return what searches in a view of a store.

    Args:
        index: True: make the index where it is missing; None: use it where it is there; False: search exactly. Of
            several stores read as one there is none.

    Raises:
        ConfigError: an index is asked for, and faiss is not installed.
        StoreError: no store, or no such view.
    """
    opened = store if isinstance(store, EmbeddingStore) else EmbeddingStore(store)
    view_index(opened, view)
    found = None if index is False or len(opened.stores) > 1 else open_index(opened, view)
    if found is None and index and len(opened.stores) == 1:  # of several read as one there is none
        found = build_index(opened, view)
    return Search(opened, view, found)


def without(own_Q: Rows, row_QK: Rows, cosine_QK: Float32) -> tuple[Rows, Float32]:
    """Return neighbours [Q, K - 1] without the query itself; where it is not among them, without the last."""
    is_own_QK = row_QK == own_Q[:, None]
    is_own_QK[~is_own_QK.any(axis=1), -1:] = True
    shape = (len(row_QK), row_QK.shape[1] - 1)
    return row_QK[~is_own_QK].reshape(shape), cosine_QK[~is_own_QK].reshape(shape)


def is_worth_an_index(store: EmbeddingStore) -> bool:
    """Whether the neighbours of all utterances of a store are found sooner by an index, and one can be made."""
    return store.header.stored >= LARGE and is_installed()


def neighbours(
    store: EmbeddingStore | str | Path,
    queries: NDArray[np.floating[Any]],
    k: int = 10,
    *,
    view: str = "clean",
    index: bool | None = None,
) -> tuple[Rows, Float32]:
    """Return the utterances of a store nearest to some vectors: numbers and cosines [Q, K]; see `Search.nearest`.

    Args:
        queries: [Q, D], of any length.
        index: as of `search_in`.

    Raises:
        ConfigError, StoreError: as `search_in`.
    """
    return search_in(store, view, index=index).nearest(queries, k)
