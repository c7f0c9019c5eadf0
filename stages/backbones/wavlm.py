"""WavLM, HuBERT and wav2vec 2.0 as torchaudio defines them, their frames pooled to one vector.

Chen et al., "WavLM" (arXiv 2110.13900); Hsu et al., "HuBERT" (2106.07447); Baevski et al., "wav2vec 2.0" (2006.11477).
The weights are the files of torchaudio's bundles. Nothing is downloaded.

Shapes: B batch, T samples, L layers, F frames (20 ms), C features of a layer, D embedding dimension.
"""

from pathlib import Path
from typing import Any

import torch
import torchaudio
from torch import Tensor, nn
from torch.nn import functional as F

from reseed.stages.backbones.base import Backbone
from reseed.stages.backbones.features import repeated
from reseed.stages.backbones.settings import WavLMConfig
from reseed.stages.backbones.weights import Checkpoint
from reseed.store import ConfigError

ATTENTION_CHANNELS = 128
VARIANCE_FLOOR = 1e-4
LEAST_SAMPLES = 400  # what one frame sees


class WavLM(Backbone):
    """A self-supervised transformer over waveforms; D is the width of its layers, twice that if pooled attentively."""

    name = "wavlm"
    Config = WavLMConfig
    landmarks = ("feature_extractor.conv_layers.0.conv.weight", "encoder.feature_projection.projection.weight")

    def __init__(self, config: WavLMConfig | None = None) -> None:
        super().__init__()
        self.config = config or WavLMConfig()
        bundle = getattr(torchaudio.pipelines, self.config.bundle)
        checkpoint = Checkpoint.read(self.config.weights or _cached(self.config.bundle, bundle._path), type(self))
        self.weights_sha256 = checkpoint.sha256
        self.sample_rate_hz = round(bundle.sample_rate)
        self.normalises = bundle._normalize_waveform
        network = _network(bundle, self.config.architecture)
        # Held by its parts, so that the names of weights are those of the bundle's file.
        self.feature_extractor, self.encoder = network.feature_extractor, network.encoder
        layers, width = (
            len(network.encoder.transformer.layers),
            network.encoder.feature_projection.projection.out_features,
        )
        if self.config.layer and self.config.layer > layers:
            raise ConfigError(
                f"backbone.settings.layer is {self.config.layer}; {self.config.bundle} has {layers} layers"
            )
        self.embedding_dim = width
        if self.config.pooling == "attentive":
            self.pooling = AttentivePooling(width)
            self.embedding_dim = 2 * width
        checkpoint.load_into(self)

    def identity(self) -> dict[str, Any]:
        return {
            "backbone": self.name,
            "weights_sha256": self.weights_sha256,
            **self.config.model_dump(mode="json", exclude={"weights"}),
        }

    def forward(self, waveform_BT: Tensor) -> Tensor:
        if self.normalises:
            # Each utterance by itself; torchaudio's own bundle would normalise the batch as one.
            waveform_BT = F.layer_norm(waveform_BT, waveform_BT.shape[1:])
        frame_BFC, _ = self.feature_extractor(repeated(waveform_BT, LEAST_SAMPLES), None)
        layers_LBFC = self.encoder.extract_features(frame_BFC, None, self.config.layer)
        output_BFC = layers_LBFC[-1] if self.config.layer else torch.stack(layers_LBFC).mean(dim=0)
        output_BFC = output_BFC.float()
        return self.pooling(output_BFC) if self.config.pooling == "attentive" else output_BFC.mean(dim=1)


class AttentivePooling(nn.Module):
    """Mean and deviation over frames, weighted per channel: Okabe et al. (arXiv 1803.10963); [B, F, C] -> [B, 2C]."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.attention = nn.Sequential(
            nn.Conv1d(width, ATTENTION_CHANNELS, kernel_size=1),
            nn.Tanh(),
            nn.Conv1d(ATTENTION_CHANNELS, width, kernel_size=1),
            nn.Softmax(dim=2),
        )

    def forward(self, output_BFC: Tensor) -> Tensor:
        output_BCF = output_BFC.transpose(1, 2)
        weight_BCF = self.attention(output_BCF)
        mean_BC = (output_BCF * weight_BCF).sum(dim=2)
        variance_BC = (output_BCF.square() * weight_BCF).sum(dim=2) - mean_BC.square()
        return torch.cat([mean_BC, variance_BC.clamp(min=VARIANCE_FLOOR).sqrt()], dim=1)


def _network(bundle: Any, architecture: dict[str, Any]) -> torchaudio.models.Wav2Vec2Model:
    make = torchaudio.models.wavlm_model if bundle._model_type == "WavLM" else torchaudio.models.wav2vec2_model
    try:
        return make(**{**bundle._params, **architecture})
    except (TypeError, ValueError, RuntimeError) as error:
        raise ConfigError(f"backbone.settings.architecture does not suit {make.__name__}: {error}") from error


def _cached(bundle: str, file_name: str) -> Path:
    path = Path(torch.hub.get_dir()) / "checkpoints" / Path(file_name).name
    if not path.is_file():
        raise ConfigError(
            f"backbone.settings.weights is missing and {path} does not exist; give the weights of torchaudio's {bundle}"
        )
    return path
