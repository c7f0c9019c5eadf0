"""A cache's blocks, and whole utterances of unit vectors of them.

Shapes: C crops, D embedding dimension, K = C x V vectors of an utterance, N crops of a block, U utterances, V views.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from reseed.store import StoreError

_CHUNK_ROWS = 65_536  # bounds the float64 copy of the cache: 128 MiB at D=256


@dataclass(frozen=True)
class Blocks:
    """Blocks [N, V, D] that can be iterated again and again: each time `read` begins anew."""

    read: Callable[[], Iterator[Tensor]]

    def __iter__(self) -> Iterator[Tensor]:
        return self.read()


def whole_utterances(blocks: Iterable[Tensor], crops: int) -> Iterator[Tensor]:
    """Yield the blocks [N, V, D] as unit vectors of whole utterances, float64 [U, C x V, D], not too many at a time.

    Raises:
        StoreError: after the last whole utterance some crops are left over.
    """
    rest_NVD: Tensor | None = None
    for block_NVD in blocks:
        for chunk_NVD in block_NVD.split(max(1, _CHUNK_ROWS // block_NVD.shape[1])):
            joined_NVD = chunk_NVD if rest_NVD is None else torch.cat([rest_NVD, chunk_NVD])
            whole = len(joined_NVD) - len(joined_NVD) % crops
            rest_NVD = joined_NVD[whole:]
            unit_NVD = F.normalize(joined_NVD[:whole].double(), dim=-1)
            yield unit_NVD.reshape(-1, crops * unit_NVD.shape[1], unit_NVD.shape[2])
    if rest_NVD is not None and len(rest_NVD):
        raise StoreError(f"the cache ends with {len(rest_NVD)} of the {crops} crops of an utterance; extract it again")


def unit_utterances(blocks: Iterable[Tensor], crops: int) -> Iterator[Tensor]:
    """Yield unit vectors of whole utterances, float32 [U, C, V, D].

    Raises:
        StoreError: after the last whole utterance some crops are left over.
    """
    for unit_UKD in whole_utterances(blocks, crops):
        yield unit_UKD.float().unflatten(1, (crops, -1))


def sampled_utterances(blocks: Iterable[Tensor], crops: int, most: int) -> Tensor:
    """Return unit vectors of `most` utterances or fewer, evenly spread over the cache: float32 [U, C, V, D].

    Args:
        blocks: can be iterated more than once.
    """
    step = max(1, -(-sum(map(len, blocks)) // (crops * most)))
    kept, seen = [], 0
    for unit_UCVD in unit_utterances(blocks, crops):
        kept.append(unit_UCVD[-seen % step :: step])
        seen += len(unit_UCVD)
    return torch.cat(kept)
