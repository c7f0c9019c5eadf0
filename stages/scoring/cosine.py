"""Cosine scores of trials from stored vectors.

Shapes: U utterances, C crops, D embedding dimension, E enrolment and T test utterances, P trials.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from reseed.stages.scoring.curves import Floats
from reseed.store.errors import ScoringError

_BLOCK_P = 8192


def utterance_embeddings(vectors_UCD: NDArray[np.floating[Any]]) -> Floats:
    """Return one unit vector per utterance, [U, D]: crops to unit length, averaged, to unit length again.

    Raises:
        ScoringError: a vector has length zero, so no direction, or is not finite; counts them and names the first.
    """
    return unit_rows(unit_rows(vectors_UCD).mean(axis=-2))


def unit_rows(vectors_ND: NDArray[np.floating[Any]]) -> Floats:
    """Return vectors [..., D] scaled to unit length.

    Raises:
        ScoringError: a vector has length zero or is not finite.
    """
    wide_ND = vectors_ND.astype(np.float64)
    length_N = np.linalg.norm(wide_ND, axis=-1, keepdims=True)
    bad_N = ~(np.isfinite(length_N) & (length_N > 0))[..., 0].reshape(-1)
    if bad_N.any():
        raise ScoringError(
            f"{bad_N.sum()} of {bad_N.size} vectors have no direction (zero or not finite), "
            f"the first at row {np.flatnonzero(bad_N)[0]}; look at the model or the audio that made them"
        )
    unit_ND: Floats = wide_ND / length_N
    return unit_ND


def cosine_scores(enrolment_ED: Floats, test_TD: Floats, pairs_P2: NDArray[np.integer[Any]]) -> Floats:
    """Return the cosine of each trial: [P], from -1 to 1.

    Args:
        enrolment_ED, test_TD: unit rows, see `utterance_embeddings`.
        pairs_P2: row of the enrolment and row of the test utterance of each trial.
    """
    score_P = np.empty(pairs_P2.shape[0])
    for start in range(0, score_P.size, _BLOCK_P):
        block = slice(start, start + _BLOCK_P)
        enrolment_PD, test_PD = enrolment_ED[pairs_P2[block, 0]], test_TD[pairs_P2[block, 1]]
        np.einsum("pd,pd->p", enrolment_PD, test_PD, out=score_P[block])
    return score_P
