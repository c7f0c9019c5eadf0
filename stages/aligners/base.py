"""What every alignment is: two maps, one for the enrolment and one for the test side, into one speaker space.

Two backbones are trained and updated apart; their embeddings of the same crops are all that a map is learnt from
(NESSA, arXiv 2401.12440).

Shapes: N rows (crop x view) that both stores share, D and E dimensions of the two sides, K of the shared space.
"""

from collections.abc import Iterator
from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from reseed.stages.aligners.shared import SharedRows
from reseed.stages.common.section import Section

Side = Literal["enrolment", "test"]
SIDES: tuple[Side, Side] = ("enrolment", "test")


class Alignment(nn.Module):
    """Maps for two sides. A subclass has a Config, learns in `fit`, and maps unit vectors in `enrolment` and `test`.

    Args:
        dims: dimensions of the enrolment and of the test side.
        speakers: how many both sides know by name; for maps to speakers.

    Attributes:
        seeded: whether another seed learns other maps of the same rows.
    """

    Config: ClassVar[type[Section]]
    seeded: ClassVar[bool] = False

    def __init__(self, config: Section, dims: tuple[int, int], speakers: int = 0) -> None:
        super().__init__()
        self.config, self.dims = config, dims

    def fit(self, shared: SharedRows, seed: int) -> Iterator[dict[str, float]]:
        """Learn both maps from shared rows; yield what is worth logging.

        Raises:
            ModelError: the rows do not suffice.
        """
        raise NotImplementedError

    def map(self, side: Side, embedding_BD: Tensor) -> Tensor:
        """Return vectors of one side in the shared space, [B, K], of unit length."""
        mapped: Tensor = F.normalize(self.get_submodule(side)(F.normalize(embedding_BD, dim=-1)), dim=-1)
        return mapped


class Affine(nn.Module):
    """(x - mean) A: what the closed forms come to."""

    def __init__(self, dim: int, shared: int) -> None:
        super().__init__()
        self.register_buffer("mean_D", torch.zeros(dim))
        self.register_buffer("map_DK", torch.zeros(dim, shared))

    def set(self, mean_D: Tensor, map_DK: Tensor) -> None:
        """Take over what was computed, in single precision."""
        self.mean_D = mean_D.float()
        self.map_DK = map_DK.float()

    def forward(self, embedding_BD: Tensor) -> Tensor:
        return (embedding_BD - self.mean_D) @ self.map_DK
