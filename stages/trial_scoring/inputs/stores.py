"""The stores of one side of trials: one, or several of one space, as enrolments of an old and a new backbone are.

Shapes: U utterances, C crops, V views, D embedding dimension.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from reseed.store import EmbeddingStore, ScoringError

Crops = NDArray[np.floating[Any]]


class SideStores:
    """Stores of one space, one after another; of an utterance that several hold, the first one's vectors count.

    Attributes:
        ids_U: the utterances, each once.
        shadowed: how many are in further stores too.
    """

    def __init__(self, *stores: EmbeddingStore) -> None:
        self._stores = stores
        ids = pa.array([name for store in stores for name in store.utterance_ids()], pa.string())
        codes = ids.dictionary_encode().indices.to_numpy()
        self._kept = np.zeros(len(ids), np.bool_)
        self._kept[np.unique(codes, return_index=True)[1]] = True
        self.ids_U: pa.StringArray = ids.filter(pa.array(self._kept))
        self.shadowed = len(ids) - len(self.ids_U)

    @property
    def name(self) -> str:
        """Their paths, for messages."""
        return " and ".join(str(store.path) for store in self._stores)

    def blocks(self, view: str) -> Iterator[Crops]:
        """Yield the vectors of the utterances in one view, [u, C, D], in the order of `ids_U`."""
        start = 0
        for store in self._stores:
            index = store.views.index(view)
            for crops_UCVD in store.utterance_blocks():
                kept_U = self._kept[start : start + len(crops_UCVD)]
                start += len(crops_UCVD)
                yield crops_UCVD[:, :, index] if kept_U.all() else crops_UCVD[kept_U, :, index]

    def check_crops(self) -> None:
        """Check that utterances have as many crops in every store.

        Raises:
            ScoringError: they do not; says how many each has.
        """
        if len({store.crops for store in self._stores}) > 1:
            found = ", ".join(f"{store.path} {store.crops}" for store in self._stores)
            raise ScoringError(
                f"crops of an utterance that are compared one by one must be as many: {found}; score by a scorer of "
                "means, e.g. cosine"
            )
