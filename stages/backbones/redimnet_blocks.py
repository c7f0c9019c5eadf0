"""The blocks of ReDimNet, of the sizes of a checkpoint's weights and under their names.

Shapes: B batch, C channels, M bands, F frames, W = C M at every stage, H inner width, N earlier outputs.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from reseed.stages.backbones.weights import Checkpoint

EPS = 1e-6
HEADS = 4
CONTEXT_KERNELS = (7, 19, 31, 59)


class WeightedSum(nn.Module):
    """The sum of N rows [B, W, F], weighted for every channel by weights that sum to 1."""

    def __init__(self, count: int, width: int) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.zeros(1, count, width, 1))

    def forward(self, rows: Sequence[Tensor]) -> Tensor:
        weight_1NW1 = self.w.softmax(dim=1)
        summed = weight_1NW1[:, 0] * rows[0]
        for index, row_BWF in enumerate(rows[1:], start=1):
            summed = summed + weight_1NW1[:, index] * row_BWF
        return summed


class ToPlane(nn.Module):
    """Rows [B, M C, F], bands first, to planes [B, C, M, F]."""

    def __init__(self, bands: int, channels: int) -> None:
        super().__init__()
        self.bands, self.channels = bands, channels

    def forward(self, row_BWF: Tensor) -> Tensor:
        return row_BWF.unflatten(1, (self.bands, self.channels)).transpose(1, 2)


class ToRow(nn.Module):
    """Planes [B, C, M, F] to rows [B, M C, F], bands first."""

    def forward(self, map_BCMF: Tensor) -> Tensor:
        return map_BCMF.transpose(1, 2).flatten(1, 2)


class ChannelNorm(nn.Module):
    """Each point of mean 0 and variance 1 over its channels, the second axis."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.ones(channels)), nn.Parameter(torch.zeros(channels))

    def forward(self, map: Tensor) -> Tensor:
        return F.layer_norm(map.movedim(1, -1), self.weight.shape, self.weight, self.bias, EPS).movedim(-1, 1)


