"""What every enhancer is: a map from an embedding to a better one, made purely from cached vectors.

Shapes: B batch, D embedding dimension, M rows, N crops of a block, V views.

    Enhancer             statistics in closed form (`fit`), then a map (`enhance`)
    └── TrainedEnhancer  adds a `loss`, minimised by AdamW over (noisy, clean) pairs

A new enhancer is one file with its Config and class, and one line in the table of `reseed.stages.enhancers`.
"""

from collections.abc import Iterable
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from reseed.stages.common.section import Section
from reseed.stages.training.cache.pairs import Pairs
from reseed.stages.training.loop import Trainable
from reseed.stages.training.settings import TrainingSettings

_BLOCK_ROWS = 65_536  # bounds the memory of a network's hidden layers: 128 MiB each at D=256


class Enhancer(nn.Module):
    """Maps embeddings of one space to better ones, frame of reference and dimension D being its own.

    Everything learnt is a parameter or a registered buffer, so that it is saved with the weights. The class
    docstring's first line becomes the title of the model card.

    Args:
        config: an instance of the class's own `Config`.
        dim: embedding dimension D, the same going in and coming out.
    """

    Config: ClassVar[type[Section]]

    def __init__(self, config: Section, dim: int) -> None:
        super().__init__()
        self.config = config
        self.dim = dim

    def fit(self, blocks: Iterable[Tensor], view_names: list[str], crops: int = 1) -> None:
        """Set statistics that have a closed form from the whole cache; most enhancers have none.

        Args:
            blocks: the cached vectors, float32 [N, V, D] in each, the views in the order of `view_names`; they can be
                iterated once, and need not fit in memory together.
            crops: crops of one utterance, which follow each other; a block may end between two of them.

        Raises:
            StoreError: vectors from which the statistics cannot be computed.
        """

    def enhance(self, embedding_BD: Tensor, generator: torch.Generator) -> Tensor:
        """Return the enhanced embeddings [B, D], float32.

        Args:
            embedding_BD: as the backbone gave them, whatever their length.
            generator: the only source of randomness; may live on another device than the embeddings.
        """
        raise NotImplementedError


class TrainedEnhancer(Enhancer, Trainable[Pairs]):
    """An enhancer whose map is trained by gradient descent; its Config is a `TrainingSettings`."""

    Config: ClassVar[type[TrainingSettings]]
    config: TrainingSettings


@torch.inference_mode()
def enhance_vectors(
    enhancer: Enhancer, vectors_MD: NDArray[np.floating], generator: torch.Generator, device: str = "cpu"
) -> NDArray[np.float32]:
    """Return the enhanced vectors, float32 [M, D], computed block by block."""
    enhanced_MD = np.empty(vectors_MD.shape, np.float32)
    for start in range(0, len(vectors_MD), _BLOCK_ROWS):
        rows = slice(start, start + _BLOCK_ROWS)
        embedding_BD = torch.from_numpy(np.array(vectors_MD[rows], np.float32)).to(device)
        enhanced_MD[rows] = enhancer.enhance(embedding_BD, generator).cpu().numpy()
    return enhanced_MD
