"""The SNR of a recording, estimated from its embedding by ridge regression.

Shapes: N vectors, D embedding dimension.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import RidgeCV

from reseed.stages.scoring.curves import Floats
from reseed.store.errors import ScoringError

CLEAN_DB = 30.0  # what counts as the SNR of a recording that nothing was added to
_PENALTIES = np.logspace(-3, 3, 7)


@dataclass(frozen=True)
class SnrEstimate:
    """A linear estimate of the SNR in dB from a unit vector, and its error on vectors it was not fitted on."""

    weight_D: Floats
    offset: float
    error_db: float

    def of(self, unit_ND: Floats) -> Floats:
        """Return the estimated SNR of unit vectors [..., D] in dB."""
        estimate_N: Floats = unit_ND @ self.weight_D + self.offset
        return estimate_N


def fit_snr(unit_ND: Floats, snr_N: Floats, held_out_N: NDArray[np.bool_]) -> SnrEstimate:
    """Fit an estimate.

    Args:
        snr_N: in dB; 30 where nothing was added, which anything fainter counts as too.
        held_out_N: which vectors are kept for the error; where these are none or all, it is that of the fit.

    Raises:
        ScoringError: no vector has an SNR below 30 dB.
    """
    capped_N = snr_N.clip(max=CLEAN_DB)
    if not (capped_N < CLEAN_DB).any():
        raise ScoringError("no vector of a known SNR; give the store of a split with noisy views")
    fitted_N = ~held_out_N if held_out_N.any() and not held_out_N.all() else np.ones_like(held_out_N)
    model = RidgeCV(alphas=_PENALTIES).fit(unit_ND[fitted_N], capped_N[fitted_N])
    estimate = SnrEstimate(model.coef_, float(model.intercept_), 0.0)
    tested_N = held_out_N if held_out_N.any() else fitted_N
    error_db = float(np.sqrt(np.mean((estimate.of(unit_ND[tested_N]) - capped_N[tested_N]) ** 2)))
    return SnrEstimate(estimate.weight_D, estimate.offset, error_db)
