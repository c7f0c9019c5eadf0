"""How anything is trained: settings that the loop in `reseed.stages.training` follows."""

from collections.abc import Iterator
from typing import Literal

from pydantic import Field

from reseed.stages.common.section import Conflict, Section


class TrainingSettings(Section):
    """How a trained enhancer is optimised; the defaults of lr and weight_decay are SEED's (arXiv 2505.16798).

    Attributes:
        epochs: passes over all that it is trained on: of an enhancer, all (noisy, clean) pairs.
        batch: how many of these make a step of the optimiser.
        lr: AdamW's learning rate once it is warm.
        weight_decay: AdamW's decoupled weight decay.
        schedule: course of lr after the warm-up; cosine ends at 0.
        warmup_steps: first steps, over which lr rises to its full value.
        grad_clip: bound on the norm of all gradients together; null: none.
        ema: decay of the moving average of the weights that is kept; 0: the last weights are.
        precision: precision of the matrix products in the loss, by autocast; weights stay float32.
        compile: let torch compile the networks.
        held_out: share of the utterances kept for a validation EER, by which the best epoch is kept; 0: the last is.
        patience: stop after so many epochs without a better validation EER; null: never.
    """

    epochs: int = Field(default=100, ge=1)
    batch: int = Field(default=1024, ge=1)
    lr: float = Field(default=5e-4, gt=0)
    weight_decay: float = Field(default=5e-5, ge=0)
    schedule: Literal["constant", "cosine"] = "constant"
    warmup_steps: int = Field(default=0, ge=0)
    grad_clip: float | None = Field(default=None, gt=0)
    ema: float = Field(default=0.0, ge=0, lt=1)
    precision: Literal["float32", "bfloat16", "float16"] = "float32"
    compile: bool = False
    held_out: float = Field(default=0.0, ge=0, lt=1)
    patience: int | None = Field(default=None, ge=1)

    def conflicts(self) -> Iterator[Conflict]:
        if self.patience is not None and self.held_out == 0:
            yield Conflict("patience", "waits for a better validation EER; set held_out too, e.g. to 0.1")
