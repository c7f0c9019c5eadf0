"""Closed-set identification: where the true speaker ranks among all enrolled speakers.

Shapes: U utterances, of which E are enrolled and T tested; S enrolled speakers, D embedding dimension.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from reseed.stages.scoring.curves import Floats

Codes = NDArray[np.integer[Any]]

_BLOCK_T = 1024
_NO_LENGTH = 1e-9


def rank_speakers(
    enrolment_UD: Floats, test_UD: Floats, speaker_U: Codes, enrolment_E: Codes, test_T: Codes
) -> tuple[NDArray[np.int64], int]:
    """Return the rank of each test utterance's own speaker, [T], and the number of speakers S it is ranked among.

    Rank 1 is right. A speaker's model is the mean of its unit enrolment embeddings. A test utterance that is itself
    enrolled is left out of its speaker's model, where it would recognise itself. Rank 0 means that there is no such
    model: speaker unknown, not enrolled, or enrolled by this utterance alone. Ties count against: a constant score
    identifies nobody.

    Args:
        enrolment_UD, test_UD: unit rows of all utterances, in the enrolment and in the test view.
        speaker_U: speaker of each utterance; negative where unknown.
        enrolment_E, test_T: rows of the utterances that are enrolled and tested, ascending.
    """
    enrolment_E = enrolment_E[speaker_U[enrolment_E] >= 0]
    speaker_S, model_E = np.unique(speaker_U[enrolment_E], return_inverse=True)
    sums_SD = np.zeros((speaker_S.size, enrolment_UD.shape[1]))
    np.add.at(sums_SD, model_E, enrolment_UD[enrolment_E])
    model_T = _position(speaker_U[test_T], speaker_S)
    rank_T = np.zeros(test_T.size, np.int64)
    known = np.flatnonzero(model_T >= 0)
    for start in range(0, known.size, _BLOCK_T):
        block = known[start : start + _BLOCK_T]
        true_TD = sums_SD[model_T[block]]
        enrolled = np.isin(test_T[block], enrolment_E)
        true_TD[enrolled] -= enrolment_UD[test_T[block][enrolled]]
        rank_T[block] = _ranks(test_UD[test_T[block]], true_TD, model_T[block], sums_SD)
    return rank_T, speaker_S.size


def _ranks(test_TD: Floats, true_TD: Floats, model_T: Codes, sums_SD: Floats) -> NDArray[np.int64]:
    length_T = np.linalg.norm(true_TD, axis=1)
    true_score_T = np.einsum("td,td->t", test_TD, true_TD) / np.maximum(length_T, _NO_LENGTH)
    score_TS = test_TD @ (sums_SD / np.maximum(np.linalg.norm(sums_SD, axis=1, keepdims=True), _NO_LENGTH)).T
    score_TS[np.arange(model_T.size), model_T] = -np.inf
    higher_T = (score_TS >= true_score_T[:, None]).sum(axis=1)
    return np.where(length_T > _NO_LENGTH, 1 + higher_T, 0)


def _position(values: Codes, among: Codes) -> NDArray[np.int64]:
    """Return where each value stands in the ascending `among`; -1 where it does not."""
    if not among.size:
        return np.full(values.size, -1)
    at = np.searchsorted(among, values).clip(0, among.size - 1)
    return np.where(among[at] == values, at, -1)
