"""Settings of backbone training, apart from the code: the configuration tree needs them, and torch takes seconds."""

from collections.abc import Iterator
from typing import Literal

from pydantic import Field

from reseed.stages.audio.recipe import Speed, View
from reseed.stages.common.section import AbsolutePath, Conflict, Entries, Section
from reseed.stages.training.settings import TrainingSettings


class Proximity(Section):
    """How embeddings are held near the stored clean ones (stage-wise learning with fixed anchors, arXiv 2510.18530).

    Attributes:
        kind: 1 - cosine, the squared distance of unit vectors, or the logarithm of that (as vMF-PL).
        weight: of the proximity beside the classification.
    """

    kind: Literal["cosine", "l2", "log_residual"] = "cosine"
    weight: float = Field(default=1.0, gt=0)


class SpeechTraining(TrainingSettings):
    """How training hears speech.

    Attributes:
        crop_s, crops: length of a crop, and how many an epoch takes of each utterance (with anchors: the stored).
        speeds: each speed makes speakers of its own of all speakers.
        views: renderings, of which every crop is given one at random.
    """

    crop_s: float = Field(default=1.6, gt=0.1)
    crops: int = Field(default=1, ge=1)
    speeds: tuple[Speed, ...] = Field(default=(1.0,), min_length=1)
    views: Entries[View] = {"clean": View()}

    def conflicts(self) -> Iterator[Conflict]:
        yield from super().conflicts()
        if not self.views:
            yield Conflict("views", "must not be empty; {clean: {}} is clean speech alone")


class BackboneTraining(SpeechTraining):
    """How a backbone is trained: by classifying the speakers of labelled speech, near anchors where there are any.

    Attributes:
        backbone: ge2e, ecapa_tdnn or resnet_se34v2.
        weights: checkpoint to start from; none: ge2e from its published weights, the others untrained.
        starts_from: in a run: another entry of `backbones` to start from (`reseed train-backbone --base`).
        anchored: in a run: hold embeddings near the stored clean ones of what it starts from (`--anchors`).
        joint: hear every crop clean as well, classify both, and draw them together: what fixed anchors are compared to.
        channels, dimensions, bands: of an untrained network: channels (ecapa_tdnn), dimensions of embeddings, bands
            (coefficients) of its features.
        head: additive angular margin or plain softmax over speakers; none: anchors alone, without labels.
        margin, scale: of the additive angular margin (arXiv 1801.07698).
        proximity: to the anchors; with `joint` to the embedding of the clean crop, which moves itself.
        base_share: of the weights it started from, in the average with the trained ones that is kept (WiSE-FT,
            arXiv 2109.01903): what fine-tuning forgets comes back for a part of what it has learnt.
        frozen: parameters whose names begin with one of these stay as they are.
        held_out: share of the speakers kept for a validation EER.
    """

    backbone: Literal["ge2e", "ecapa_tdnn", "resnet_se34v2"] = "ecapa_tdnn"
    weights: AbsolutePath | None = None
    starts_from: str | None = None
    anchored: bool = False
    joint: bool = False
    channels: int = Field(default=256, ge=8, multiple_of=8)
    dimensions: int = Field(default=192, ge=2)
    bands: int = Field(default=80, ge=8, multiple_of=8)
    head: Literal["aam", "softmax"] | None = "aam"
    margin: float = Field(default=0.2, ge=0, lt=1.57)
    scale: float = Field(default=30.0, gt=0)
    proximity: Proximity = Proximity()
    base_share: float = Field(default=0.0, ge=0, lt=1)
    frozen: tuple[str, ...] = ()
    epochs: int = Field(default=30, ge=1)
    batch: int = Field(default=64, ge=2)
    lr: float = Field(default=1e-3, gt=0)
    weight_decay: float = Field(default=1e-3, ge=0)
    schedule: Literal["constant", "cosine"] = "cosine"
    warmup_steps: int = Field(default=50, ge=0)
    grad_clip: float | None = Field(default=5.0, gt=0)

    def conflicts(self) -> Iterator[Conflict]:
        yield from super().conflicts()
        if self.weights is not None and self.starts_from is not None:
            yield Conflict("starts_from", "and weights both say what to start from; give one of them")
        if self.anchored and self.speeds != (1.0,):
            yield Conflict("speeds", "must be left out: anchors are of speech at its own speed")
        if self.joint and self.anchored:
            text = "draws noisy and clean embeddings together, anchored holds them near stored ones; choose one of them"
            yield Conflict("joint", text)
