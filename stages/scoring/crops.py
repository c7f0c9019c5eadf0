"""Scores of trials from every pair of crops, one of the enrolment and one of the test utterance.

Shapes: U utterances, C crops, D embedding dimension, P trials, N trials of one enrolment utterance.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reseed.stages.scoring.cosine import unit_rows
from reseed.stages.scoring.curves import Floats

Vectors = NDArray[np.floating[Any]]
Crops = NDArray[np.float32]
Indices = NDArray[np.integer[Any]]

_BLOCK_N = 64  # trials at a time on the CPU: few enough to stay in the processor's cache
_BLOCK_ELEMENTS = 1 << 24  # at a time on a device: 128 MB per side
_CLOSE = 0.98  # cosines above it lose too many digits of a distance in single precision


def mean_unit_crops(vectors_UCD: Vectors) -> Floats:
    """Return the mean of each utterance's crops after these are scaled to unit length, [U, D].

    The mean over i and j of e_i . t_j is (mean of e_i) . (mean of t_j): the dot product of two such rows, which unlike
    those of `utterance_embeddings` are not scaled to unit length again, is the mean cosine over all pairs of crops.

    Raises:
        ScoringError: a vector has length zero or is not finite.
    """
    mean_UD: Floats = unit_rows(vectors_UCD).mean(axis=1)
    return mean_UD


def crop_distance_scores(enrolment_UCD: Crops, test_UCD: Crops, pairs_P2: Indices, device: str = "cpu") -> Floats:
    """Return minus the mean Euclidean distance over all C x C pairs of unit crops of each trial: [P], from -2 to 0.

    On the CPU trials are grouped by enrolment utterance and multiplied in single precision; the distance of crops
    that nearly agree, where 2 - 2 cos cancels, is taken from their difference. Devices compute in double precision.

    Args:
        enrolment_UCD, test_UCD: see `unit_crops`.
        pairs_P2: row of the enrolment and row of the test utterance of each trial.
        device: "cpu", or a device of PyTorch.

    Source: SEED (Interspeech 2025) and voxceleb_trainer score so, with C = 10.
    """
    if device != "cpu":
        return _scores_on_device(enrolment_UCD, test_UCD, pairs_P2, device)
    score_P = np.empty(pairs_P2.shape[0])
    for row, trials_N in _by_enrolment(pairs_P2):
        score_P[trials_N] = -_mean_distances(enrolment_UCD[row], test_UCD[pairs_P2[trials_N, 1]])
    return score_P


def unit_crops(vectors_UCD: Vectors) -> Crops:
    """Return crops of unit length in single precision, [U, C, D].

    Raises:
        ScoringError: a vector has length zero or is not finite.
    """
    length_UC = np.sqrt(np.einsum("ucd,ucd->uc", vectors_UCD, vectors_UCD, dtype=np.float64))
    if not (np.isfinite(length_UC) & (length_UC > 0)).all():
        unit_rows(vectors_UCD)  # counts those without direction, and names the first
    unit_UCD: Crops = vectors_UCD.astype(np.float32, copy=False) / length_UC[..., None].astype(np.float32)
    return unit_UCD


def _by_enrolment(pairs_P2: Indices) -> Iterator[tuple[int, NDArray[np.intp]]]:
    """Yield each enrolment utterance with its trials, at most _BLOCK_N at a time."""
    order_P = np.lexsort((pairs_P2[:, 1], pairs_P2[:, 0]))
    rows, starts = np.unique(pairs_P2[order_P, 0], return_index=True)
    for row, trials in zip(rows.tolist(), np.split(order_P, starts[1:]), strict=False):
        for first in range(0, trials.size, _BLOCK_N):
            yield row, trials[first : first + _BLOCK_N]


def _mean_distances(enrolment_CD: NDArray[np.float32], test_NCD: NDArray[np.float32]) -> Floats:
    test_MD = test_NCD.reshape(-1, test_NCD.shape[-1])  # M: crops of all N
    cosine_MC = test_MD @ enrolment_CD.T
    close = np.nonzero(cosine_MC > _CLOSE)
    distance_MC = np.sqrt(np.maximum(2 - 2 * cosine_MC, 0))
    for first in range(0, close[0].size, _BLOCK_N * 8):
        test, crop = (index[first : first + _BLOCK_N * 8] for index in close)
        distance_MC[test, crop] = np.linalg.norm(test_MD[test] - enrolment_CD[crop], axis=1)
    mean_N: Floats = distance_MC.reshape(test_NCD.shape[0], -1).mean(axis=1, dtype=np.float64)
    return mean_N


def _scores_on_device(enrolment_UCD: Crops, test_UCD: Crops, pairs_P2: Indices, device: str) -> Floats:
    import torch

    enrolment, test = (torch.from_numpy(unit).to(device, torch.float64) for unit in (enrolment_UCD, test_UCD))
    pairs = torch.from_numpy(pairs_P2.astype(np.int64)).to(device)
    score = torch.empty(len(pairs), dtype=torch.float64, device=device)
    block = max(1, _BLOCK_ELEMENTS // max(1, enrolment[0].numel() if len(enrolment) else 1))
    for first in range(0, len(pairs), block):
        chosen = pairs[first : first + block]
        cosine_PCC = torch.bmm(enrolment[chosen[:, 0]], test[chosen[:, 1]].transpose(1, 2))
        score[first : first + block] = -(2 - 2 * cosine_PCC).clamp_(min=0).sqrt_().mean(dim=(1, 2))
    score_P: Floats = score.cpu().numpy()
    return score_P
