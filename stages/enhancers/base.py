"""What every enhancer is: a map from an embedding to a better one, made purely from cached vectors.

Shapes: B batch, D embedding dimension, N crops of a block, V views.

    Enhancer             statistics in closed form (`fit`), then a map (`enhance`)
    └── TrainedEnhancer  adds a `loss`, minimised by AdamW over (noisy, clean) pairs

A new enhancer is one file with its Config and class, and one line in the table of `stages.enhancers`.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar, Literal, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from stages.section import Section


@dataclass(frozen=True)
class Pairs:
    """A batch of aligned embeddings: row i of both is the same crop of the same utterance."""

    clean_BD: Tensor
    noisy_BD: Tensor

    def __len__(self) -> int:
        return len(self.noisy_BD)


class TrainingSettings(Section):
    """How a trained enhancer is optimised; the defaults for lr and weight_decay are SEED's (arXiv 2505.16798)."""

    epochs: int = Field(default=100, ge=1, description="passes over all (noisy, clean) pairs of the cache")
    batch: int = Field(default=1024, ge=1, description="pairs per optimiser step")
    lr: float = Field(default=5e-4, gt=0, description="AdamW's learning rate once it is warm")
    weight_decay: float = Field(default=5e-5, ge=0, description="AdamW's decoupled weight decay")
    schedule: Literal["constant", "cosine"] = Field(default="constant", description="course of lr; cosine ends at 0")
    warmup_steps: int = Field(default=0, ge=0, description="first steps, over which lr rises to its full value")
    grad_clip: float | None = Field(default=None, gt=0, description="bound on the norm of all gradients together")
    ema: float = Field(default=0.0, ge=0, lt=1, description="decay of the average of the weights that is kept; 0: none")
    precision: Literal["float32", "bfloat16", "float16"] = Field(
        default="float32", description="of the matrix products in the loss, by autocast; weights stay float32"
    )
    compile: bool = Field(default=False, description="let torch compile the networks")
    held_out: float = Field(
        default=0.0, ge=0, lt=1, description="share of the utterances kept for a validation EER; the best epoch is kept"
    )
    patience: int | None = Field(default=None, ge=1, description="epochs without a better validation EER, then stop")

    @model_validator(mode="after")
    def _can_be_patient(self) -> Self:
        if self.patience is not None and self.held_out == 0:
            raise ValueError("patience waits for the validation EER: set held_out too, e.g. to 0.1")
        return self


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


class TrainedEnhancer(Enhancer):
    """An enhancer whose map is trained by gradient descent; its Config is a `TrainingSettings`."""

    Config: ClassVar[type[TrainingSettings]]
    config: TrainingSettings

    def loss(self, pairs: Pairs, generator: torch.Generator) -> Tensor:
        """Return the scalar training loss of a batch.

        Args:
            generator: the only source of randomness; on the device of the pairs.
        """
        raise NotImplementedError
