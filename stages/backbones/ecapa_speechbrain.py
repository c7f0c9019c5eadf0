"""ECAPA-TDNN as SpeechBrain publishes it (speechbrain/spkrec-ecapa-voxceleb, file embedding_model.ckpt).

Ravanelli et al., "SpeechBrain" (arXiv 2106.04624); the network is that of Desplanques et al. (arXiv 2005.07143). The
names of weights are SpeechBrain's, and so are the features: filters symmetric in Hz about their centres, decibels not
under the utterance's loudest by more than 80. Every convolution pads by reflection.

Shapes: B batch, T samples, M mel bands, F frames, C channels, D embedding dimension.
"""

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from reseed.stages.backbones.base import Backbone
from reseed.stages.backbones.features import in_full_precision, repeated
from reseed.stages.backbones.settings import ECAPASpeechBrainConfig
from reseed.stages.backbones.weights import Checkpoint

N_FFT = 400
HOP_SAMPLES = 160
RANGE_DB = 80.0
LEAST_POWER = 1e-10
SCALE = 8
LEAST_SAMPLES = 4 * HOP_SAMPLES  # five frames: a convolution pads by reflection of four
LEAST_VARIANCE = 1e-12


class ECAPASpeechBrain(Backbone):
    """80 mel bands in dB less their means over time, 1024 channels, attentive mean and deviation; D = 192.

    Embeddings are returned as the last layer gives them, of any length.
    """

    name = "ecapa_speechbrain"
    Config = ECAPASpeechBrainConfig
    sample_rate_hz = 16_000
    landmarks = ("blocks.0.conv.conv.weight", "blocks.3.se_block.conv2.conv.weight", "mfa.conv.conv.weight")

    window: Tensor
    filters_SM: Tensor

    def __init__(self, config: ECAPASpeechBrainConfig) -> None:
        super().__init__()
        checkpoint = Checkpoint.read(config.weights, type(self))
        self.weights_sha256 = checkpoint.sha256
        self.embedding_dim = checkpoint.size("fc.conv.weight")
        channels, n_mels = checkpoint.size("blocks.0.conv.conv.weight"), checkpoint.size("blocks.0.conv.conv.weight", 1)
        squeezed, aggregated = (
            checkpoint.size("blocks.1.se_block.conv1.conv.weight"),
            checkpoint.size("mfa.conv.conv.weight"),
        )
        self.register_buffer("window", torch.hamming_window(N_FFT), persistent=False)
        self.register_buffer("filters_SM", mel_filters(n_mels, self.sample_rate_hz), persistent=False)
        self.blocks = nn.ModuleList(
            [
                TDNNBlock(n_mels, channels, kernel_size=5),
                *(SERes2NetBlock(channels, squeezed, dilation) for dilation in (2, 3, 4)),
            ]
        )
        self.mfa = TDNNBlock(3 * channels, aggregated)
        self.asp = AttentivePooling(aggregated, checkpoint.size("asp.conv.conv.weight", 1))
        self.asp_bn = _norm(2 * aggregated)
        self.fc = Convolution(2 * aggregated, self.embedding_dim)
        checkpoint.load_into(self)

    def identity(self) -> dict[str, Any]:
        return {
            "backbone": self.name,
            "weights_sha256": self.weights_sha256,
            "features": "SpeechBrain's mel filters in dB, range 80 dB, 25/10 ms, Hamming, less the mean",
        }

    def forward(self, waveform_BT: Tensor) -> Tensor:
        map_BCF = self.blocks[0](in_full_precision(self.features, waveform_BT))
        outputs = []
        for block in self.blocks[1:]:
            map_BCF = block(map_BCF)
            outputs.append(map_BCF)
        # In single precision, also under autocast: the pooling squares.
        pooled_BC1 = self.asp(self.mfa(torch.cat(outputs, dim=1)).float())
        return self.fc(self.asp_bn["norm"](pooled_BC1))[:, :, 0]

    def features(self, waveform_BT: Tensor) -> Tensor:
        """Return mel bands in dB [B, M, F], each of mean 0 over time."""
        spectrum_BSF = torch.stft(
            repeated(waveform_BT, LEAST_SAMPLES),
            N_FFT,
            HOP_SAMPLES,
            window=self.window,
            pad_mode="constant",
            return_complex=True,
        )
        power_BMF = self.filters_SM.T @ (spectrum_BSF.real.square() + spectrum_BSF.imag.square())
        level_BMF = 10 * power_BMF.clamp(min=LEAST_POWER).log10()
        level_BMF = level_BMF.maximum(level_BMF.amax(dim=(1, 2), keepdim=True) - RANGE_DB)
        return level_BMF - level_BMF.mean(dim=2, keepdim=True)


