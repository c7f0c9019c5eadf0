"""What is trained: a backbone, and a direction for every speaker that is dropped afterwards.

Shapes: B batch, T samples, K speakers, D embedding dimension.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from reseed.stages.backbones.base import StagedBackbone, require_stages
from reseed.stages.backbones.folder import read_trained
from reseed.stages.backbones.resnet_se34v2 import FILTERS
from reseed.stages.backbones.resnet_wespeaker import untrained_sizes
from reseed.stages.backbones.table import backbone_class, load_backbone
from reseed.stages.backbones.training.adaptation import choose, normalisations
from reseed.stages.backbones.training.anchors import Anchors
from reseed.stages.backbones.training.losses import angular_margin, proximity
from reseed.stages.backbones.training.settings import BackboneTraining
from reseed.stages.backbones.training.speech import Speech
from reseed.stages.backbones.weights import Blank
from reseed.stages.training.loop import Trainable
from reseed.store import ConfigError


@dataclass(frozen=True)
class Crops:
    """A batch of crops as they are heard: waveforms [B, T] and speakers [B].

    Attributes:
        anchor_BD: anchors, where there are any; clean_BT: the crops without noise, where they are heard too.
    """

    waveform_BT: Tensor
    label_B: Tensor
    anchor_BD: Tensor | None = None
    clean_BT: Tensor | None = None

    def __len__(self) -> int:
        return len(self.waveform_BT)


class SpeakerClassifier(Trainable[Crops]):
    """A backbone under training.

    Args:
        speakers: classes; each speed of a speaker is one.
        start_KD: where the classifier starts; None: at random.
        mean_D: what is taken from embeddings of unit length before they are compared; None: nothing.
    """

    config: BackboneTraining
    mean_D: Tensor | None

    def __init__(
        self,
        config: BackboneTraining,
        backbone: StagedBackbone,
        speakers: int,
        *,
        start_KD: Tensor | None = None,
        mean_D: Tensor | None = None,
    ) -> None:
        super().__init__()
        self.config = config
        self.backbone = backbone.requires_grad_(True)
        self.register_buffer("mean_D", mean_D)
        self.speaker_KD = None
        if config.head is not None:
            random_KD = nn.init.xavier_normal_(torch.empty(speakers, backbone.embedding_dim))
            self.speaker_KD = nn.Parameter(random_KD if start_KD is None else start_KD.clone())
        choose(self.backbone, config)

    @classmethod
    def of(cls, config: BackboneTraining, backbone: StagedBackbone, anchors: Anchors | None, speech: Speech) -> Self:
        """Return what is trained on some speech, with what its settings take from the anchors."""
        start_KD = mean_D = None
        if anchors is not None and config.centre:
            mean_D = anchors.mean(speech.utterances)
        if anchors is not None and config.head_start == "anchors":
            start_KD = anchors.of_speakers(speech.utterances, speech.speakers, mean_D)
        classes = len(speech.speakers) * len(config.speeds)
        return cls(config, backbone, classes, start_KD=start_KD, mean_D=mean_D)

    def train(self, mode: bool = True) -> Self:
        """Switch to training or evaluation; where statistics are fixed, normalisations stay in evaluation."""
        super().train(mode)
        if self.config.batch_norm == "fixed":
            for layer in normalisations(self.backbone):
                layer.eval()
        return self

    def lr_factors(self) -> list[tuple[list[nn.Parameter], float]]:
        """Return the parameters and what each group multiplies the learning rate by."""
        factor, head_KD = self.config.head_lr_factor, self.speaker_KD
        if factor == 1.0 or head_KD is None:
            return super().lr_factors()
        return [([each for each in self.parameters() if each is not head_KD], 1.0), ([head_KD], factor)]

    def centred(self, embedding_BD: Tensor) -> Tensor:
        """Return embeddings without the mean, [B, D], where there is one: the directions that are compared."""
        return embedding_BD if self.mean_D is None else F.normalize(embedding_BD, dim=-1) - self.mean_D

    def loss(self, crops: Crops, generator: torch.Generator) -> Tensor:
        """Return the scalar loss: classification, and proximity times its weight where there is what to be near to."""
        embedding_BD, near_BD = self._embedded(crops.waveform_BT), crops.anchor_BD
        if crops.clean_BT is not None:
            near_BD = self._embedded(crops.clean_BT)
        with torch.autocast(embedding_BD.device.type, enabled=False):  # a cosine in half precision is 1 too early
            near_BD = None if near_BD is None else self.centred(near_BD.float())
            return self._compared(self.centred(embedding_BD.float()), near_BD, crops)

    def _embedded(self, waveform_BT: Tensor) -> Tensor:
        layers = [layer for layer in normalisations(self.backbone) if layer.training] if len(waveform_BT) == 1 else []
        for layer in layers:  # one crop has no statistics of a batch
            layer.eval()
        embedding_BD: Tensor = self.backbone(waveform_BT)
        for layer in layers:
            layer.train()
        return embedding_BD

    def _compared(self, embedding_BD: Tensor, near_BD: Tensor | None, crops: Crops) -> Tensor:
        heard_ND, label_N = embedding_BD, crops.label_B
        if crops.clean_BT is not None and near_BD is not None:
            heard_ND, label_N = torch.cat([embedding_BD, near_BD]), crops.label_B.repeat(2)
        loss = torch.zeros((), device=heard_ND.device)
        if self.speaker_KD is not None:
            loss = loss + self._classified(heard_ND, self.speaker_KD, label_N)
        if near_BD is not None:
            near = self.config.proximity
            loss = loss + near.weight * proximity(embedding_BD, near_BD, near)
        return loss

    def _classified(self, heard_ND: Tensor, speaker_KD: Tensor, label_N: Tensor) -> Tensor:
        settings = self.config
        if settings.head == "aam":
            return angular_margin(heard_ND, speaker_KD, label_N, settings.margin, settings.scale)
        return F.cross_entropy(heard_ND @ speaker_KD.T, label_N)


def make_backbone(config: BackboneTraining, seed: int, base: Path | None = None) -> StagedBackbone:
    """Return the backbone to start from: from a checkpoint, as published in a package, or untrained.

    Args:
        base: folder of a trained backbone to start from.

    Raises:
        ConfigError: the base is another network than is to be trained, or none is given where there must be one.
        ModelError: the checkpoint does not load.
    """
    why, settings = "training", {"weights": config.weights}
    if base is not None:
        name, settings = read_trained(base)
        if name != config.backbone:
            raise ConfigError(f"{base} is a {name}, the training is of a {config.backbone}; set backbone: {name}")
    if base is not None or not config.starts_untrained:
        return require_stages(load_backbone(config.backbone, settings), why)
    kind = backbone_class(config.backbone)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return require_stages(kind(kind.Config.model_construct(), checkpoint=Blank.of(kind, _sizes(config))), why)


def _sizes(config: BackboneTraining) -> dict[str, tuple[int, ...]]:
    """Return the shapes of tensors from which an untrained network is built."""
    if config.backbone == "ecapa_tdnn":
        return {
            "conv1.weight": (config.channels, config.bands, 5),
            "attention.3.weight": (1, 128, 1),
            "fc6.weight": (config.dimensions, 1),
        }
    if config.backbone == "resnet34_wespeaker":
        return untrained_sizes(config.dimensions, config.bands)
    if config.backbone in ("eres2net", "eres2netv2", "redimnet", "titanet"):
        raise ConfigError(f"{config.backbone} is not trained from nothing; give weights to start from")
    pooled = FILTERS[-1] * config.bands // 8
    return {"attention.3.weight": (pooled, 128, 1), "fc.weight": (config.dimensions, 2 * pooled)}
