"""Two-covariance PLDA: fitted on vectors with speaker labels, scored as a log-likelihood ratio.

A vector is speaker + session, x = m + y + e with y ~ N(0, B) and e ~ N(0, W) (Brümmer and de Villiers, "The speaker
partitioning problem", Odyssey 2010). Before that: centring, LDA, and scaling to unit length (Garcia-Romero and
Espy-Wilson, "Analysis of i-vector length normalization in speaker recognition systems", Interspeech 2011).

Shapes: N vectors, D their dimension, K dimensions kept, S speakers, E enrolment and T test vectors, P trials.
"""

import copy
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import eigh
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import check_is_fitted

from reseed.stages.scoring.cosine import unit_rows
from reseed.stages.scoring.curves import Floats
from reseed.store.errors import ScoringError

_ITERATIONS = 20
_SHRINKAGE = 1e-3  # of the mean variance of all vectors
_FEWEST_SPEAKERS = 3  # two leave one dimension, in which vectors of one length are all alike
_BLOCK_P = 65_536

Labels = NDArray[Any]


class TwoCovariancePLDA(TransformerMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn has no types
    """PLDA in the manner of scikit-learn: `fit(X, y)`, `transform(X)`, and `score_trials`.

    `transform` returns coordinates in which W is the identity and B is diagonal.

    Args:
        dimensions: kept by LDA; at most one less than the speakers and the dimension of the vectors.

    Attributes:
        mean_: [D]; lda_: [D, K]; centre_: [K]; basis_: [K, K], which diagonalises both covariances.
        between_: [K], the variance of speakers where that of sessions is 1, descending.
    """

    def __init__(self, dimensions: int = 128) -> None:
        self.dimensions = dimensions

    def fit(self, X: Floats, y: Labels) -> Self:
        """Estimate everything from vectors [N, D] of speakers [N], by 20 steps of EM.

        Raises:
            ScoringError: fewer than three speakers with two vectors, or a vector without direction.
        """
        speaker_N, count_S = _coded(y)
        unit_ND = unit_rows(X)
        self.mean_: Floats = unit_ND.mean(axis=0)
        self.lda_: Floats = _lda(unit_ND - self.mean_, speaker_N, count_S, self.dimensions)
        reduced_NK = self.reduce(X)
        self.centre_, self.basis_, self.between_ = _two_covariances(reduced_NK, speaker_N, count_S)
        return self

    def transform(self, X: Floats) -> Floats:
        """Return vectors [N, D] in the coordinates of the model: [N, K].

        Raises:
            ScoringError: a vector has no direction.
        """
        check_is_fitted(self)
        diagonal_NK: Floats = (self.reduce(X) - self.centre_) @ self.basis_
        return diagonal_NK

    def score_trials(
        self,
        enrolment_EK: Floats,
        test_TK: Floats,
        pairs_P2: NDArray[np.integer[Any]],
        count_E: NDArray[np.integer[Any]] | None = None,
    ) -> Floats:
        """Return the natural-log likelihood ratio of each trial, [P].

        Args:
            enrolment_EK, test_TK: transformed vectors; an enrolment of several is their mean.
            count_E: how many vectors each enrolment is the mean of; none: one.
        """
        count_E1 = (np.ones(len(enrolment_EK)) if count_E is None else np.asarray(count_E, np.float64))[:, None]
        expected_EK = enrolment_EK * (count_E1 * self.between_ / (count_E1 * self.between_ + 1))
        variance_EK = 1 + self.between_ / (count_E1 * self.between_ + 1)
        apart_E = 0.5 * (np.log1p(self.between_) - np.log(variance_EK)).sum(axis=1)
        alone_T = 0.5 * (test_TK**2 / (1 + self.between_)).sum(axis=1)
        score_P = np.empty(len(pairs_P2))
        for start in range(0, len(pairs_P2), _BLOCK_P):
            enrolled_P, tested_P = pairs_P2[start : start + _BLOCK_P].T
            distance_P = ((test_TK[tested_P] - expected_EK[enrolled_P]) ** 2 / variance_EK[enrolled_P]).sum(axis=1)
            score_P[start : start + _BLOCK_P] = apart_E[enrolled_P] + alone_T[tested_P] - 0.5 * distance_P
        return score_P

    def reduce(self, X: Floats) -> Floats:
        """Centre, project by LDA, and scale to length sqrt(K), that of a standard normal vector: [N, K]."""
        reduced_NK: Floats = (unit_rows(X) - self.mean_) @ self.lda_
        length = float(np.sqrt(reduced_NK.shape[1]))
        return unit_rows(reduced_NK) * length

    @property
    def covariances(self) -> tuple[Floats, Floats]:
        """W and B of reduced vectors, [K, K] each."""
        back_KK = np.linalg.inv(self.basis_)
        return back_KK.T @ back_KK, (back_KK.T * self.between_) @ back_KK

    def centred_on(self, mean_D: Floats) -> Self:
        """Return the model with another mean to subtract from unit vectors."""
        other = copy.copy(self)
        other.mean_ = mean_D
        return other

    def with_labels(self, reduced_NK: Floats, y: Labels) -> Self:
        """Return the model with mean, W and B of other reduced vectors [N, K] of speakers [N].

        Raises:
            ScoringError: fewer than three speakers with two vectors.
        """
        other = copy.copy(self)
        other.centre_, other.basis_, other.between_ = _two_covariances(reduced_NK, *_coded(y))
        return other

    def with_covariances(self, centre: Floats, within: Floats, between: Floats) -> Self:
        """Return the model with another mean [K], W and B [K, K] of reduced vectors."""
        other = copy.copy(self)
        other.centre_, (other.basis_, other.between_) = centre, _diagonal(between, within)
        return other


def _coded(labels_N: Labels) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return speakers as numbers [N] and the vectors of each [S].

    Raises:
        ScoringError: fewer than three speakers with two vectors.
    """
    _, speaker_N, count_S = np.unique(labels_N, return_inverse=True, return_counts=True)
    useful = int((count_S > 1).sum())
    if useful < _FEWEST_SPEAKERS:
        raise ScoringError(
            f"PLDA needs {_FEWEST_SPEAKERS} or more speakers with two or more vectors each; there are {useful} "
            f"among {count_S.size} speakers of {speaker_N.size} vectors"
        )
    return speaker_N, count_S


def _lda(vectors_ND: Floats, speaker_N: NDArray[np.intp], count_S: NDArray[np.intp], dimensions: int) -> Floats:
    """Return the directions [D, K] in which speakers differ most beside their sessions, sessions of variance 1."""
    means_SD = _sums(vectors_ND, speaker_N, count_S.size) / count_S[:, None]
    within_DD = np.cov((vectors_ND - means_SD[speaker_N]).T, bias=True)
    between_DD = np.cov(means_SD.T, bias=True, fweights=count_S)
    within_DD += covariance_floor(np.cov(vectors_ND.T, bias=True))
    kept = min(dimensions, count_S.size - 1, vectors_ND.shape[1])
    directions_DD: Floats = eigh(between_DD, within_DD)[1]
    return directions_DD[:, ::-1][:, :kept]


def _two_covariances(
    vectors_NK: Floats, speaker_N: NDArray[np.intp], count_S: NDArray[np.intp]
) -> tuple[Floats, Floats, Floats]:
    """Return the mean [K], a basis [K, K] in which W is 1 and B diagonal, and that diagonal [K], by EM."""
    centre_K = vectors_NK.mean(axis=0)
    centred_NK = vectors_NK - centre_K
    sums_SK = _sums(centred_NK, speaker_N, count_S.size)
    total_KK = centred_NK.T @ centred_NK
    floor_KK = covariance_floor(total_KK / count_S.sum())
    between_KK, within_KK = _first_guess(sums_SK, total_KK, count_S)
    within_KK += floor_KK
    for _ in range(_ITERATIONS):
        basis_KK, ratio_K = _diagonal(between_KK, within_KK)
        # In the basis every speaker's posterior is diagonal: precision n + 1 / ratio.
        back_KK = np.linalg.inv(basis_KK)
        variance_SK = ratio_K / (count_S[:, None] * ratio_K + 1)
        expected_SK = variance_SK * (sums_SK @ basis_KK)
        second_KK = expected_SK.T @ expected_SK
        between_KK = back_KK.T @ (second_KK + np.diag(variance_SK.sum(axis=0))) @ back_KK / count_S.size
        cross_KK = (sums_SK @ basis_KK).T @ expected_SK
        spread_KK = (expected_SK * count_S[:, None]).T @ expected_SK + np.diag(count_S @ variance_SK)
        inside_KK = basis_KK.T @ total_KK @ basis_KK - cross_KK - cross_KK.T + spread_KK
        within_KK = back_KK.T @ inside_KK @ back_KK / count_S.sum() + floor_KK
    return centre_K, *_diagonal(between_KK, within_KK)


def _first_guess(sums_SK: Floats, total_KK: Floats, count_S: NDArray[np.intp]) -> tuple[Floats, Floats]:
    of_means_KK = (sums_SK / count_S[:, None]).T @ sums_SK
    return of_means_KK / count_S.sum(), (total_KK - of_means_KK) / count_S.sum()


def covariance_floor(total_KK: Floats) -> Floats:
    """Return what is added to a covariance of sessions, so that it stays invertible where vectors are few or alike."""
    floor_KK: Floats = _SHRINKAGE * np.trace(total_KK) / len(total_KK) * np.eye(len(total_KK))
    return floor_KK


def _diagonal(between_KK: Floats, within_KK: Floats) -> tuple[Floats, Floats]:
    """Return a basis in which W is 1 and B diagonal, and its diagonal, descending."""
    ratio_K, basis_KK = eigh(between_KK, within_KK)
    return basis_KK[:, ::-1], ratio_K[::-1].clip(min=1e-10)


def _sums(vectors_ND: Floats, speaker_N: NDArray[np.intp], speakers: int) -> Floats:
    sums_SD = np.zeros((speakers, vectors_ND.shape[1]))
    np.add.at(sums_SD, speaker_N, vectors_ND)
    return sums_SD
