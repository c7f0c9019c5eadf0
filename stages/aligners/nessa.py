"""NESSA: light networks map both sides to one speaker space after training, so that either can be updated alone.

arXiv 2401.12440 (ICASSP 2024); layer sizes and loss are not public. Here: each side is whitened by how its vectors of
one utterance scatter, turned onto the other by canonical correlation, and bent by a residual MLP, trained by contrast.

Shapes: B utterances of a batch, N shared rows, D dimension of a side, K of the shared space.
"""

from collections.abc import Iterator
from typing import Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from reseed.stages.aligners.base import Alignment
from reseed.stages.aligners.closed_form import inverse_root
from reseed.stages.aligners.shared import SharedRows
from reseed.stages.common.section import Section
from reseed.store import ModelError


class NessaConfig(Section):
    """Settings of `nessa`.

    Attributes:
        sides: which side a trained network maps; the other one keeps its first map.
        dimensions: dimension of the shared space.
        hidden: width of the residual MLP of each side; 0: the maps are linear.
        positives: what belongs together: rows of one utterance, without labels, or of one speaker.
        temperature: temperature of the contrast.
        shrinkage: shrinkage of the covariance that whitens, as a multiple of its mean eigenvalue.
        emphasis: power of the canonical correlation by which a direction is weighed at first.
        epochs: passes over the shared rows; 0: the first maps are kept.
        batch: utterances per step of the optimiser.
        lr: AdamW's learning rate.
        weight_decay: AdamW's decoupled weight decay.
        dropout: share of the residual MLP that is left out at random in training.
    """

    sides: Literal["enrolment", "test", "both"] = "both"
    dimensions: int = Field(default=128, ge=2, le=65_536)
    hidden: int = Field(default=256, ge=0, le=65_536)
    positives: Literal["utterance", "speaker"] = "utterance"
    temperature: float = Field(default=0.1, gt=0)
    shrinkage: float = Field(default=0.2, gt=0)
    emphasis: float = Field(default=1.0, ge=0)
    epochs: int = Field(default=30, ge=0)
    batch: int = Field(default=64, ge=2)
    lr: float = Field(default=1e-3, gt=0)
    weight_decay: float = Field(default=1e-2, ge=0)
    dropout: float = Field(default=0.2, ge=0, lt=1)


class ResidualMap(nn.Module):
    """A linear map after centring, and a residual MLP around it that begins as zero."""

    mean_D: Tensor

    def __init__(self, dim: int, shared: int, hidden: int, dropout: float) -> None:
        super().__init__()
        self.register_buffer("mean_D", torch.zeros(dim))
        self.linear = nn.Linear(dim, shared, bias=False)
        self.dropout = nn.Dropout(dropout)
        self.mlp = None
        if hidden:
            first, last = nn.Linear(shared, hidden), nn.Linear(hidden, shared)
            nn.init.zeros_(last.weight)
            nn.init.zeros_(last.bias)
            self.mlp = nn.Sequential(first, nn.SiLU(), last)

    def forward(self, embedding_BD: Tensor) -> Tensor:
        shared_BK: Tensor = F.normalize(self.linear(self.dropout(embedding_BD - self.mean_D)), dim=-1)
        return shared_BK if self.mlp is None else shared_BK + self.mlp(shared_BK)


