"""Calibration and fusion: scores and quality measures to natural-log likelihood ratios, by an affine map.

The map is fitted by logistic regression, or is that of two Gaussian classes.

Brümmer and du Preez, "Application-independent evaluation of speaker detection" (Computer Speech and Language 20, 2006);
Brümmer et al., "Fusion of heterogeneous speaker recognition systems" (IEEE TASLP 15, 2007); quality measures as further
inputs: Thienpondt et al. (arXiv 2010.11255); Gaussian classes: Brümmer, Swart and van Leeuwen, "A comparison of linear
and non-linear calibrations for speaker recognition" (Odyssey 2014).

Shapes: P trials, F features.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import logit
from sklearn.linear_model import LogisticRegression

from reseed.stages.scoring.curves import Floats
from reseed.store.errors import ScoringError

_PRECISION = 1e-8
_CONSTANT = 1e-9
_PENALTY_INVERSE = 1e4


@dataclass(frozen=True)
class Calibration:
    """An affine map of features to natural-log likelihood ratios.

    Attributes:
        features: what each column is.
        weight_F, offset: the map.
        p_target: prior of a target at which the fit is best.
    """

    features: tuple[str, ...]
    weight_F: Floats
    offset: float
    p_target: float

    def llr(self, features_PF: Floats) -> Floats:
        """Return the log-likelihood ratio of each trial, [P]."""
        llr_P: Floats = features_PF @ self.weight_F + self.offset
        return llr_P


def fit_calibration(
    features_PF: Floats, is_target_P: ArrayLike, features: Sequence[str], p_target: float = 0.05
) -> Calibration:
    """Fit the map that minimises the prior-weighted cost of log-likelihood ratios on labelled trials.

    Targets weigh p_target together and non-targets the rest, whatever their numbers. Features are scaled to variance 1
    for the fit; a slight penalty on the squared weights keeps these finite where the classes are separable. A feature
    that never changes has weight 0.

    Raises:
        ScoringError: a class is empty, or a feature is not finite; names it.
    """
    target_P, varies_F, scaled_PF, mean_F, deviation_F = _checked(features_PF, is_target_P, features)
    weight_P = _weights(target_P, p_target) * target_P.size
    model = LogisticRegression(C=_PENALTY_INVERSE, tol=_PRECISION, max_iter=1000)
    model.fit(scaled_PF, target_P, sample_weight=weight_P)
    weight_F = np.zeros(len(features))
    weight_F[varies_F] = model.coef_[0] / deviation_F[varies_F]
    offset = float(model.intercept_[0] - weight_F @ mean_F - logit(p_target))
    return Calibration(tuple(features), weight_F, offset, p_target)


def fit_gaussian_calibration(
    features_PF: Floats, is_target_P: ArrayLike, features: Sequence[str], p_target: float = 0.05
) -> Calibration:
    """Fit the map of two Gaussian classes of one covariance, whose log-likelihood ratio is affine in the features.

    The covariance is the mean of those of both classes, that of targets weighing p_target: constrained maximum
    likelihood (CMLG). Few trials suffice, and separable classes do no harm; scores that are far from Gaussian do.

    Raises:
        ScoringError: a class is empty, a feature is not finite, or nothing varies within the classes; names it.
    """
    target_P, varies_F, scaled_PF, mean_F, deviation_F = _checked(features_PF, is_target_P, features)
    means = [scaled_PF[of_class_P].mean(axis=0) for of_class_P in (target_P, ~target_P)]
    apart_PF = scaled_PF - np.where(target_P[:, None], *means)
    within_FF = (apart_PF * _weights(target_P, p_target)[:, None]).T @ apart_PF
    if np.diag(within_FF).min() <= _CONSTANT:
        raise ScoringError(f"{', '.join(features)}: the same for all trials of a class, so that no Gaussian fits")
    direction_F = np.linalg.solve(within_FF, means[0] - means[1])
    weight_F = np.zeros(len(features))
    weight_F[varies_F] = direction_F / deviation_F[varies_F]
    offset = float(-direction_F @ (means[0] + means[1]) / 2 - weight_F @ mean_F)
    return Calibration(tuple(features), weight_F, offset, p_target)


FITS = {"logistic": fit_calibration, "gaussian": fit_gaussian_calibration}


def _checked(
    features_PF: Floats, is_target_P: ArrayLike, features: Sequence[str]
) -> tuple[NDArray[np.bool_], NDArray[np.bool_], Floats, Floats, Floats]:
    """Return labels, which features vary, these scaled to mean 0 and deviation 1, and mean and deviation of all."""
    target_P: NDArray[np.bool_] = np.asarray(is_target_P, np.bool_)
    targets = int(target_P.sum())
    if not 0 < targets < target_P.size:
        raise ScoringError(
            f"calibration needs target and non-target trials; there are {targets} and {target_P.size - targets}"
        )
    for column, name in zip(features_PF.T, features, strict=True):
        if not np.isfinite(column).all():
            raise ScoringError(f"{(~np.isfinite(column)).sum()} of {column.size} values of {name!r} are not finite")
    mean_F, deviation_F = features_PF.mean(axis=0), features_PF.std(axis=0)
    varies_F = deviation_F > _CONSTANT * (1 + np.abs(mean_F))
    if not varies_F.any():
        raise ScoringError(f"nothing to calibrate by: {', '.join(features)} are the same for all trials")
    scaled_PF = ((features_PF - mean_F) / np.where(varies_F, deviation_F, 1))[:, varies_F]
    return target_P, varies_F, scaled_PF, mean_F, deviation_F


def _weights(target_P: NDArray[np.bool_], p_target: float) -> Floats:
    """Return weights by which targets weigh p_target together and non-targets the rest, [P]."""
    targets = np.count_nonzero(target_P)
    weight_P: Floats = np.where(target_P, p_target / targets, (1 - p_target) / (target_P.size - targets))
    return weight_P
