"""What every reader of training data is: batches that are a pure function of (seed, epoch, position).

Shapes: B batch, D embedding dimension, N utterances x crops, n of them in a piece, V views.
"""

import hashlib
import math
from abc import ABC, abstractmethod
from collections.abc import Generator, Iterator
from contextlib import closing
from dataclasses import Field
from typing import Any, ClassVar, Generic, Protocol, Self, TypeVar

import torch
from torch import Tensor

from reseed.stages.training.cache.pairs import Pairs
from reseed.store import StoreError


class Rows(Protocol):
    """A dataclass of tensors, each with a row for every example."""

    __dataclass_fields__: ClassVar[dict[str, Field[Any]]]

    def __len__(self) -> int: ...


Batch = TypeVar("Batch", bound=Rows)


class BatchReader(ABC, Generic[Batch]):
    """Gives every row of a training set once per epoch.

    Resuming goes on with exactly the batches that an uninterrupted run would have given:

        reader.load_state_dict(state)
        while reader.epoch < epochs:
            for batch in reader.batches(reader.epoch, reader.position):
                ...

    Attributes:
        kind: how the reader works, in a word.
        unit: what a row is, for those who read its logs.
        rows_per_epoch: how many there are.
        batch: rows in a batch; the last one of an epoch may hold fewer.
        device: where the batches lie.
        epoch, position: the epoch of the batch that comes next and how many were given before it in that epoch.
    """

    kind: str
    unit: str

    def __init__(self, *, rows_per_epoch: int, batch: int, seed: int, device: torch.device | str) -> None:
        self.rows_per_epoch = rows_per_epoch
        self.batch, self.seed, self.device = batch, seed, torch.device(device)
        self.epoch, self.position = 0, 0

    @property
    def batches_per_epoch(self) -> int:
        """Batches in an epoch, a last one that is not full included."""
        return math.ceil(self.rows_per_epoch / self.batch)

    def batches(self, epoch: int, start: int = 0) -> Iterator[Batch]:
        """Yield the batches of an epoch, on the device; close the iterator to leave it early.

        Args:
            epoch: any integer; each has an order of its own.
            start: batches to leave out at the front, 0..batches_per_epoch; they are not read.

        Raises:
            StoreError: what a batch is made of cannot be read.
        """
        if not 0 <= start <= self.batches_per_epoch:
            raise ValueError(f"start is {start}, an epoch has {self.batches_per_epoch} batches")
        with closing(self._draw(epoch, start)) as drawn:
            for given, batch in enumerate(drawn, start + 1):
                ended = given == self.batches_per_epoch
                self.epoch, self.position = (epoch + 1, 0) if ended else (epoch, given)
                yield batch

    def state_dict(self) -> dict[str, Any]:
        """Return the place after the last batch given, JSON-like: epoch, position, and whose order they belong to."""
        return {"epoch": self.epoch, "position": self.position, "order": self._order()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Resume at the place that `state_dict` returned.

        Raises:
            StoreError: it belongs to rows in another order; names what differs.
        """
        ours, theirs = self._order(), state["order"]
        differing = [name for name in sorted(ours.keys() | theirs.keys()) if ours.get(name) != theirs.get(name)]
        if differing:
            raise StoreError(
                "the saved place belongs to rows in another order: "
                + ", ".join(f"{name} was {theirs.get(name)!r} and is {ours.get(name)!r}" for name in differing)
                + "; start over"
            )
        self.epoch, self.position = state["epoch"], state["position"]

    @abstractmethod
    def _draw(self, epoch: int, start: int) -> Generator[Batch, None, None]:
        """Yield the batches of `epoch` from batch `start` on."""

    def _order(self) -> dict[str, Any]:
        """Return everything beside epoch and position that decides which rows a batch holds."""
        return {"kind": self.kind, "seed": self.seed, "batch": self.batch, self.unit: self.rows_per_epoch}


class PairReader(BatchReader[Pairs]):
    """Gives every vector of a cache, the clean ones too, beside the clean view of its own crop; float32 [B, D].

    Attributes:
        clean_view: index of the clean view among V.

    Raises:
        StoreError: a cache without vectors.
    """

    unit = "pairs"

    def __init__(
        self, *, rows_per_epoch: int, clean_view: int, batch: int, seed: int, device: torch.device | str
    ) -> None:
        if rows_per_epoch < 1:
            raise StoreError("the cache holds no vectors, so there are no pairs to read; see its rejects.parquet")
        super().__init__(rows_per_epoch=rows_per_epoch, batch=batch, seed=seed, device=device)
        self.clean_view = clean_view

    @abstractmethod
    def reordered(self, batch: int, seed: int) -> Self:
        """Return a reader of the same pairs in another order."""

    @abstractmethod
    def blocks(self) -> Iterator[Tensor]:
        """Yield the whole cache once, in its own order, in pieces float32 [n, V, D] on the device."""


def seeded(device: torch.device | str, *key: int) -> torch.Generator:
    """Return a generator whose stream belongs to `key`, e.g. (seed, epoch), and is unrelated to that of any other."""
    digest = hashlib.sha256(repr(key).encode()).digest()
    return torch.Generator(device).manual_seed(int.from_bytes(digest[:7]))
