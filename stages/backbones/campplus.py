"""CAM++, a densely connected TDNN with context-aware masking, as 3D-Speaker publishes it.

Wang et al., "CAM++" (arXiv 2303.00332); code modelscope/3D-Speaker, whose names of weights are kept here.

Shapes: B batch, T samples, M mel bands, F frames, C channels, D embedding dimension.
"""

from collections import OrderedDict
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from reseed.stages.backbones.kaldi import KaldiBackbone
from reseed.stages.backbones.settings import CAMPPlusConfig
from reseed.stages.backbones.weights import Checkpoint

BLOCKS = ((12, 1), (24, 2), (16, 2))  # layers, dilation
SEGMENT_FRAMES = 100


@dataclass(frozen=True)
class Widths:
    """Channels of a layer of the dense blocks: of its bottleneck, and those that it adds."""

    bottleneck: int
    growth: int


class CAMPPlus(KaldiBackbone):
    """80 Kaldi bands less their means, a residual head, three dense blocks, mean and deviation; D = 192 or 512.

    The last layer is a normalisation without scale, shift or ReLU: embeddings are of any length and sign.
    """

    name = "campplus"
    Config = CAMPPlusConfig
    window, scale, least_frames = "povey", 1.0, 3
    landmarks = (
        "head.conv1.weight",
        "xvector.block1.tdnnd1.cam_layer.linear_local.weight",
        "xvector.dense.linear.weight",
    )

    def __init__(self, config: CAMPPlusConfig | None = None) -> None:
        super().__init__()
        weights = (config or CAMPPlusConfig()).weights or CAMPPlusConfig.published()
        checkpoint = Checkpoint.read(weights, type(self))
        channels = checkpoint.size("head.conv1.weight")
        flattened = checkpoint.size("xvector.tdnn.linear.weight", 1)
        self.build_fbank(checkpoint, 8 * max(1, flattened // channels))
        self.embedding_dim = checkpoint.size("xvector.dense.linear.weight")
        growth, bottleneck = (checkpoint.size(self.landmarks[1], axis) for axis in (0, 1))
        self.head = Head(channels)
        layers = _trunk(flattened, checkpoint.size("xvector.tdnn.linear.weight"), Widths(bottleneck, growth))
        pooled = checkpoint.size("xvector.dense.linear.weight", 1)
        self.xvector = nn.Sequential(layers | {"dense": DenseLayer(pooled, self.embedding_dim)})
        checkpoint.load_into(self)

    def convolutional(self, feature_BMF: Tensor) -> Tensor:
        """Map features [B, M, F] to what the head gives, [B, C, M / 8, F]."""
        map_BCMF: Tensor = self.head(feature_BMF)
        return map_BCMF.float()

    def pooled_of(self, convolutional: Tensor) -> Tensor:
        """Map what the head gives to what is pooled, [B, 512, F / 2]."""
        map_BCF: Tensor = self.xvector[:-1](convolutional.flatten(1, 2))
        return map_BCF.float()  # also under autocast: the pooling squares

    def pool(self, activation: Tensor) -> Tensor:
        """Return the embedding of mean and deviation (unbiased) over time."""
        pooled_BC = torch.cat([activation.mean(dim=2), activation.std(dim=2)], dim=1)
        embedding_BD1: Tensor = self.xvector[-1](pooled_BC[:, :, None])
        return embedding_BD1[:, :, 0]


def _trunk(n_in: int, channels: int, widths: Widths) -> OrderedDict[str, nn.Module]:
    layers: OrderedDict[str, nn.Module] = OrderedDict(tdnn=TDNNLayer(n_in, channels))
    for number, (depth, dilation) in enumerate(BLOCKS, start=1):
        layers[f"block{number}"] = DenseBlock(channels, depth, dilation, widths)
        channels += depth * widths.growth
        layers[f"transit{number}"] = TransitLayer(channels)
        channels //= 2
    layers["out_nonlinear"] = _active(channels)
    return layers


def _active(channels: int) -> nn.Sequential:
    return nn.Sequential(OrderedDict(batchnorm=nn.BatchNorm1d(channels), relu=nn.ReLU(inplace=True)))


class Head(nn.Module):
    """Residual convolutions that see a band beside its neighbours: [B, M, F] -> [B, C, M / 8, F]."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, channels, kernel_size=3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.layer1 = nn.Sequential(ResidualBlock(channels, stride=2), ResidualBlock(channels, stride=1))
        self.layer2 = nn.Sequential(ResidualBlock(channels, stride=2), ResidualBlock(channels, stride=1))
        self.conv2 = nn.Conv2d(channels, channels, kernel_size=3, stride=(2, 1), padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)

    def forward(self, feature_BMF: Tensor) -> Tensor:
        map_BCMF = F.relu(self.bn1(self.conv1(feature_BMF[:, None])))
        map_BCMF = self.layer2(self.layer1(map_BCMF))
        return F.relu(self.bn2(self.conv2(map_BCMF)))


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions and a shortcut; `stride` is over bands alone."""

    def __init__(self, channels: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, kernel_size=3, stride=(stride, 1), padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, kernel_size=3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.shortcut = nn.Sequential()
        if stride != 1:
            convolution = nn.Conv2d(channels, channels, kernel_size=1, stride=(stride, 1), bias=False)
            self.shortcut = nn.Sequential(convolution, nn.BatchNorm2d(channels))

    def forward(self, map_BCMF: Tensor) -> Tensor:
        out_BCMF = F.relu(self.bn1(self.conv1(map_BCMF)), inplace=True)
        return F.relu(self.bn2(self.conv2(out_BCMF)) + self.shortcut(map_BCMF), inplace=True)


class TDNNLayer(nn.Module):
    """A convolution over five frames that keeps every second, normalisation, ReLU."""

    def __init__(self, n_in: int, n_out: int) -> None:
        super().__init__()
        self.linear = nn.Conv1d(n_in, n_out, kernel_size=5, stride=2, padding=2, bias=False)
        self.nonlinear = _active(n_out)

    def forward(self, map_BCF: Tensor) -> Tensor:
        return self.nonlinear(self.linear(map_BCF))


class DenseBlock(nn.ModuleDict):
    """Layers each of which sees the channels of all before it and adds a few of its own."""

    def __init__(self, n_in: int, depth: int, dilation: int, widths: Widths) -> None:
        super().__init__(
            {
                f"tdnnd{layer + 1}": DenseTDNNLayer(n_in + layer * widths.growth, dilation, widths)
                for layer in range(depth)
            }
        )

    def forward(self, map_BCF: Tensor) -> Tensor:
        for layer in self.values():
            map_BCF = torch.cat([map_BCF, layer(map_BCF)], dim=1)
        return map_BCF


class DenseTDNNLayer(nn.Module):
    """A bottleneck, and a convolution over three frames under a mask of its context."""

    def __init__(self, n_in: int, dilation: int, widths: Widths) -> None:
        super().__init__()
        self.nonlinear1 = _active(n_in)
        self.linear1 = nn.Conv1d(n_in, widths.bottleneck, kernel_size=1, bias=False)
        self.nonlinear2 = _active(widths.bottleneck)
        self.cam_layer = ContextAwareMasking(dilation, widths)

    def forward(self, map_BCF: Tensor) -> Tensor:
        return self.cam_layer(self.nonlinear2(self.linear1(self.nonlinear1(map_BCF))))


class ContextAwareMasking(nn.Module):
    """Scales each frame's channels by a factor in 0..1 that depends on the means of its segment and of the whole.

    Segments are of 100 frames; the last one may be shorter.
    """

    def __init__(self, dilation: int, widths: Widths) -> None:
        super().__init__()
        n_in, n_out = widths.bottleneck, widths.growth
        self.linear_local = nn.Conv1d(n_in, n_out, 3, padding=dilation, dilation=dilation, bias=False)
        self.linear1 = nn.Conv1d(n_in, n_in // 2, kernel_size=1)
        self.linear2 = nn.Conv1d(n_in // 2, n_out, kernel_size=1)

    def forward(self, map_BCF: Tensor) -> Tensor:
        # The masks of a segment are those of all its frames, so that they are computed once for each segment.
        segment_BCS = F.avg_pool1d(map_BCF, SEGMENT_FRAMES, SEGMENT_FRAMES, ceil_mode=True)
        context_BCS = F.relu(self.linear1(segment_BCS + map_BCF.mean(dim=2, keepdim=True)))
        mask_BCS = self.linear2(context_BCS).sigmoid()
        mask_BCF = mask_BCS.repeat_interleave(SEGMENT_FRAMES, dim=2)[..., : map_BCF.shape[2]]
        return self.linear_local(map_BCF) * mask_BCF


class TransitLayer(nn.Module):
    """Normalisation, ReLU, and half as many channels."""

    def __init__(self, n_in: int) -> None:
        super().__init__()
        self.nonlinear = _active(n_in)
        self.linear = nn.Conv1d(n_in, n_in // 2, kernel_size=1, bias=False)

    def forward(self, map_BCF: Tensor) -> Tensor:
        return self.linear(self.nonlinear(map_BCF))


class DenseLayer(nn.Module):
    """The embedding, normalised without scale and shift."""

    def __init__(self, n_in: int, n_out: int) -> None:
        super().__init__()
        self.linear = nn.Conv1d(n_in, n_out, kernel_size=1, bias=False)
        self.nonlinear = nn.Sequential(OrderedDict(batchnorm=nn.BatchNorm1d(n_out, affine=False)))

    def forward(self, pooled_BC1: Tensor) -> Tensor:
        return self.nonlinear(self.linear(pooled_BC1))
