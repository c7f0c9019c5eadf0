"""Speaker backbones by name. To add one: a file and a line here; its Config and a line in settings.py."""

from collections.abc import Mapping
from typing import Any

from reseed.stages.backbones.base import Backbone
from reseed.stages.backbones.campplus import CAMPPlus
from reseed.stages.backbones.ecapa_speechbrain import ECAPASpeechBrain
from reseed.stages.backbones.ecapa_taoruijie import ECAPATaoRuijie
from reseed.stages.backbones.ecapa_tdnn import ECAPATDNN
from reseed.stages.backbones.eres2net import ERes2Net, ERes2NetV2
from reseed.stages.backbones.ge2e import GE2E
from reseed.stages.backbones.onnx import Onnx
from reseed.stages.backbones.redimnet import ReDimNet
from reseed.stages.backbones.resnet_se34v2 import ResNetSE34V2
from reseed.stages.backbones.resnet_wespeaker import ResNet34WeSpeaker
from reseed.stages.backbones.titanet import TitaNet
from reseed.stages.backbones.wavlm import WavLM
from reseed.stages.common.plugins import Code, Table, codes_of

BACKBONES: Table[type[Backbone]] = Table(
    "backbone",
    "reseed.backbones",
    Backbone,
    {
        "ge2e": GE2E,
        "campplus": CAMPPlus,
        "resnet_se34v2": ResNetSE34V2,
        "resnet34_wespeaker": ResNet34WeSpeaker,
        "eres2net": ERes2Net,
        "eres2netv2": ERes2NetV2,
        "redimnet": ReDimNet,
        "titanet": TitaNet,
        "ecapa_tdnn": ECAPATDNN,
        "ecapa_taoruijie": ECAPATaoRuijie,
        "ecapa_speechbrain": ECAPASpeechBrain,
        "wavlm": WavLM,
        "onnx": Onnx,
    },
)


def backbone_class(name: str) -> type[Backbone]:
    """Return the class behind `name`; an unknown name raises ConfigError with the choices."""
    return BACKBONES.of(name)


def backbone_code(name: str) -> dict[str, Code]:
    """Return the code of a backbone of another package, by its name; of a built-in one nothing."""
    return codes_of(BACKBONES.group, BACKBONES.what, [name])


def load_backbone(name: str, settings: Mapping[str, Any]) -> Backbone:
    """Return the backbone called `name`, its weights loaded.

    Raises:
        ConfigError: no such backbone.
        ModelError: its weights cannot be loaded.
    """
    kind = backbone_class(name)
    return kind(kind.Config.model_validate(settings))
