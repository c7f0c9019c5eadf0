"""Steps that a chain has beside the enhancers: length normalisation, whitening, linear discriminant analysis.

Shapes: B batch, D embedding dimension, K dimensions kept, N utterances x crops of a block, S speakers, V views.
"""

from collections.abc import Iterable

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from reseed.stages.common.section import Section
from reseed.stages.enhancers.base import Enhancer, Speakers
from reseed.stages.enhancers.wccn import inverse_square_root
from reseed.store import StoreError


class LengthNormConfig(Section):
    """Settings of length normalisation: none."""


class LengthNorm(Enhancer):
    """Length normalisation: each vector is divided by its length (Garcia-Romero and Espy-Wilson, Interspeech 2011)."""

    Config = LengthNormConfig

    @property
    def needs_noise(self) -> bool:
        """It learns nothing."""
        return False

    def enhance(self, embedding_BD: Tensor, generator: torch.Generator) -> Tensor:
        """Return unit vectors [B, D]."""
        return F.normalize(embedding_BD, dim=-1)


class WhitenConfig(Section):
    """Settings of whitening.

    Attributes:
        shrinkage: added to the diagonal of the covariance, as a multiple of its mean eigenvalue.
    """

    shrinkage: float = Field(default=0.1, gt=0)


class Whiten(Enhancer):
    """Whitening: (x - mean) (T + shrinkage * mean eigenvalue of T * I)^(-1/2), T the covariance of all vectors."""

    Config = WhitenConfig
    config: WhitenConfig
    mean_D: Tensor
    whitening_DD: Tensor

    def __init__(self, config: WhitenConfig, dim: int) -> None:
        super().__init__(config, dim)
        self.register_buffer("mean_D", torch.zeros(dim))
        self.register_buffer("whitening_DD", torch.eye(dim))

    @property
    def needs_noise(self) -> bool:
        """The covariance of all vectors can be had of any store."""
        return False

    def fit(self, blocks: Iterable[Tensor], view_names: list[str], crops: int = 1, speakers: Speakers = ()) -> None:
        """Set mean and covariance in one pass.

        Raises:
            StoreError: all vectors are the same.
        """
        rows, total_D, square_DD = 0, torch.zeros(()), torch.zeros(())
        for block_NVD in blocks:
            vectors_BD = block_NVD.flatten(0, 1).double()
            rows, total_D = rows + len(vectors_BD), total_D + vectors_BD.sum(dim=0)
            square_DD = square_DD + vectors_BD.T @ vectors_BD
        mean_D = total_D / rows
        covariance_DD = square_DD / rows - mean_D.outer(mean_D)
        if not covariance_DD.trace() > 1e-12 * square_DD.trace() / rows:
            raise StoreError("all cached vectors are the same: there is nothing to whiten; check the recordings")
        self.mean_D.copy_(mean_D)
        self.whitening_DD.copy_(inverse_square_root(covariance_DD, self.config.shrinkage))

    def enhance(self, embedding_BD: Tensor, generator: torch.Generator) -> Tensor:
        """Return whitened vectors [B, D]."""
        return (embedding_BD - self.mean_D) @ self.whitening_DD


class Discriminant(Enhancer):
    """A projection (x - mean) P onto the `dim_out` directions that tell speakers apart."""

    mean_D: Tensor
    projection_DK: Tensor

    def __init__(self, config: Section, dim: int) -> None:
        super().__init__(config, dim)
        if self.dim_out > dim:
            name = type(self).__name__.lower()
            raise StoreError(f"{name} cannot keep {self.dim_out} dimensions of {dim}; set {name} to {dim} or less")
        self.register_buffer("mean_D", torch.zeros(dim))
        self.register_buffer("projection_DK", torch.zeros(dim, self.dim_out))

    @property
    def needs_noise(self) -> bool:
        """Speakers differ in any store."""
        return False

    def enhance(self, embedding_BD: Tensor, generator: torch.Generator) -> Tensor:
        """Return vectors [B, K], the direction that tells most first."""
        return (embedding_BD - self.mean_D) @ self.projection_DK


class LdaConfig(Section):
    """Settings of linear discriminant analysis.

    Attributes:
        dims: dimensions kept; fewer than speakers, and no more than the vectors have.
        shrinkage: added to the diagonal of the covariance within speakers, as a multiple of its mean eigenvalue.
    """

    dims: int = Field(default=128, ge=1)
    shrinkage: float = Field(default=0.1, gt=0)


class Lda(Discriminant):
    """LDA: the directions that tell the training speakers apart, within-speaker variance one in each; needs labels.

    Fisher's discriminant with the speaker as the class, crops and views of all utterances alike being its members.
    """

    Config = LdaConfig
    config: LdaConfig

    @property
    def dim_out(self) -> int:
        """K."""
        return self.config.dims

    def fit(self, blocks: Iterable[Tensor], view_names: list[str], crops: int = 1, speakers: Speakers = ()) -> None:
        """Set the projection in one pass; utterances of unknown speakers are left out.

        Raises:
            StoreError: as many speakers as dimensions kept, or fewer, are known.
        """
        names, label_N = speaker_labels(speakers, crops)
        if len(names) <= self.config.dims:
            raise StoreError(
                f"lda to {self.config.dims} dimensions needs more speakers than that, and the training store names "
                f"{len(names)}; set lda to {max(1, len(names) - 1)} or less, or prepare the corpus with speaker labels"
            )
        count_S = torch.zeros(len(names), dtype=torch.float64)
        total_SD = torch.zeros(len(names), self.dim, dtype=torch.float64, device=self.mean_D.device)
        square_DD, start = torch.zeros(()), 0
        for block_NVD in blocks:
            label_B = label_N[start : start + len(block_NVD)].repeat_interleave(block_NVD.shape[1])
            start += len(block_NVD)
            vectors_BD, label_B = block_NVD.flatten(0, 1)[label_B >= 0].double(), label_B[label_B >= 0]
            count_S += torch.bincount(label_B, minlength=len(names))
            total_SD.index_add_(0, label_B.to(total_SD.device), vectors_BD)
            square_DD = square_DD + vectors_BD.T @ vectors_BD
        count_S1 = count_S.to(total_SD.device)[:, None]
        mean_SD, rows = total_SD / count_S1, count_S1.sum()
        mean_D = total_SD.sum(dim=0) / rows
        between_DD = (count_S1 * mean_SD).T @ mean_SD / rows - mean_D.outer(mean_D)
        within_DD = square_DD / rows - between_DD - mean_D.outer(mean_D)
        self.mean_D.copy_(mean_D)
        self.projection_DK.copy_(discriminants(between_DD, within_DD, self.config.shrinkage)[:, : self.config.dims])


def speaker_labels(speakers: Speakers, crops: int) -> tuple[list[str], Tensor]:
    """Return the names of the known speakers, and the place of each crop's among them, -1 where unknown."""
    names = sorted({speaker for speaker in speakers if speaker is not None})
    place = {name: index for index, name in enumerate(names)}
    labels = torch.tensor([-1 if speaker is None else place[speaker] for speaker in speakers], dtype=torch.long)
    return names, labels.repeat_interleave(crops)


def discriminants(between_DD: Tensor, within_DD: Tensor, shrinkage: float) -> Tensor:
    """Return the directions [D, D] in which speakers differ most, first those; variance within them is one in each."""
    whitening_DD = inverse_square_root(within_DD, shrinkage)
    _, basis_DD = torch.linalg.eigh(whitening_DD @ between_DD @ whitening_DD)
    return whitening_DD @ basis_DD.flip(1)