class ConvNeXtBlock(nn.Module):
    """A convolution in groups, normalisation, GELU, a convolution of kernel 1, and the input added; planes or rows.

    Args:
        axes: of the convolution: 1 for rows, 2 for planes.
        group: channels of each group.
    """

    def __init__(self, channels: int, axes: int, kernel: int, group: int) -> None:
        super().__init__()
        convolution, norm = (nn.Conv1d, nn.BatchNorm1d) if axes == 1 else (nn.Conv2d, nn.BatchNorm2d)
        groups = max(1, channels // group)
        self.dwconvs = nn.ModuleList([convolution(channels, channels, kernel, padding="same", groups=groups)])
        self.norm = norm(channels)
        self.pwconv1 = convolution(channels, channels, 1)

    def forward(self, map: Tensor) -> Tensor:
        return map + self.pwconv1(F.gelu(self.norm(self.dwconvs[0](map))))


class ResNetBlock(nn.Module):
    """Two 3x3 convolutions (ReLU before the first normalisation), and the input added; [B, C, M, F].

    Args:
        group: channels of each group of the convolutions, behind each of which one of kernel 1 joins them; None: one.
        bands, squeezed: sizes of the squeeze-excitation of bands; None: there is none.
    """

    def __init__(self, channels: int, group: int | None, bands: int, squeezed: int | None) -> None:
        super().__init__()
        groups = 1 if group is None else max(1, channels // group)
        self.conv1, self.conv2 = (nn.Conv2d(channels, channels, 3, padding=1, bias=False, groups=groups) for _ in "12")
        self.conv1pw, self.conv2pw = (
            nn.Identity() if group is None else nn.Conv2d(channels, channels, 1) for _ in "12"
        )
        self.bn1, self.bn2 = nn.BatchNorm2d(channels), nn.BatchNorm2d(channels)
        self.se = nn.Identity() if squeezed is None else BandExcitation(bands, squeezed)

    def forward(self, map_BCMF: Tensor) -> Tensor:
        out_BCMF = self.bn1(F.relu(self.conv1pw(self.conv1(map_BCMF))))
        out_BCMF = self.se(self.bn2(self.conv2pw(self.conv2(out_BCMF))))
        return F.relu(out_BCMF + map_BCMF)


class BandExcitation(nn.Module):
    """Scales each band by a factor in 0..1 that depends on the means of all."""

    def __init__(self, bands: int, squeezed: int) -> None:
        super().__init__()
        self.squeeze, self.exitation = nn.Linear(bands, squeezed), nn.Linear(squeezed, bands)  # spelt as published

    def forward(self, map_BCMF: Tensor) -> Tensor:
        factor_BM = self.exitation(F.relu(self.squeeze(map_BCMF.mean(dim=(1, 3))))).sigmoid()
        return map_BCMF * factor_BM[:, None, :, None]


class TimeContext(nn.Module):
    """Four convolutions and a transformer layer on fewer channels, and the input added; [B, W, F]."""

    def __init__(self, width: int, inner: int) -> None:
        super().__init__()
        self.red_dim_conv = nn.Sequential(nn.Conv1d(width, inner, 1), ChannelNorm(inner))
        convolutions = (ConvNeXtBlock(inner, 1, kernel, 1) for kernel in CONTEXT_KERNELS)
        self.tcm = nn.Sequential(*convolutions, TransformerLayer(inner))
        self.exp_dim_conv = nn.Conv1d(inner, width, 1)

    def forward(self, row_BWF: Tensor) -> Tensor:
        return row_BWF + self.exp_dim_conv(self.tcm(self.red_dim_conv(row_BWF)))


class TransformerLayer(nn.Module):
    """Self-attention of four heads over frames and two linear layers of the same width; [B, H, F]."""

    def __init__(self, inner: int) -> None:
        super().__init__()
        projections = ("k_proj", "v_proj", "q_proj", "out_proj")
        self.attention = nn.ModuleDict({name: nn.Linear(inner, inner) for name in projections})
        self.layer_norm = nn.LayerNorm(inner, eps=EPS)
        layers = ("intermediate_dense", "output_dense")
        self.feed_forward = nn.ModuleDict({name: nn.Linear(inner, inner) for name in layers})
        self.final_layer_norm = nn.LayerNorm(inner, eps=EPS)

    def forward(self, row_BHF: Tensor) -> Tensor:
        frame_BFH = row_BHF.transpose(1, 2)
        heads = [self.attention[f"{name}_proj"](frame_BFH).unflatten(2, (HEADS, -1)).transpose(1, 2) for name in "qkv"]
        attended_BFH = F.scaled_dot_product_attention(*heads).transpose(1, 2).flatten(2)
        frame_BFH = self.layer_norm(frame_BFH + self.attention["out_proj"](attended_BFH))
        hidden_BFH = F.gelu(self.feed_forward["intermediate_dense"](frame_BFH), approximate="tanh")
        return self.final_layer_norm(frame_BFH + self.feed_forward["output_dense"](hidden_BFH)).transpose(1, 2)


class PlaneBlock(nn.Module):
    """A block on planes, as the names of its weights say, which are called `conv_block`."""

    def __init__(self, checkpoint: Checkpoint, at: str, channels: int, bands: int) -> None:
        super().__init__()
        state = checkpoint.state
        if f"{at}.dwconvs.0.weight" in state:
            self.conv_block: nn.Module = ConvNeXtBlock(channels, 2, 3, checkpoint.size(f"{at}.dwconvs.0.weight", 1))
            return
        group = checkpoint.size(f"{at}.conv1.weight", 1) if f"{at}.conv1pw.weight" in state else None
        squeezed = checkpoint.size(f"{at}.se.squeeze.weight") if f"{at}.se.squeeze.weight" in state else None
        self.conv_block = ResNetBlock(channels, group, bands, squeezed)

    def forward(self, map_BCMF: Tensor) -> Tensor:
        return self.conv_block(map_BCMF)
