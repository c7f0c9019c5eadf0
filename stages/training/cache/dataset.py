"""A store as a map-style data set of PyTorch, for a training loop of one's own.

Shapes: D embedding dimension, N utterances x crops.
"""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from reseed.store import EmbeddingStore, StoreError


class StoreDataset(Dataset[tuple[Tensor, ...]]):
    """Aligned vectors of some views, and by request the speaker's number: item i is crop i of the store.

    An item is a tuple of float32 tensors [D], one for each view in the order given, whatever the store holds; with
    `speakers` followed by a number, int64. A `DataLoader` reads whole batches in one go, and gives tensors [B, D] and
    [B]. Its workers may be forked or spawned: nothing is held open, and each maps the files itself.

    Attributes:
        views: names of the views.
        speakers: names of the speakers by their number, sorted; empty unless asked for.

    Raises:
        StoreError: no such view, none at all, or speakers asked for of whom some are unknown.

    Example:
        >>> from reseed import EmbeddingStore, StoreDataset
        >>> from torch.utils.data import DataLoader
        >>> data = StoreDataset(EmbeddingStore("stores/train"), views=("clean", "noise"), speakers=True)
        >>> clean_BD, noisy_BD, speaker_B = next(iter(DataLoader(data, batch_size=8, shuffle=True)))
        >>> clean_BD.shape, noisy_BD.dtype, speaker_B.shape
        (torch.Size([8, 16]), torch.float32, torch.Size([8]))
        >>> loader = DataLoader(data, batch_size=512, num_workers=2)  # the same batches, read by two processes
    """

    def __init__(self, store: EmbeddingStore, views: Sequence[str] = ("clean",), *, speakers: bool = False) -> None:
        if isinstance(views, str) or not views:
            raise StoreError(f"{store.path}: views are names in a list, e.g. ('clean', 'noise'); got {views!r}")
        if missing := [view for view in views if view not in store.views]:
            raise StoreError(f"{store.path}: no view {missing[0]!r}; there are {', '.join(store.views)}")
        self._store, self.views = store, tuple(views)
        self._places_V = np.array([store.views.index(view) for view in views])
        self.speakers: list[str] = []
        self._speaker_N: NDArray[np.int64] | None = None
        if speakers:
            self.speakers, self._speaker_N = _numbered(store)

    def __len__(self) -> int:
        return len(self._store) // len(self._store.views)

    def __getitem__(self, index: int) -> tuple[Tensor, ...]:
        if not -len(self) <= index < len(self):
            raise IndexError(f"{self._store.path} has {len(self)} crops; there is no number {index}")
        return self.__getitems__([index % len(self)])[0]

    def __getitems__(self, indices: list[int]) -> list[tuple[Tensor, ...]]:
        """Return several items, read in one go; PyTorch asks for batches by this name."""
        numbers = np.asarray(indices, np.int64)
        rows = numbers[:, None] * len(self._store.views) + self._places_V
        vectors = self._store.take(rows.ravel()).astype(np.float32)
        columns = list(torch.from_numpy(vectors).reshape(len(numbers), len(self.views), -1).unbind(1))
        if self._speaker_N is not None:
            columns.append(torch.from_numpy(self._speaker_N[numbers]))
        return list(zip(*columns, strict=True))


def _numbered(store: EmbeddingStore) -> tuple[list[str], NDArray[np.int64]]:
    """Return the speakers' names and the number of each crop's speaker, [N]."""
    names = store.speaker_ids()
    if unknown := names.count(None):
        raise StoreError(
            f"{store.path} does not say who speaks in {unknown:,} of its {len(names):,} utterances; leave speakers out"
        )
    found, number_U = np.unique([str(name) for name in names], return_inverse=True)
    return found.tolist(), np.repeat(number_U.astype(np.int64), store.crops)
