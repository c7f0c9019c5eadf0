"""A backbone, an enhancer and a scorer of a package of one's own: small, and no match for what reseed has built in.

Shapes: B batch, T samples, M mel bands, F frames, D embedding dimension, N crops, V views, X entries of a side,
P trials.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from pydantic import Field
from scipy.stats import rankdata
from torch import Tensor
from torchaudio.transforms import MelSpectrogram

from reseed.stages.backbones.base import Backbone
from reseed.stages.backbones.settings import BackboneConfig
from reseed.stages.common.section import Section
from reseed.stages.enhancers.base import Enhancer
from reseed.stages.trial_scoring.inputs.sides import Indices, SideVectors
from reseed.stages.trial_scoring.scorers.base import Scorer

Floats = np.ndarray[Any, np.dtype[np.float64]]


class BandStatisticsConfig(BackboneConfig):
    """Settings of the `band_statistics` backbone.

    Attributes:
        bands: mel bands; the embedding has twice as many dimensions.
    """

    bands: int = Field(default=40, ge=8, le=80)


class BandStatistics(Backbone):
    """Mean and deviation over time of the log power in mel bands: the long-term spectrum, without any training."""

    name = "band_statistics"
    Config = BandStatisticsConfig
    sample_rate_hz = 16_000

    def __init__(self, config: BandStatisticsConfig | None = None) -> None:
        super().__init__()
        self.config = config or BandStatisticsConfig()
        self.embedding_dim = 2 * self.config.bands
        self.mel = MelSpectrogram(self.sample_rate_hz, n_fft=512, hop_length=160, n_mels=self.config.bands)

    def identity(self) -> dict[str, Any]:
        """Return what decides the embeddings."""
        return {"backbone": self.name, "bands": self.config.bands, "features": "log mel, 32/10 ms"}

    def forward(self, waveform_BT: Tensor) -> Tensor:
        """Map waveforms [B, T] to embeddings [B, 2 M]."""
        waveform_BT = F.pad(waveform_BT, (0, max(0, 512 - waveform_BT.shape[1])))
        with torch.autocast(waveform_BT.device.type, enabled=False):  # power has more range than half precision
            log_BMF = (self.mel(waveform_BT.float()) + 1e-6).log()
        return torch.cat([log_BMF.mean(dim=-1), log_BMF.std(dim=-1, unbiased=False)], dim=-1)


class StandardiseConfig(Section):
    """Settings of standardising.

    Attributes:
        floor: least deviation of a dimension, as a share of the mean one.
    """

    floor: float = Field(default=0.1, gt=0)


class Standardise(Enhancer):
    """Standardising: every dimension less its mean over the cache, divided by its deviation."""

    Config = StandardiseConfig
    config: StandardiseConfig
    mean_D: Tensor
    deviation_D: Tensor

    def __init__(self, config: StandardiseConfig, dim: int) -> None:
        super().__init__(config, dim)
        self.register_buffer("mean_D", torch.zeros(dim))
        self.register_buffer("deviation_D", torch.ones(dim))

    @property
    def needs_noise(self) -> bool:
        """Mean and deviation can be had of any store."""
        return False

    def fit(
        self, blocks: Iterable[Tensor], view_names: list[str], crops: int = 1, speakers: Sequence[str | None] = ()
    ) -> None:
        """Set mean and deviation, in one pass over the blocks [N, V, D]."""
        rows, total_D, square_D = 0, torch.zeros(()), torch.zeros(())
        for block_NVD in blocks:
            vectors_BD = block_NVD.flatten(0, 1).double()
            rows += len(vectors_BD)
            total_D, square_D = total_D + vectors_BD.sum(dim=0), square_D + vectors_BD.square().sum(dim=0)
        mean_D = total_D / rows
        deviation_D = (square_D / rows - mean_D.square()).clamp(min=0).sqrt()
        self.mean_D.copy_(mean_D)
        self.deviation_D.copy_(deviation_D.clamp(min=self.config.floor * deviation_D.mean().item()))

    def enhance(self, embedding_BD: Tensor, generator: torch.Generator) -> Tensor:
        """Return unit vectors [B, D]; deterministic."""
        return F.normalize((embedding_BD - self.mean_D) / self.deviation_D, dim=-1)


class RankCorrelation(Scorer[Floats]):
    """Spearman's correlation of the dimensions of two embeddings: only their order counts."""

    def prepare(self, side: SideVectors, *, enrolling: bool) -> Floats:
        """Return the ranks of the dimensions, centred and of unit length, [X, D]."""
        rank_XD = rankdata(side.unit_XD, axis=1)
        rank_XD -= rank_XD.mean(axis=1, keepdims=True)
        ranks: Floats = rank_XD / np.linalg.norm(rank_XD, axis=1, keepdims=True)
        return ranks

    def score(self, enrolment: Floats, test: Floats, pairs_P2: Indices) -> Floats:
        """Return the correlation of both sides of each trial, [P]."""
        scores: Floats = np.einsum("pd,pd->p", enrolment[pairs_P2[:, 0]], test[pairs_P2[:, 1]])
        return scores
