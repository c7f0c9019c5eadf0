"""Alignments in closed form, NESSA's rivals: none, orthogonal Procrustes, ridge regression, CCA, speaker logits.

Shapes: N shared rows, D and E dimensions of the sides, K of the shared space, S speakers.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from pydantic import Field
from scipy.linalg import orthogonal_procrustes
from torch import Tensor

from reseed.stages.aligners.base import Affine, Alignment
from reseed.stages.aligners.shared import SharedRows
from reseed.stages.common.section import Section
from reseed.store import ModelError


class NoConfig(Section):
    """Nothing to set."""


class RidgeConfig(Section):
    """Settings of `ridge`.

    Attributes:
        penalty: penalty on the squared weights.
    """

    penalty: float = Field(default=1.0, gt=0)


class CcaConfig(Section):
    """Settings of `cca`.

    Attributes:
        components: pairs of directions that are kept.
        rows: how many rows are fitted at most.
    """

    components: int = Field(default=64, ge=1)
    rows: int = Field(default=5000, ge=2)


class ClosedForm(Alignment):
    """Affine maps of both sides, computed in one go."""

    def __init__(self, config: Section, dims: tuple[int, int], speakers: int = 0) -> None:
        super().__init__(config, dims)
        self.enrolment, self.test = (Affine(dim, self.shared_dim(speakers)) for dim in dims)

    def shared_dim(self, speakers: int) -> int:
        """Return K."""
        raise NotImplementedError


class Identity(ClosedForm):
    """No map at all: for two backbones that happen to share a space, or to show that they do not."""

    Config = NoConfig

    def shared_dim(self, speakers: int) -> int:
        if self.dims[0] != self.dims[1]:
            sides = f"{self.dims[0]} and {self.dims[1]}"
            raise ModelError(f"identity needs sides of one dimension, these have {sides}; choose another map")
        return self.dims[0]

    def fit(self, shared: SharedRows, seed: int) -> Iterator[dict[str, float]]:
        for side in (self.enrolment, self.test):
            side.set(torch.zeros(self.dims[0]), torch.eye(self.dims[0]))
        yield {}


class Procrustes(ClosedForm):
    """Centre both sides and turn the enrolment side onto the test side; the narrower one is filled up with zeros."""

    Config = NoConfig

    def shared_dim(self, speakers: int) -> int:
        return max(self.dims)

    def fit(self, shared: SharedRows, seed: int) -> Iterator[dict[str, float]]:
        wide = max(self.dims)
        (mean_D, first_ND), (mean_E, second_NE) = _centred(shared)
        turn, _ = orthogonal_procrustes(_widened(first_ND, wide), _widened(second_NE, wide))
        self.enrolment.set(mean_D, torch.from_numpy(turn[: self.dims[0]]))
        self.test.set(mean_E, torch.eye(self.dims[1], wide))
        yield {}


class RidgeRegression(ClosedForm):
    """Predict the test side's vector from the enrolment side's, linearly."""

    Config = RidgeConfig
    config: RidgeConfig

    def shared_dim(self, speakers: int) -> int:
        return self.dims[1]

    def fit(self, shared: SharedRows, seed: int) -> Iterator[dict[str, float]]:
        from sklearn.linear_model import Ridge  # takes seconds, and applying a map does without

        (mean_D, first_ND), (mean_E, second_NE) = _centred(shared)
        fitted: Any = Ridge(alpha=self.config.penalty, fit_intercept=False).fit(first_ND, second_NE)
        self.enrolment.set(mean_D, torch.from_numpy(fitted.coef_.T))
        self.test.set(mean_E, torch.eye(self.dims[1]))
        yield {}


class CanonicalCorrelation(ClosedForm):
    """Canonical correlation analysis: the directions of both sides that agree most."""

    Config = CcaConfig
    seeded = True  # which rows it is learnt from
    config: CcaConfig

    def shared_dim(self, speakers: int) -> int:
        return min(self.config.components, *self.dims)

    def fit(self, shared: SharedRows, seed: int) -> Iterator[dict[str, float]]:
        from sklearn.cross_decomposition import CCA

        (mean_D, first_ND), (mean_E, second_NE) = _centred(shared)
        rows = np.random.default_rng(seed).permutation(len(first_ND))[: self.config.rows]
        wanted = kept = self.enrolment.map_DK.shape[1]
        while kept:
            try:
                fitted = CCA(n_components=kept, scale=False, max_iter=1000).fit(first_ND[rows], second_NE[rows])
                break
            except np.linalg.LinAlgError:  # what is left after the first pairs is too little to find more in
                kept //= 2
        else:
            raise ModelError("no pair of correlated directions can be found in these stores; choose another map")
        self.enrolment.set(mean_D, torch.from_numpy(_widened(fitted.x_rotations_, wanted)))
        self.test.set(mean_E, torch.from_numpy(_widened(fitted.y_rotations_, wanted)))
        yield {"components": kept}


class SpeakerLogits(ClosedForm):
    """The published baseline: cosines with the mean vectors of the labelled speakers that both sides know."""

    Config = NoConfig

    def shared_dim(self, speakers: int) -> int:
        return max(1, speakers)

    def fit(self, shared: SharedRows, seed: int) -> Iterator[dict[str, float]]:
        known_N = shared.speaker_N >= 0
        speaker_N = shared.speaker_N[known_N]
        if not len(speaker_N.unique()) > 1:
            raise ModelError("logits need two or more speakers that are known by name in both stores")
        _, place_N = speaker_N.unique(return_inverse=True)
        for side, vectors in ((self.enrolment, shared.enrolment_ND), (self.test, shared.test_NE)):
            unit = vectors[known_N]
            sums = torch.zeros(int(place_N.max()) + 1, unit.shape[1], dtype=unit.dtype).index_add_(0, place_N, unit)
            mean = unit.mean(dim=0)
            side.set(mean, F.normalize(F.normalize(sums, dim=-1) - mean, dim=-1).T)
        yield {}


def inverse_root(covariance_DD: Tensor, shrinkage: float) -> Tensor:
    """Return (C + shrinkage * mean eigenvalue of C * I)^(-1/2)."""
    values, vectors = torch.linalg.eigh(covariance_DD)
    return (vectors * (values.clamp(min=0) + shrinkage * values.mean() + 1e-9).rsqrt()) @ vectors.T


def _centred(shared: SharedRows) -> tuple[tuple[Tensor, Any], tuple[Tensor, Any]]:
    """Return the mean of either side, and its rows less that, as float64 arrays."""
    sides = []
    for vectors in (shared.enrolment_ND.double(), shared.test_NE.double()):
        mean = vectors.mean(dim=0)
        sides.append((mean, (vectors - mean).numpy()))
    return sides[0], sides[1]


def _widened(rows: Any, width: int) -> Any:
    return np.pad(rows, ((0, 0), (0, width - rows.shape[1])))
