"""Settings of front ends, apart from the code: the configuration tree needs them, and torch takes seconds."""

from collections.abc import Iterator
from typing import Literal

from pydantic import Field

from reseed.stages.backbones.training.settings import SpeechTraining
from reseed.stages.common.section import Conflict


class FrontendTraining(SpeechTraining):
    """How a mask in front of a frozen backbone is trained (Grad-W, arXiv 2401.02626; its batch and rate).

    Attributes:
        loss: what becomes small as the mask improves: the distance of activations weighted by misplaced attention
            (gradw), the same unweighted (equal_w), or the distance of log spectra (spectral).
        score: what attention is the gradient of: the speaker's logit by a head on the stored embeddings, which needs
            labels (speaker), or the cosine with the stored clean embedding (anchor).
        sharpness: scale the difference of gradients to this standard deviation within each crop before the softmax;
            null: leave them as they are, as published.
        seed: added to that of the run, for entries that repeat another one.
        width: channels of the U-Net's first level, doubled from level to level.
    """

    loss: Literal["gradw", "equal_w", "spectral"] = "gradw"
    score: Literal["speaker", "anchor"] = "speaker"
    sharpness: float | None = Field(default=None, gt=0)
    seed: int = Field(default=0, ge=0)
    width: int = Field(default=16, ge=2, le=4096)
    epochs: int = Field(default=50, ge=1)
    batch: int = Field(default=32, ge=2)
    lr: float = Field(default=1e-3, gt=0)
    weight_decay: float = Field(default=0.0, ge=0)
    schedule: Literal["constant", "cosine"] = "cosine"
    grad_clip: float | None = Field(default=5.0, gt=0)

    def conflicts(self) -> Iterator[Conflict]:
        yield from super().conflicts()
        for key in ("speeds", "crops"):
            if getattr(self, key) != type(self).model_fields[key].default:
                yield Conflict(key, "must be left out: a front end hears the stored crops at their own speed")
        for key in ("held_out", "patience"):
            if getattr(self, key):
                yield Conflict(key, "must be left out: a front end is trained without a validation EER")