def mel_filters(n_mels: int, sample_rate_hz: int) -> Tensor:
    """Return filters [S, M] over the S bins of a spectrum: triangles at equal distances in mel.

    A triangle falls to zero on both sides as far from its centre, in Hz, as the centre before it lies.
    """
    mel_M = torch.linspace(0.0, 2595 * math.log10(1 + sample_rate_hz / 2 / 700), n_mels + 2)
    edge_M = 700 * (10 ** (mel_M / 2595) - 1)
    width_M = edge_M.diff()[:-1]
    bin_S = torch.linspace(0.0, sample_rate_hz / 2, N_FFT // 2 + 1)
    return (1 - ((bin_S[:, None] - edge_M[1:-1]) / width_M).abs()).clamp(min=0.0)


class Convolution(nn.Module):
    """A convolution over frames that keeps their number by reflection; its weights are called `conv.N`."""

    def __init__(self, n_in: int, n_out: int, kernel_size: int = 1, dilation: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv1d(n_in, n_out, kernel_size, dilation=dilation)
        self.padding = dilation * (kernel_size - 1) // 2

    def forward(self, map_BCF: Tensor) -> Tensor:
        if self.padding:
            map_BCF = F.pad(map_BCF, (self.padding, self.padding), mode="reflect")
        return self.conv(map_BCF)


class TDNNBlock(nn.Module):
    """Convolution, ReLU, normalisation."""

    def __init__(self, n_in: int, n_out: int, kernel_size: int = 1, dilation: int = 1) -> None:
        super().__init__()
        self.conv = Convolution(n_in, n_out, kernel_size, dilation)
        self.norm = _norm(n_out)

    def forward(self, map_BCF: Tensor) -> Tensor:
        return self.norm["norm"](F.relu(self.conv(map_BCF), inplace=True))


class Res2NetBlock(nn.Module):
    """Eight groups of channels; the first passes, each later one is convolved after the one before is added."""

    def __init__(self, channels: int, dilation: int) -> None:
        super().__init__()
        width = channels // SCALE
        self.blocks = nn.ModuleList(TDNNBlock(width, width, 3, dilation) for _ in range(SCALE - 1))

    def forward(self, map_BCF: Tensor) -> Tensor:
        first, second, *rest = map_BCF.chunk(SCALE, dim=1)
        outcomes = [first, self.blocks[0](second)]
        for group, block in zip(rest, self.blocks[1:], strict=True):
            outcomes.append(block(group + outcomes[-1]))
        return torch.cat(outcomes, dim=1)


class SqueezeExcitation(nn.Module):
    """Scales each channel by a factor in 0..1 that depends on the means of all."""

    def __init__(self, channels: int, squeezed: int) -> None:
        super().__init__()
        self.conv1 = Convolution(channels, squeezed)
        self.conv2 = Convolution(squeezed, channels)

    def forward(self, map_BCF: Tensor) -> Tensor:
        return map_BCF * self.conv2(F.relu(self.conv1(map_BCF.mean(dim=2, keepdim=True)))).sigmoid()


class SERes2NetBlock(nn.Module):
    """Convolution, Res2Net, convolution, squeeze-excitation, and the input added."""

    def __init__(self, channels: int, squeezed: int, dilation: int) -> None:
        super().__init__()
        self.tdnn1 = TDNNBlock(channels, channels)
        self.res2net_block = Res2NetBlock(channels, dilation)
        self.tdnn2 = TDNNBlock(channels, channels)
        self.se_block = SqueezeExcitation(channels, squeezed)

    def forward(self, map_BCF: Tensor) -> Tensor:
        return self.se_block(self.tdnn2(self.res2net_block(self.tdnn1(map_BCF)))) + map_BCF


class AttentivePooling(nn.Module):
    """Mean and deviation over frames weighted by attention, which sees each frame beside its utterance's statistics."""

    def __init__(self, channels: int, attention_channels: int) -> None:
        super().__init__()
        self.tdnn = TDNNBlock(3 * channels, attention_channels)
        self.conv = Convolution(attention_channels, channels)

    def forward(self, map_BCF: Tensor) -> Tensor:
        variance_BC, mean_BC = torch.var_mean(map_BCF, dim=2, correction=0)
        context_BC = torch.cat([mean_BC, _deviation(variance_BC)], dim=1)
        # The statistics are the same in every frame: their share of the convolution is computed once.
        weight_AC1, shared_AC1 = self.tdnn.conv.conv.weight.split([mean_BC.shape[1], context_BC.shape[1]], dim=1)
        shared_BA1 = F.conv1d(context_BC[:, :, None], shared_AC1, self.tdnn.conv.conv.bias)
        attention_BAF = self.tdnn.norm["norm"](F.relu(F.conv1d(map_BCF, weight_AC1) + shared_BA1)).tanh()
        weight_BCF = self.conv(attention_BAF).softmax(dim=2)
        mean_BC1 = (weight_BCF * map_BCF).sum(dim=2, keepdim=True)
        variance_BC1 = (weight_BCF * (map_BCF - mean_BC1).square()).sum(dim=2, keepdim=True)
        return torch.cat([mean_BC1, _deviation(variance_BC1)], dim=1)


def _deviation(variance: Tensor) -> Tensor:
    return variance.clamp(min=LEAST_VARIANCE).sqrt()


def _norm(channels: int) -> nn.ModuleDict:
    # SpeechBrain wraps the module, so that its weights are called `norm.weight` below the wrapper's name.
    return nn.ModuleDict({"norm": nn.BatchNorm1d(channels)})
