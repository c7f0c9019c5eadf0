"""What every enhancer is: a map from an embedding to a better one, made purely from cached vectors.

Shapes: B batch, D embedding dimension, K dimensions of what comes out, M rows, N crops of a block, V views.

    Enhancer             statistics in closed form (`fit`), then a map (`enhance`)
    ├── MappingEnhancer  whose map is one matrix on centred unit vectors
    └── TrainedEnhancer  adds a `loss`, minimised by AdamW over (noisy, clean) pairs

A new enhancer is one file with its Config and class, and one line in the table of `reseed.stages.enhancers`.
"""

from collections.abc import Iterable, Sequence
from typing import ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from reseed.stages.common.section import Section
from reseed.stages.training.cache.pairs import Pairs
from reseed.stages.training.loop import Trainable
from reseed.stages.training.settings import TrainingSettings

Speakers = Sequence[str | None]  # of utterances, in the order of the cache; None: not known

_BLOCK_ROWS = 65_536  # bounds the memory of a network's hidden layers: 128 MiB each at D=256


class Enhancer(nn.Module):
    """Maps embeddings of one space to better ones, in a space of their own.

    Everything learnt is a parameter or a registered buffer, so that it is saved with the weights. The class
    docstring's first line becomes the title of the model card.

    Args:
        config: an instance of the class's own `Config`.
        dim: embedding dimension D going in.
    """

    Config: ClassVar[type[Section]]

    def __init__(self, config: Section, dim: int) -> None:
        super().__init__()
        self.config = config
        self.dim = dim

    @property
    def dim_out(self) -> int:
        """Dimension of what comes out; most enhancers keep D."""
        return self.dim

    @property
    def needs_noise(self) -> bool:
        """Whether it learns from what noise does to clean vectors; what does not learns from any store."""
        return True

    @property
    def adapts(self) -> bool:
        """Whether it learns from the store that is enhanced, too (`adapt`)."""
        return False

    def fit(self, blocks: Iterable[Tensor], view_names: list[str], crops: int = 1, speakers: Speakers = ()) -> None:
        """Set statistics that have a closed form from the whole cache; most enhancers have none.

        Args:
            blocks: the cached vectors, float32 [N, V, D] in each, the views in the order of `view_names`; they can be
                iterated as often as need be, and need not fit in memory together.
            crops: crops of one utterance, which follow each other; a block may end between two of them.
            speakers: of each utterance, for the few steps that need to know; empty: nobody is known.

        Raises:
            StoreError: vectors from which the statistics cannot be computed.
        """

    def remark(self) -> str:
        """Return what fitting found, where that is worth a line in the log and on the model card; else nothing."""
        return ""

    def adapt(self, blocks: Iterable[Tensor], crops: int, speakers: int) -> None:
        """Take up what the store that is about to be enhanced tells, for `enhance_block`; most enhancers take nothing.

        Args:
            blocks: its vectors, as for `fit`; each ends with an utterance.
            crops: crops of each utterance.
            speakers: how many there are; where that is not known, how many utterances.
        """

    def enhance(self, embedding_BD: Tensor, generator: torch.Generator) -> Tensor:
        """Return the enhanced embeddings [B, dim_out], float32.

        Args:
            embedding_BD: as the backbone gave them, whatever their length.
            generator: the only source of randomness; may live on another device than the embeddings.
        """
        raise NotImplementedError

    def enhance_block(self, block_NVD: Tensor, generator: torch.Generator, first: int = 0) -> Tensor:
        """Return the enhanced embeddings [N, V, dim_out] of the store that it has adapted to, if it adapts.

        Args:
            first: where the block begins in that store, in crops.
        """
        return self.enhance(block_NVD.flatten(0, 1), generator).unflatten(0, block_NVD.shape[:2])


class MappingEnhancer(Enhancer):
    """An enhancer that is one matrix: z = normalise((normalise(x) - mean) map); `fit` sets both."""

    mean_D: Tensor
    map_DD: Tensor

    def __init__(self, config: Section, dim: int) -> None:
        super().__init__(config, dim)
        self.register_buffer("mean_D", torch.zeros(dim))
        self.register_buffer("map_DD", torch.eye(dim))

    def enhance(self, embedding_BD: Tensor, generator: torch.Generator) -> Tensor:
        """Return unit vectors [B, D]; deterministic."""
        return F.normalize((F.normalize(embedding_BD, dim=-1) - self.mean_D) @ self.map_DD, dim=-1)


class TrainedEnhancer(Enhancer, Trainable[Pairs]):
    """An enhancer whose map is trained by gradient descent; its Config is a `TrainingSettings`."""

    Config: ClassVar[type[TrainingSettings]]
    config: TrainingSettings


@torch.inference_mode()
def enhance_vectors(
    enhancer: Enhancer,
    vectors_MD: NDArray[np.floating],
    generator: torch.Generator,
    device: str = "cpu",
    views: int | None = None,
    first: int = 0,
) -> NDArray[np.float32]:
    """Return the enhanced vectors, float32 [M, K], computed block by block.

    Args:
        views: how many each crop has, one after the other, in the store that the enhancer has adapted to; None for
            vectors of no store.
        first: where these vectors begin in that store, in crops.
    """
    enhanced_MK = np.empty((len(vectors_MD), enhancer.dim_out), np.float32)
    step = _BLOCK_ROWS if views is None else max(1, _BLOCK_ROWS // views) * views
    for start in range(0, len(vectors_MD), step):
        embedding_BD = torch.from_numpy(np.array(vectors_MD[start : start + step], np.float32)).to(device)
        if views is None:
            enhanced_BK = enhancer.enhance(embedding_BD, generator)
        else:
            block_NVD = embedding_BD.unflatten(0, (-1, views))
            enhanced_BK = enhancer.enhance_block(block_NVD, generator, first + start // views).flatten(0, 1)
        enhanced_MK[start : start + step] = enhanced_BK.cpu().numpy()
    return enhanced_MK
