"""Settings of backbone training, apart from the code: the configuration tree needs them, and torch takes seconds."""

from collections.abc import Iterator
from typing import Any, Literal

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer

from reseed.stages.audio.recipe import Speed, View
from reseed.stages.backbones.settings import PackagedConfig, config_class
from reseed.stages.common.section import AbsolutePath, Conflict, Entries, Section
from reseed.stages.training.settings import TrainingSettings


class Proximity(Section):
    """How embeddings are held near the stored clean ones (stage-wise learning with fixed anchors, arXiv 2510.18530).

    Attributes:
        kind: the distance: 1 - cosine, the squared distance of unit vectors (l2), or the logarithm of that (as vMF-PL).
        weight: weight of the distance beside the classification.
    """

    kind: Literal["cosine", "l2", "log_residual"] = "cosine"
    weight: float = Field(default=1.0, gt=0)


class LowRank(Section):
    """Updates of weights that are products of two small matrices (LoRA, arXiv 2106.09685).

    Attributes:
        rank: the inner dimension of these products.
        alpha: updates are multiplied by alpha / rank.
    """

    rank: int = Field(default=8, ge=1)
    alpha: float = Field(default=16.0, gt=0)


class SpeechTraining(TrainingSettings):
    """How training hears speech.

    Attributes:
        crop_s: length of a crop in seconds.
        crops: crops of each utterance in an epoch; near anchors they are the stored ones.
        speeds: speech is heard at each of these speeds, at each of which a speaker counts as another one.
        views: renderings by name; every crop is given one at random.
    """

    crop_s: float = Field(default=1.6, gt=0.1)
    crops: int = Field(default=1, ge=1, le=10_000)
    speeds: tuple[Speed, ...] = Field(default=(1.0,), min_length=1)
    views: Entries[View] = {"clean": View()}

    def conflicts(self) -> Iterator[Conflict]:
        yield from super().conflicts()
        if not self.views:
            yield Conflict("views", "must not be empty; {clean: {}} is clean speech alone")


class BackboneTraining(SpeechTraining):
    """How a backbone is trained: by classifying the speakers of labelled speech, near anchors where there are any.

    Attributes:
        backbone: the network.
        weights: a checkpoint to start from; null: ge2e and campplus start from their published weights, eres2net,
            eres2netv2, redimnet and titanet from given ones alone, the others untrained.
        starts_from: another backbone of the run to start from: backbone.name, or an entry of `backbones` that stands
            before this one; null: none.
        anchored: hold embeddings near the stored clean ones of what it starts from.
        joint: hear every crop clean as well, classify both, and draw them together: what fixed anchors are compared
            with.
        channels: width of an untrained ecapa_tdnn.
        dimensions: dimension of the embeddings of an untrained network.
        bands: frequency bands of the features of an untrained network.
        head: how speakers are classified: by additive angular margin or plain softmax; null: not at all, anchors alone,
            without labels.
        head_start: where the classifier starts: at random directions, or at each speaker's mean stored clean embedding
            (anchors).
        head_lr_factor: the classifier's learning rate, in multiples of lr.
        margin, scale: margin and scale of the additive angular margin (arXiv 1801.07698).
        proximity: the distance to the anchors or, with `joint`, to the embedding of the clean crop.
        centre: classify, and hold near the anchors, what is left of embeddings of unit length without the mean of the
            anchors.
        base_share: share of the weights it started from in the average that is kept (WiSE-FT, arXiv 2109.01903): brings
            back a part of what fine-tuning forgets.
        trained: only parameters whose names begin with one of these are trained; empty: all are; null: none, and
            statistics of normalisations alone become those of what is heard, without labels (AdaBN, arXiv 1603.04779).
        frozen: parameters whose names begin with one of these stay as they are.
        lora: train low-rank updates of linear layers and convolutions in place of all that `trained` and `frozen`
            choose; they are merged into the weights in the end.
        batch_norm: normalisations over a batch estimate their statistics anew on what is heard, in frozen layers too
            (batch), or keep those they start with (fixed).
        epochs: passes over the speech; 0: the network is used as it is, no speech is heard and no label is needed.
        held_out: share of the speakers kept for a validation EER.
    """

    backbone: Literal[
        "ge2e",
        "campplus",
        "ecapa_tdnn",
        "resnet_se34v2",
        "resnet34_wespeaker",
        "eres2net",
        "eres2netv2",
        "redimnet",
        "titanet",
    ] = "ecapa_tdnn"
    weights: AbsolutePath | None = None
    starts_from: str | None = None
    anchored: bool = False
    joint: bool = False
    channels: int = Field(default=256, ge=8, multiple_of=8)
    dimensions: int = Field(default=192, ge=2, le=65_536)
    bands: int = Field(default=80, ge=8, multiple_of=8)
    head: Literal["aam", "softmax"] | None = "aam"
    head_start: Literal["random", "anchors"] = "random"
    head_lr_factor: float = Field(default=1.0, gt=0)
    margin: float = Field(default=0.2, ge=0, lt=1.57)
    scale: float = Field(default=30.0, gt=0)
    proximity: Proximity = Proximity()
    centre: bool = False
    base_share: float = Field(default=0.0, ge=0, lt=1)
    trained: tuple[str, ...] | None = ()
    frozen: tuple[str, ...] = ()
    lora: LowRank | None = None
    batch_norm: Literal["batch", "fixed"] = "batch"
    epochs: int = Field(default=30, ge=0)
    batch: int = Field(default=64, ge=2)
    lr: float = Field(default=1e-3, gt=0)
    weight_decay: float = Field(default=1e-3, ge=0)
    schedule: Literal["constant", "cosine"] = "cosine"
    warmup_steps: int = Field(default=50, ge=0)
    grad_clip: float | None = Field(default=5.0, gt=0)

    @property
    def starts_untrained(self) -> bool:
        """Whether there are no weights to start from: none given, and none published in a package."""
        return self.weights is None and not issubclass(config_class(self.backbone), PackagedConfig)

    def conflicts(self) -> Iterator[Conflict]:
        yield from super().conflicts()
        if not self.epochs and self.starts_untrained and self.starts_from is None:
            yield Conflict("epochs", f"is 0, which uses {self.backbone} as it is: give its weights")
        if self.weights is not None and self.starts_from is not None:
            yield Conflict("starts_from", "and weights both say what to start from; give one of them")
        if self.anchored and self.speeds != (1.0,):
            yield Conflict("speeds", "must be left out: anchors are of speech at its own speed")
        if self.joint and self.anchored:
            text = "draws noisy and clean embeddings together, anchored holds them near stored ones; choose one of them"
            yield Conflict("joint", text)
        if self.trained is None and (
            self.head or self.anchored or self.joint or self.lora or self.batch_norm == "fixed"
        ):
            text = "null adapts statistics alone: set head: null, and leave out anchored, joint, lora and batch_norm"
            yield Conflict("trained", text)
        if self.head_start == "anchors" and not (self.anchored and self.head == "aam"):
            yield Conflict("head_start", "at the anchors needs anchored: true and head: aam")
        if self.centre and (not self.anchored or self.head == "softmax"):
            yield Conflict("centre", "is on the mean of the anchors: it needs anchored: true, and head: aam or null")

    @model_serializer(mode="wrap")
    def _without_later_defaults(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leave out defaults of later settings: what was trained before there were any is not trained again."""
        found: dict[str, Any] = dump(self)
        unset = {name for name in _LATER if getattr(self, name) == type(self).model_fields[name].default}
        return {name: value for name, value in found.items() if name not in unset}


_LATER = ("head_start", "head_lr_factor", "centre", "trained", "lora", "batch_norm")
