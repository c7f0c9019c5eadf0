"""How vectors lie beyond what an error rate says: hubs among them, and how wide speakers scatter.

Shapes: N vectors, S speakers, D embedding dimension.
"""

import numpy as np
from numpy.typing import NDArray

from reseed.stages.scoring.curves import Floats

_BLOCK_N = 1024


def occurrences(unit_ND: Floats, nearest: int = 10) -> NDArray[np.int64]:
    """Return how often each vector is among the `nearest` others of another one, by cosine, [N]."""
    count = len(unit_ND)
    found_N = np.zeros(count, np.int64)
    kept = min(nearest, count - 1)
    for first in range(0, count, _BLOCK_N):
        cosine_BN = unit_ND[first : first + _BLOCK_N] @ unit_ND.T
        rows = np.arange(len(cosine_BN))
        cosine_BN[rows, first + rows] = -np.inf
        found_N += np.bincount(np.argpartition(-cosine_BN, kept - 1, axis=1)[:, :kept].ravel(), minlength=count)
    return found_N


def hubness(unit_ND: Floats, nearest: int = 10) -> float:
    """Return the skewness of `occurrences`: 0 where all vectors are found alike, above 1 where a few are found by most.

    Source: Radovanović, Nanopoulos and Ivanović, "Hubs in space", JMLR 11 (2010).
    """
    found_N = occurrences(unit_ND, nearest)
    deviation = found_N.std()
    return float(((found_N - found_N.mean()) ** 3).mean() / deviation**3) if deviation else 0.0


def scatter(unit_ND: Floats, speaker_N: NDArray[np.integer]) -> float:
    """Return the scatter within speakers as a share of that between them: traces of the covariances, speakers alike.

    Lower is better; it is what LDA minimises along its directions.
    """
    _, code_N, count_S = np.unique(speaker_N, return_inverse=True, return_counts=True)
    mean_SD = np.zeros((count_S.size, unit_ND.shape[1]))
    np.add.at(mean_SD, code_N, unit_ND)
    mean_SD /= count_S[:, None]
    squares_N = ((unit_ND - mean_SD[code_N]) ** 2).sum(axis=1)
    within = float((np.bincount(code_N, squares_N) / count_S).mean())
    return within / float(((mean_SD - mean_SD.mean(axis=0)) ** 2).sum(axis=1).mean())
