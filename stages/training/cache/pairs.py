"""What an enhancer learns from: aligned embeddings.

Shapes: B batch, D embedding dimension.
"""

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class Pairs:
    """A batch of aligned embeddings: row i of both is the same crop of the same utterance."""

    clean_BD: Tensor
    noisy_BD: Tensor

    def __len__(self) -> int:
        return len(self.noisy_BD)
