import numpy as np
import pytest

from reseed.stages.scoring.cosine import unit_rows
from reseed.stages.scoring.snr import fit_snr
from reseed.store import ScoringError

DRAW = np.random.default_rng(0)
UNIT = unit_rows(DRAW.normal(size=(400, 6)))
SNR = 20 * UNIT[:, 0] + 5
HELD_OUT = np.arange(400) % 10 == 9


def test_an_snr_that_is_linear_in_the_vector_is_found_and_the_error_is_of_vectors_held_out():
    estimate = fit_snr(UNIT, SNR, HELD_OUT)
    np.testing.assert_allclose(estimate.of(UNIT), SNR, atol=0.01)
    assert estimate.error_db < 0.01
    misled = np.where(HELD_OUT, SNR + 3, SNR)
    assert fit_snr(UNIT, misled, HELD_OUT).error_db == pytest.approx(3, abs=0.01)


def test_more_than_30_db_counts_as_30_and_nothing_below_it_is_an_error():
    loud = np.where(SNR > 20, 99.0, SNR)
    np.testing.assert_array_equal(
        fit_snr(UNIT, loud, HELD_OUT).weight_D, fit_snr(UNIT, loud.clip(max=30), HELD_OUT).weight_D
    )
    with pytest.raises(ScoringError, match="no vector of a known SNR"):
        fit_snr(UNIT, np.full(400, 30.0), HELD_OUT)
