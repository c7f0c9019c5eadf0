"""What is trained: a staged backbone, and the speakers' directions beside it while it lasts.

Shapes: B batch, T samples, K speakers, D embedding dimension.
"""

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stages.backbone_training.losses import angular_margin, proximity
from stages.backbone_training.settings import BackboneTraining
from stages.backbones import backbone_class
from stages.backbones.base import StagedBackbone
from stages.backbones.resnet_se34v2 import FILTERS
from stages.backbones.weights import Blank
from store import ConfigError


@dataclass(frozen=True)
class Crops:
    """A batch of crops as they are heard: waveforms [B, T], speakers [B], and anchors [B, D] where there are any."""

    waveform_BT: Tensor
    label_B: Tensor
    anchor_BD: Tensor | None = None

    def __len__(self) -> int:
        return len(self.waveform_BT)


class SpeakerClassifier(nn.Module):
    """A backbone under training.

    Args:
        speakers: classes; each speed of a speaker is one.
    """

    def __init__(self, config: BackboneTraining, backbone: StagedBackbone, speakers: int) -> None:
        super().__init__()
        self.config = config
        self.backbone = backbone.requires_grad_(True)
        self.speaker_KD = nn.Parameter(torch.empty(speakers, backbone.embedding_dim)) if config.head else None
        if self.speaker_KD is not None:
            nn.init.xavier_normal_(self.speaker_KD)
        freeze(self.backbone, config.frozen)

    def loss(self, crops: Crops, generator: torch.Generator) -> Tensor:
        """Return the scalar loss: classification, and proximity times its weight where there are anchors."""
        embedding_BD = self.backbone(crops.waveform_BT).float()
        parts = []
        if self.speaker_KD is not None:
            settings = self.config
            if settings.head == "aam":
                parts.append(
                    angular_margin(embedding_BD, self.speaker_KD, crops.label_B, settings.margin, settings.scale)
                )
            else:
                parts.append(F.cross_entropy(embedding_BD @ self.speaker_KD.T, crops.label_B))
        if crops.anchor_BD is not None:
            near = self.config.proximity
            parts.append(near.weight * proximity(embedding_BD, crops.anchor_BD, near))
        return torch.stack(parts).sum()


def freeze(backbone: StagedBackbone, prefixes: tuple[str, ...]) -> None:
    """Keep parameters whose names begin with one of `prefixes` as they are.

    Raises:
        ConfigError: a prefix fits no parameter, or all are frozen.
    """
    names = [name for name, _ in backbone.named_parameters()]
    for prefix in prefixes:
        if not any(name.startswith(prefix) for name in names):
            layers = ", ".join(dict.fromkeys(name.partition(".")[0] for name in names))
            raise ConfigError(f"frozen: {backbone.name} has no parameter {prefix}...; its layers are {layers}")
    for name, parameter in backbone.named_parameters():
        parameter.requires_grad_(not name.startswith(prefixes) if prefixes else True)
    if not any(parameter.requires_grad for parameter in backbone.parameters()):
        raise ConfigError(f"frozen: every parameter of {backbone.name} is; leave some to train")


def make_backbone(config: BackboneTraining, seed: int) -> StagedBackbone:
    """Return the backbone to start from: from a checkpoint, ge2e as published, or untrained.

    Raises:
        ModelError: the checkpoint does not load.
    """
    kind: Any = backbone_class(config.backbone)
    if config.weights is not None or config.backbone == "ge2e":
        return kind(kind.Config(weights=config.weights))
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return kind(kind.Config.model_construct(), checkpoint=Blank.of(kind, _sizes(config)))


def _sizes(config: BackboneTraining) -> dict[str, tuple[int, ...]]:
    """Return the shapes by which an untrained network is made."""
    if config.backbone == "ecapa_tdnn":
        return {
            "conv1.weight": (config.channels, config.bands, 5),
            "attention.3.weight": (1, 128, 1),
            "fc6.weight": (config.dimensions, 1),
        }
    pooled = FILTERS[-1] * config.bands // 8
    return {"attention.3.weight": (pooled, 128, 1), "fc.weight": (config.dimensions, 2 * pooled)}
