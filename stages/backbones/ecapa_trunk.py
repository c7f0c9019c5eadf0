"""What the ECAPA-TDNN networks descended from voxceleb_trainer share: all up to the attention.

Desplanques et al., "ECAPA-TDNN" (arXiv 2005.07143). In its Res2Net blocks the ReLU stands before the normalisation,
and each block sees the sum of all earlier outputs.

Shapes: B batch, T samples, M features per frame, F frames, C channels, D embedding dimension.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from reseed.stages.backbones.base import StagedBackbone
from reseed.stages.backbones.weights import Checkpoint

SCALE = 8
AGGREGATED = 1536
SQUEEZED = 128
VARIANCE_FLOOR = 1e-4

Gate = Callable[[int], nn.Sequential]


class ECAPATrunk(StagedBackbone):
    """Base of `ecapa_tdnn` and `ecapa_taoruijie`, with the names of weights that both have."""

    features_text: str

    def build_trunk(self, checkpoint: Checkpoint, gate: Gate) -> None:
        """Make the layers, of the sizes of the checkpoint's; `gate` makes the squeeze-excitation of C channels."""
        channels, n_features = checkpoint.size("conv1.weight"), checkpoint.size("conv1.weight", 1)
        self.weights_sha256 = checkpoint.sha256
        self.embedding_dim = checkpoint.size("fc6.weight")
        self.conv1 = nn.Conv1d(n_features, channels, kernel_size=5, padding=2)
        self.bn1 = nn.BatchNorm1d(channels)
        self.layer1 = Res2Block(channels, 2, gate(channels))
        self.layer2 = Res2Block(channels, 3, gate(channels))
        self.layer3 = Res2Block(channels, 4, gate(channels))
        self.layer4 = nn.Conv1d(3 * channels, AGGREGATED, kernel_size=1)
        self.bn5 = nn.BatchNorm1d(2 * AGGREGATED)
        self.fc6 = nn.Linear(2 * AGGREGATED, self.embedding_dim)
        self.bn6 = nn.BatchNorm1d(self.embedding_dim)

    def identity(self) -> dict[str, Any]:
        return {"backbone": self.name, "weights_sha256": self.weights_sha256, "features": self.features_text}

    def activations(self, feature_BMF: Tensor) -> Tensor:
        """Map features [B, M, F] to what is pooled, [B, 1536, F]."""
        map_BCF = self.bn1(F.relu(self.conv1(feature_BMF)))
        one_BCF = self.layer1(map_BCF)
        two_BCF = self.layer2(map_BCF + one_BCF)
        three_BCF = self.layer3(map_BCF + one_BCF + two_BCF)
        # In single precision, also under autocast: the pooling squares.
        return F.relu(self.layer4(torch.cat([one_BCF, two_BCF, three_BCF], dim=1))).float()


class Res2Block(nn.Module):
    """Eight groups of channels, each convolved after the outcome of the one before is added; [B, C, F].

    The weights of the squeeze-excitation are called `se.se.N`.
    """

    def __init__(self, channels: int, dilation: int, gate: nn.Sequential) -> None:
        super().__init__()
        width = channels // SCALE
        self.conv1 = nn.Conv1d(channels, width * SCALE, kernel_size=1)
        self.bn1 = nn.BatchNorm1d(width * SCALE)
        convolutions = (
            nn.Conv1d(width, width, kernel_size=3, dilation=dilation, padding=dilation) for _ in range(SCALE - 1)
        )
        self.convs = nn.ModuleList(convolutions)
        self.bns = nn.ModuleList(nn.BatchNorm1d(width) for _ in range(SCALE - 1))
        self.conv3 = nn.Conv1d(width * SCALE, channels, kernel_size=1)
        self.bn3 = nn.BatchNorm1d(channels)
        self.se = nn.ModuleDict({"se": gate})

    def forward(self, map_BCF: Tensor) -> Tensor:
        *groups, last = self.bn1(F.relu(self.conv1(map_BCF))).chunk(SCALE, dim=1)
        outcomes: list[Tensor] = []
        for group, conv, bn in zip(groups, self.convs, self.bns, strict=True):
            outcomes.append(bn(F.relu(conv(group + outcomes[-1] if outcomes else group))))
        out_BCF = self.bn3(F.relu(self.conv3(torch.cat([*outcomes, last], dim=1))))
        return out_BCF * self.se["se"](out_BCF) + map_BCF


def with_context(map_BCF: Tensor) -> Tensor:
    """Append to each frame the mean and the deviation (unbiased) of its utterance: [B, 3C, F]."""
    mean_BC1 = map_BCF.mean(dim=2, keepdim=True)
    deviation_BC1 = map_BCF.var(dim=2, keepdim=True).clamp(min=VARIANCE_FLOOR).sqrt()
    return torch.cat([map_BCF, mean_BC1.expand_as(map_BCF), deviation_BC1.expand_as(map_BCF)], dim=1)