class Nessa(Alignment):
    """Trained by contrast: a row of one side finds the rows of its utterance (or speaker) on the other side."""

    Config = NessaConfig
    seeded = True
    config: NessaConfig

    def __init__(self, config: Section, dims: tuple[int, int], speakers: int = 0) -> None:
        super().__init__(config, dims, speakers)
        kept = min(self.config.dimensions, *dims)
        self.enrolment, self.test = (ResidualMap(dim, kept, self.config.hidden, self.config.dropout) for dim in dims)

    def fit(self, shared: SharedRows, seed: int) -> Iterator[dict[str, float]]:
        settings = self.config
        if settings.positives == "speaker" and not (shared.speaker_N >= 0).any():
            raise ModelError("positives: speaker needs speakers known by name; use positives: utterance")
        group_N = shared.utterance_N
        if settings.positives == "speaker":
            named_N = shared.speaker_N >= 0  # an utterance of an unknown speaker belongs with itself alone
            group_N = torch.where(named_N, shared.speaker_N, shared.utterance_N + 1 + shared.speaker_N.max())
        self._begin(shared, group_N)
        trained = [side for side in ("enrolment", "test") if settings.sides in (side, "both")]
        parameters = [parameter for side in trained for parameter in self.get_submodule(side).parameters()]
        optimiser = torch.optim.AdamW(parameters, settings.lr, weight_decay=settings.weight_decay)
        generator = torch.Generator().manual_seed(seed)
        rows_U = _rows_by_utterance(shared.utterance_N)
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            for epoch in range(settings.epochs):
                self.train()
                total = 0.0
                order = torch.randperm(len(rows_U), generator=generator)
                batches = order.split(settings.batch)
                for batch in batches:
                    picked = [
                        [rows_U[u][int(torch.randint(len(rows_U[u]), (1,), generator=generator))] for u in batch]
                        for _ in range(2)
                    ]
                    first_B, second_B = (torch.tensor(rows) for rows in picked)
                    loss = self._loss(shared, first_B, second_B, group_N)
                    optimiser.zero_grad()
                    loss.backward()
                    optimiser.step()
                    total += loss.item() * len(batch)
                yield {"epoch": epoch + 1, "loss": total / len(rows_U)}
        self.eval()

    def _loss(self, shared: SharedRows, first_B: Tensor, second_B: Tensor, group_N: Tensor) -> Tensor:
        """Contrast both ways: enrolment rows against test rows, and test rows against enrolment rows."""
        enrolment_BK = self.map("enrolment", shared.enrolment_ND[first_B])
        test_BK = self.map("test", shared.test_NE[second_B])
        score_BB = enrolment_BK @ test_BK.T / self.config.temperature
        same_BB = group_N[first_B][:, None] == group_N[second_B][None]
        return 0.5 * (_contrast(score_BB, same_BB) + _contrast(score_BB.T, same_BB.T))

    @torch.no_grad()
    def _begin(self, shared: SharedRows, group_N: Tensor) -> None:
        """Set the first maps: whiten each side by the scatter within utterances or speakers; correlate their means."""
        sides = []
        for vectors, module in ((shared.enrolment_ND, self.enrolment), (shared.test_NE, self.test)):
            double = vectors.double()
            mean = double.mean(dim=0)
            within = double - _means_by(double, group_N)
            white = inverse_root(within.T @ within / len(within), self.config.shrinkage)
            sides.append((module, mean, white, _means_by((double - mean) @ white, group_N)))
        (one, mean_D, white_DD, first_NK), (two, mean_E, white_EE, second_NK) = sides
        # The scatter of utterances, with that of sessions (1 after whitening) added: canonical correlations, damped.
        roots = [
            inverse_root(side.T @ side / len(side) + torch.eye(side.shape[1]), 0.0) for side in (first_NK, second_NK)
        ]
        covariance = first_NK.T @ second_NK / len(first_NK)
        u, correlation_K, v = torch.linalg.svd(roots[0] @ covariance @ roots[1])
        kept = one.linear.out_features
        weight_K = correlation_K[:kept].clamp(0, 1) ** self.config.emphasis
        for module, mean, white, root, turn in (
            (one, mean_D, white_DD, roots[0], u[:, :kept]),
            (two, mean_E, white_EE, roots[1], v.T[:, :kept]),
        ):
            module.mean_D = mean.float()
            module.linear.weight.copy_((white @ root @ turn * weight_K).T.float())


def _contrast(score_BB: Tensor, same_BB: Tensor) -> Tensor:
    """Return the mean negative log-probability of what belongs to each row (supervised contrast, arXiv 2004.11362)."""
    log_BB = F.log_softmax(score_BB, dim=1)
    return -((log_BB * same_BB).sum(dim=1) / same_BB.sum(dim=1)).mean()


def _means_by(rows: Tensor, group_N: Tensor) -> Tensor:
    """Return for each row the mean of its group."""
    _, place_N, count_G = group_N.unique(return_inverse=True, return_counts=True)
    sums = torch.zeros(len(count_G), rows.shape[1], dtype=rows.dtype).index_add_(0, place_N, rows)
    return (sums / count_G[:, None])[place_N]


def _rows_by_utterance(utterance_N: Tensor) -> list[list[int]]:
    rows: dict[int, list[int]] = {}
    for row, utterance in enumerate(utterance_N.tolist()):
        rows.setdefault(utterance, []).append(row)
    return list(rows.values())
