"""PLDA adapted to speech of another domain: by vectors of it that nobody has labelled, or by few that are labelled.

W and B are the covariances of sessions and of speakers in the space to which the model reduces vectors, T is that of
the vectors of the domain. What S has in excess of R, direction by direction, is

    excess(S, R) = F^-T max(E - I, 0) F^-1,    F^T R F = I,  F^T S F = E, which is diagonal

    CORAL     A = (W + B)^(-1/2) T^(1/2);    W <- A^T W A,  B <- A^T B A
    CORAL+    W <- W + scale * excess(A^T W A, W),  B <- B + scale * excess(A^T B A, B)
    Kaldi     W <- W + scale * excess(T, W + B),    B <- B + scale * excess(T, W + B)

CORAL as Alam, Bhattacharya and Kenny (Odyssey 2018) have it, of the model instead of its training vectors; CORAL+ of
Lee, Wang and Koshinaka (ICASSP 2019); Kaldi's is its `ivector-adapt-plda`. With labels both models are interpolated
(Garcia-Romero and McCree, ICASSP 2014). The mean becomes that of the domain.

Shapes: N vectors, K dimensions kept by the model.
"""

import numpy as np
from scipy.linalg import eigh

from reseed.stages.scoring.curves import Floats
from reseed.stages.scoring.plda import Labels, TwoCovariancePLDA, covariance_floor


def coral(model: TwoCovariancePLDA, domain_NK: Floats) -> TwoCovariancePLDA:
    """Return the model with the total covariance of reduced vectors of the domain."""
    return model.with_covariances(domain_NK.mean(axis=0), *_aligned(model, domain_NK))


def coral_plus(
    model: TwoCovariancePLDA, domain_NK: Floats, within_scale: float, between_scale: float
) -> TwoCovariancePLDA:
    """Return the model with variances that grow towards those of CORAL, and never shrink."""
    (within_KK, between_KK), (near_KK, apart_KK) = model.covariances, _aligned(model, domain_NK)
    return model.with_covariances(
        domain_NK.mean(axis=0),
        within_KK + within_scale * _excess(near_KK, within_KK),
        between_KK + between_scale * _excess(apart_KK, between_KK),
    )


def kaldi(
    model: TwoCovariancePLDA, domain_NK: Floats, within_scale: float, between_scale: float, mean_scale: float
) -> TwoCovariancePLDA:
    """Return the model with shares of what the domain's total covariance has in excess of its own.

    Args:
        mean_scale: of the outer product of the difference of both means, which is added to that covariance.
    """
    (within_KK, between_KK), mean_K = model.covariances, domain_NK.mean(axis=0)
    moved_K = mean_K - model.centre_
    total_KK = np.cov(domain_NK.T, bias=True) + mean_scale * np.outer(moved_K, moved_K)
    excess_KK = _excess(total_KK, within_KK + between_KK)
    return model.with_covariances(mean_K, within_KK + within_scale * excess_KK, between_KK + between_scale * excess_KK)


def interpolated(model: TwoCovariancePLDA, domain_NK: Floats, speaker_N: Labels, weight: float) -> TwoCovariancePLDA:
    """Return the model between itself and that of labelled vectors of the domain.

    Args:
        weight: of the domain's covariances, the rest being the model's own.

    Raises:
        ScoringError: too few speakers with several vectors.
    """
    own = model.with_labels(domain_NK, speaker_N)
    (own_within_KK, own_between_KK), (within_KK, between_KK) = own.covariances, model.covariances
    return model.with_covariances(
        own.centre_,
        weight * own_within_KK + (1 - weight) * within_KK,
        weight * own_between_KK + (1 - weight) * between_KK,
    )


def _aligned(model: TwoCovariancePLDA, domain_NK: Floats) -> tuple[Floats, Floats]:
    """Return W and B such that their sum is the covariance of the domain."""
    within_KK, between_KK = model.covariances
    total_KK = np.cov(domain_NK.T, bias=True)
    to_domain_KK = _power(within_KK + between_KK, -0.5) @ _power(total_KK + covariance_floor(total_KK), 0.5)
    return to_domain_KK.T @ within_KK @ to_domain_KK, to_domain_KK.T @ between_KK @ to_domain_KK


def _excess(covariance_KK: Floats, over_KK: Floats) -> Floats:
    """Return what a covariance has in excess of another, in the directions in which it has more."""
    ratio_K, basis_KK = eigh(covariance_KK, over_KK)
    back_KK = np.linalg.inv(basis_KK)
    excess_KK: Floats = (back_KK.T * (ratio_K - 1).clip(min=0)) @ back_KK
    return excess_KK


def _power(covariance_KK: Floats, exponent: float) -> Floats:
    variance_K, basis_KK = np.linalg.eigh(covariance_KK)
    power_KK: Floats = (basis_KK * variance_K**exponent) @ basis_KK.T
    return power_KK
