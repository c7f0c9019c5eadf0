"""ResNetSE34V2, the 34-layer residual network of voxceleb_trainer that SEED enhances.

Heo et al., "Clova baseline system for the VoxCeleb speaker recognition challenge 2020" (arXiv 2009.14153); code
clovaai/voxceleb_trainer and kaistmm/seed-pytorch, whose names of weights are kept here.

Shapes: B batch, T samples, M mel bands, F frames, C channels, D embedding dimension.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from reseed.stages.backbones.base import StagedBackbone
from reseed.stages.backbones.features import SAMPLE_RATE_HZ, filterbank, mel_spectrogram
from reseed.stages.backbones.settings import ResNetSE34V2Config
from reseed.stages.backbones.weights import Checkpoint

BLOCKS = (3, 4, 6, 3)
FILTERS = (32, 64, 128, 256)
SQUEEZE = 8


class ResNetSE34V2(StagedBackbone):
    """Log-mel bands, each normalised over time; residual blocks with squeeze-excitation; attentive pooling; D = 512.

    The pooling is of mean and deviation (ASP) or of the mean alone (SAP), as the last layer's input asks. Embeddings
    are returned as the last layer gives them, of any length.
    """

    name = "resnet_se34v2"
    Config = ResNetSE34V2Config
    sample_rate_hz = SAMPLE_RATE_HZ
    landmarks = ("layer4.2.se.fc.2.weight", "attention.3.weight", "fc.weight")

    def __init__(self, config: ResNetSE34V2Config, checkpoint: Checkpoint | None = None) -> None:
        super().__init__()
        self.config = config
        checkpoint = checkpoint or Checkpoint.read(self.config.weights, type(self))
        self.weights_sha256 = checkpoint.sha256
        pooled, self.embedding_dim = checkpoint.size("attention.3.weight"), checkpoint.size("fc.weight")
        self.pools_deviation = checkpoint.size("fc.weight", 1) != pooled
        self.torchfb = mel_spectrogram(n_mels=8 * pooled // FILTERS[-1])
        self.conv1 = nn.Conv2d(1, FILTERS[0], kernel_size=3, padding=1)
        self.bn1 = nn.BatchNorm2d(FILTERS[0])
        self.layer1 = _layer(FILTERS[0], FILTERS[0], BLOCKS[0], stride=1)
        self.layer2 = _layer(FILTERS[0], FILTERS[1], BLOCKS[1], stride=2)
        self.layer3 = _layer(FILTERS[1], FILTERS[2], BLOCKS[2], stride=2)
        self.layer4 = _layer(FILTERS[2], FILTERS[3], BLOCKS[3], stride=2)
        self.attention = nn.Sequential(
            nn.Conv1d(pooled, 128, kernel_size=1),
            nn.ReLU(),
            nn.BatchNorm1d(128),
            nn.Conv1d(128, pooled, kernel_size=1),
            nn.Softmax(dim=2),
        )
        self.fc = nn.Linear(pooled * (2 if self.pools_deviation else 1), self.embedding_dim)
        checkpoint.load_into(self, recomputed=("torchfb.",))
        # The convolutions are 1.3 times as fast on a CPU if the channels of a point lie side by side.
        nn.utils.convert_conv2d_weight_memory_format(self, torch.channels_last)

    def identity(self) -> dict[str, Any]:
        return {
            "backbone": self.name,
            "weights_sha256": self.weights_sha256,
            "features": "log-mel, 25/10 ms, Hamming, pre-emphasis 0.97, instance normalisation",
            "variance_floor": self.config.variance_floor,
        }

    def spectrum(self, waveform_BT: Tensor) -> Tensor:
        """Return power in mel bands [B, M, F]."""
        spectrum_BMF: Tensor = self.torchfb(waveform_BT)
        return spectrum_BMF

    def features_of_log(self, log_BMF: Tensor) -> Tensor:
        """Return log-mel bands [B, M, F], each of mean 0 and variance 1 over time."""
        return F.instance_norm(log_BMF)

    @property
    def filterbank_HM(self) -> Tensor:
        return filterbank(self.torchfb)

    def activations(self, feature_BMF: Tensor) -> Tensor:
        """Return what the last residual layer gives: [B, 256, M / 8, F / 8]."""
        map_BCMF = self.bn1(F.relu(self.conv1(feature_BMF[:, None]), inplace=True))
        out_BCMF: Tensor = self.layer4(self.layer3(self.layer2(self.layer1(map_BCMF))))
        return out_BCMF

    def pool(self, activation: Tensor) -> Tensor:
        """Return the embedding of attentive mean (and deviation) over time."""
        map_BCF = activation.flatten(1, 2).float()  # also under autocast: squares follow
        weight_BCF = self.attention(map_BCF)
        mean_BC = (map_BCF * weight_BCF).sum(dim=2)
        if not self.pools_deviation:
            return self.fc(mean_BC)
        variance_BC = (map_BCF.square() * weight_BCF).sum(dim=2) - mean_BC.square()
        return self.fc(torch.cat([mean_BC, variance_BC.clamp(min=self.config.variance_floor).sqrt()], dim=1))


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions (ReLU before the first normalisation), squeeze-excitation, shortcut; [B, C, M, F]."""

    def __init__(self, n_in: int, n_out: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(n_in, n_out, kernel_size=3, stride=stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(n_out)
        self.conv2 = nn.Conv2d(n_out, n_out, kernel_size=3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(n_out)
        self.se = SqueezeExcitation(n_out)
        self.downsample: nn.Module = nn.Identity()
        if stride != 1 or n_in != n_out:
            shortcut = nn.Conv2d(n_in, n_out, kernel_size=1, stride=stride, bias=False)
            self.downsample = nn.Sequential(shortcut, nn.BatchNorm2d(n_out))

    def forward(self, map_BCMF: Tensor) -> Tensor:
        out_BCMF = self.bn1(F.relu(self.conv1(map_BCMF), inplace=True))
        out_BCMF = self.se(self.bn2(self.conv2(out_BCMF)))
        return F.relu(out_BCMF + self.downsample(map_BCMF), inplace=True)


class SqueezeExcitation(nn.Module):
    """Scales each channel by a factor in 0..1 that depends on the means of all."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        bottleneck = channels // SQUEEZE
        self.fc = nn.Sequential(
            nn.Linear(channels, bottleneck), nn.ReLU(), nn.Linear(bottleneck, channels), nn.Sigmoid()
        )

    def forward(self, map_BCMF: Tensor) -> Tensor:
        return map_BCMF * self.fc(map_BCMF.mean(dim=(2, 3)))[:, :, None, None]


def _layer(n_in: int, n_out: int, blocks: int, stride: int) -> nn.Sequential:
    rest = (ResidualBlock(n_out, n_out, 1) for _ in range(blocks - 1))
    return nn.Sequential(ResidualBlock(n_in, n_out, stride), *rest)
