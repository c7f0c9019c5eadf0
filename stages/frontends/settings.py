"""Settings of front ends, apart from the code: the configuration tree needs them, and torch takes seconds."""

from collections.abc import Iterator
from typing import Any, Literal, Self

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer, model_validator

from reseed.stages.backbones.training.settings import SpeechTraining
from reseed.stages.common.section import Conflict

# How the released code optimises, warm-up apart: 1e-3 x 32 / 64, no clipping.
_RELEASED = {"lr": 5e-4, "schedule": "constant", "warmup_epochs": 5, "grad_clip": None}
_LEFT_OUT = ("published", "activations", "warmup_epochs")  # by default: digests of before there were any stay


class FrontendTraining(SpeechTraining):
    """How a mask in front of a frozen backbone is trained (Grad-W, arXiv 2401.02626; its batch and rate).

    Attributes:
        loss: what becomes small as the mask improves: the distance of activations weighted by misplaced attention
            (gradw), the same unweighted (equal_w), or the distance of log spectra (spectral).
        published: loss, attention and masking by the formulas of the released code, and its lr, schedule,
            warmup_epochs and grad_clip where these are not given.
        score: what attention is the gradient of: the speaker's logit by a head on the stored embeddings, which needs
            labels (speaker), or the cosine with the stored clean embedding (anchor).
        activations: which are compared: those that are pooled (pooled), or the last that lie over frequency as well as
            time (convolutional); only of campplus are these others.
        sharpness: scale the difference of gradients to this standard deviation within each crop before the softmax;
            null: leave them as they are, as published.
        seed: added to that of the run, for entries that repeat another one.
        width: channels of the U-Net's first level, doubled from level to level.
        warmup_epochs: first epochs over which lr rises, in place of warmup_steps; 0: warmup_steps holds.
    """

    loss: Literal["gradw", "equal_w", "spectral"] = "gradw"
    published: bool = False
    score: Literal["speaker", "anchor"] = "speaker"
    activations: Literal["pooled", "convolutional"] = "pooled"
    sharpness: float | None = Field(default=None, gt=0)
    seed: int = Field(default=0, ge=0)
    width: int = Field(default=16, ge=2, le=4096)
    epochs: int = Field(default=50, ge=1)
    batch: int = Field(default=32, ge=2)
    lr: float = Field(default=1e-3, gt=0)
    weight_decay: float = Field(default=0.0, ge=0)
    schedule: Literal["constant", "cosine"] = "cosine"
    warmup_epochs: int = Field(default=0, ge=0)
    grad_clip: float | None = Field(default=5.0, gt=0)

    @model_validator(mode="before")
    @classmethod
    def _as_released(cls, given: Any) -> Any:
        released = isinstance(given, dict) and given.get("published") is True
        return {**_RELEASED, **given} if released else given

    @model_serializer(mode="wrap")
    def _without_what_is_not_set(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        found: dict[str, Any] = dump(self)
        fields = type(self).model_fields
        return {name: value for name, value in found.items() if name not in _LEFT_OUT or value != fields[name].default}

    def warmed_up_over(self, batches_per_epoch: int) -> Self:
        """Return the settings with the warm-up in steps."""
        steps = self.warmup_epochs * batches_per_epoch
        return self.model_copy(update={"warmup_steps": steps}) if steps else self

    def conflicts(self) -> Iterator[Conflict]:
        yield from super().conflicts()
        if self.published and self.loss == "spectral":
            yield Conflict("loss", "is spectral, which the released code (published) does not know")
        if self.published and self.sharpness is not None:
            yield Conflict("sharpness", "must be left out: the released code (published) takes gradients as they are")
        if self.warmup_epochs and self.warmup_steps:
            yield Conflict("warmup_steps", "and warmup_epochs both say how lr rises; give one of them")
        for key in ("speeds", "crops"):
            if getattr(self, key) != type(self).model_fields[key].default:
                yield Conflict(key, "must be left out: a front end hears the stored crops at their own speed")
        for key in ("held_out", "patience"):
            if getattr(self, key):
                yield Conflict(key, "must be left out: a front end is trained without a validation EER")
