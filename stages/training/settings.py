"""How anything is trained: settings that the loop in `reseed.stages.training` follows."""

from collections.abc import Iterator
from typing import Literal

from pydantic import Field

from reseed.stages.common.section import Conflict, Section


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

    def conflicts(self) -> Iterator[Conflict]:
        if self.patience is not None and self.held_out == 0:
            yield Conflict("patience", "waits for a better validation EER; set held_out too, e.g. to 0.1")
