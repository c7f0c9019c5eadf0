"""Losses of backbone training: speaker classification, and proximity to anchors.

Shapes: B batch, K speakers, D embedding dimension.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from reseed.stages.backbones.training.settings import Proximity

_EDGE = 1e-6  # keeps the angle's gradient finite at cosines of -1 and 1


def angular_margin(embedding_BD: Tensor, weight_KD: Tensor, label_B: Tensor, margin: float, scale: float) -> Tensor:
    """Return the mean additive-angular-margin softmax loss.

    Source: Deng et al., "ArcFace" (arXiv 1801.07698), equation 3.
    """
    cosine_BK = F.normalize(embedding_BD, dim=-1) @ F.normalize(weight_KD, dim=-1).T
    own_B1 = cosine_BK.gather(1, label_B[:, None]).clamp(-1 + _EDGE, 1 - _EDGE)
    # Beyond pi - margin the cosine would rise again: there its tangent goes on in its place.
    turned_B1 = torch.where(
        own_B1 > -torch.cos(torch.tensor(margin)),
        torch.cos(own_B1.acos() + margin),
        own_B1 - torch.sin(torch.tensor(margin)) * margin,
    )
    return F.cross_entropy(scale * cosine_BK.scatter(1, label_B[:, None], turned_B1), label_B)


def proximity(embedding_BD: Tensor, anchor_BD: Tensor, kind: Proximity) -> Tensor:
    """Return the mean distance of embeddings from their anchors, both scaled to unit length."""
    cosine_B = F.cosine_similarity(embedding_BD, anchor_BD, dim=-1)
    if kind.kind == "cosine":
        return (1 - cosine_B).mean()
    squared_B = (F.normalize(embedding_BD, dim=-1) - F.normalize(anchor_BD, dim=-1)).square().sum(dim=-1)
    return squared_B.mean() if kind.kind == "l2" else (squared_B + 1e-6).log().mean()
