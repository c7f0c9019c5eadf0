"""ERes2Net and ERes2NetV2, residual networks that fuse the maps of several layers, as 3D-Speaker publishes them.

Chen et al., "An enhanced Res2Net with local and global feature fusion" (arXiv 2305.12838) and "ERes2NetV2" (arXiv
2406.02167); code modelscope/3D-Speaker, whose names of weights are kept here.

Shapes: B batch, M mel bands, F frames, C channels, D embedding dimension.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from reseed.stages.backbones.kaldi import KaldiBackbone
from reseed.stages.backbones.pooling import mean_and_deviation
from reseed.stages.backbones.settings import ERes2NetConfig, ERes2NetV2Config
from reseed.stages.backbones.weights import Checkpoint

BLOCKS = (3, 4, 6, 3)
FUSING = (False, False, True, True)  # whether the blocks of a layer fuse their groups by attention
CEILING = 20.0
VARIANCE_FLOOR = 1e-8


class _Trunk(KaldiBackbone):
    """Base of both: 80 Kaldi bands less their means, four layers of Res2Net blocks, mean and deviation over time."""

    window, scale, least_frames = "povey", 1.0, 9

    def build_trunk(self, checkpoint: Checkpoint) -> list[int]:
        """Make all but what fuses the layers, of the sizes of the checkpoint's; return the channels of each layer."""
        width = checkpoint.size("conv1.weight")
        expansion = max(1, checkpoint.size("layer1.0.conv3.weight") // width)
        channels = [expansion * width * 2**layer for layer in range(4)]
        rows = max(1, checkpoint.size("seg_1.weight", 1) // (2 * channels[-1]))
        self.build_fbank(checkpoint, 8 * rows)
        self.embedding_dim = checkpoint.size("seg_1.weight")
        self.conv1 = nn.Conv2d(1, width, kernel_size=3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        layers, n_in = [], width
        for number, (n_out, blocks, fuses) in enumerate(zip(channels, BLOCKS, FUSING, strict=True), start=1):
            group = checkpoint.size(f"layer{number}.0.convs.0.weight")
            groups = max(1, checkpoint.size(f"layer{number}.0.conv1.weight") // group)
            first = Res2Block(n_in, n_out, [group] * groups, 1 if number == 1 else 2, fuses)
            rest = (Res2Block(n_out, n_out, [group] * groups, 1, fuses) for _ in range(blocks - 1))
            layers.append(nn.Sequential(first, *rest))
            n_in = n_out
        self.layer1, self.layer2, self.layer3, self.layer4 = layers
        self.seg_1 = nn.Linear(2 * channels[-1] * rows, self.embedding_dim)
        return channels

    def maps(self, feature_BMF: Tensor) -> list[Tensor]:
        """Return the maps of the four layers, the finest first."""
        one = self.layer1(F.relu(self.bn1(self.conv1(feature_BMF[:, None]))))
        two = self.layer2(one)
        three = self.layer3(two)
        return [one, two, three, self.layer4(three)]

    def pool(self, activation: Tensor) -> Tensor:
        """Return the embedding of mean and deviation over time."""
        return self.seg_1(mean_and_deviation(activation, VARIANCE_FLOOR))


class ERes2Net(_Trunk):
    """80 Kaldi bands less their means, Res2Net blocks, all four layers fused from the finest up; D = 192 or 512.

    Base, large and huge (`ERes2Net_huge`) are told by their weights. Embeddings are of any length.
    """

    name = "eres2net"
    Config = ERes2NetConfig
    landmarks = ("layer1_downsample.weight", "fuse_mode1234.local_att.3.weight", "seg_1.weight")

    def __init__(self, config: ERes2NetConfig) -> None:
        super().__init__()
        checkpoint = Checkpoint.read(config.weights, type(self))
        one, two, three, four = self.build_trunk(checkpoint)
        self.layer1_downsample, self.fuse_mode12 = _halving(one, two), Fusion(two)
        self.layer2_downsample, self.fuse_mode123 = _halving(two, three), Fusion(three)
        self.layer3_downsample, self.fuse_mode1234 = _halving(three, four), Fusion(four)
        checkpoint.load_into(self)

    def activations(self, feature_BMF: Tensor) -> Tensor:
        """Return the fused map [B, C, M / 8, F / 8]."""
        one, two, three, four = self.maps(feature_BMF)
        fused = self.fuse_mode12(two, self.layer1_downsample(one))
        fused = self.fuse_mode123(three, self.layer2_downsample(fused))
        return self.fuse_mode1234(four, self.layer3_downsample(fused)).float()


class ERes2NetV2(_Trunk):
    """80 Kaldi bands less their means, Res2Net blocks, the last two layers fused; D = 192.

    `ERes2NetV2_w24s4ep4` is told by its weights. Embeddings are of any length.
    """

    name = "eres2netv2"
    Config = ERes2NetV2Config
    landmarks = ("layer3_ds.weight", "fuse34.local_att.3.weight", "seg_1.weight")

    def __init__(self, config: ERes2NetV2Config) -> None:
        super().__init__()
        checkpoint = Checkpoint.read(config.weights, type(self))
        *_, three, four = self.build_trunk(checkpoint)
        self.layer3_ds, self.fuse34 = _halving(three, four), Fusion(four)
        checkpoint.load_into(self)

    def activations(self, feature_BMF: Tensor) -> Tensor:
        """Return the fused map [B, C, M / 8, F / 8]."""
        *_, three, four = self.maps(feature_BMF)
        return self.fuse34(four, self.layer3_ds(three)).float()


class Res2Block(nn.Module):
    """Groups of channels, each convolved after the one before is added or fused, between two 1x1 convolutions.

    Args:
        groups: channels of each group.
    """

    def __init__(self, n_in: int, n_out: int, groups: Sequence[int], stride: int, fuses: bool) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(n_in, sum(groups), kernel_size=1, stride=stride, bias=False)
        self.bn1 = nn.BatchNorm2d(sum(groups))
        self.convs = nn.ModuleList(nn.Conv2d(n, n, kernel_size=3, padding=1, bias=False) for n in groups)
        self.bns = nn.ModuleList(nn.BatchNorm2d(n) for n in groups)
        self.fuse_models = nn.ModuleList(Fusion(n) for n in groups[1:]) if fuses else None
        self.conv3 = nn.Conv2d(sum(groups), n_out, kernel_size=1, bias=False)
        self.bn3 = nn.BatchNorm2d(n_out)
        self.shortcut = nn.Sequential()
        if stride != 1 or n_in != n_out:
            self.shortcut = nn.Sequential(nn.Conv2d(n_in, n_out, 1, stride, bias=False), nn.BatchNorm2d(n_out))

    def forward(self, map_BCMF: Tensor) -> Tensor:
        outcomes: list[Tensor] = []
        for index, group in enumerate(_clipped(self.bn1(self.conv1(map_BCMF))).chunk(len(self.convs), dim=1)):
            taken = self._joined(outcomes[-1], group, index) if outcomes else group
            outcomes.append(_clipped(self.bns[index](self.convs[index](taken))))
        out_BCMF = self.bn3(self.conv3(torch.cat(outcomes, dim=1)))
        return _clipped(out_BCMF + self.shortcut(map_BCMF))

    def _joined(self, before: Tensor, group: Tensor, index: int) -> Tensor:
        return before + group if self.fuse_models is None else self.fuse_models[index - 1](before, group)


class Fusion(nn.Module):
    """The sum of two maps, the one weighted by 1 + a, the other by 1 - a: attention a in -1..1 sees both."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        narrow = channels // 4
        self.local_att = nn.Sequential(
            nn.Conv2d(2 * channels, narrow, kernel_size=1),
            nn.BatchNorm2d(narrow),
            nn.SiLU(),
            nn.Conv2d(narrow, channels, kernel_size=1),
            nn.BatchNorm2d(channels),
        )

    def forward(self, one: Tensor, other: Tensor) -> Tensor:
        attention = self.local_att(torch.cat([one, other], dim=1)).tanh()
        return one * (1 + attention) + other * (1 - attention)


def _clipped(map_BCMF: Tensor) -> Tensor:
    return F.hardtanh(map_BCMF, 0.0, CEILING)


def _halving(n_in: int, n_out: int) -> nn.Conv2d:
    return nn.Conv2d(n_in, n_out, kernel_size=3, stride=2, padding=1, bias=False)
