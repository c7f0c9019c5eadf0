"""Pooling over time that several residual networks share.

Shapes: B batch, C channels, M bands, F frames.
"""

import torch
from torch import Tensor


def mean_and_deviation(map_BCMF: Tensor, floor: float) -> Tensor:
    """Return mean and deviation (unbiased, `floor` added to the variance) of every row over time, [B, 2 C M].

    WeSpeaker and 3D-Speaker call it TSTP.
    """
    deviation_BCM = (map_BCMF.var(dim=3) + floor).sqrt()
    return torch.cat([map_BCMF.mean(dim=3).flatten(1), deviation_BCM.flatten(1)], dim=1)
