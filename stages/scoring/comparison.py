"""Whether a difference may be chance, for one comparison and for several, and which difference would not be missed.

Shapes: R bootstrap replicates.
"""

from collections.abc import Sequence

import numpy as np
from scipy.special import ndtri

from reseed.stages.scoring.curves import Floats

LEVEL, POWER = 0.05, 0.8


def p_value(difference_R: Floats) -> float | None:
    """Return the two-sided p-value of no difference, from paired replicates; None where none of them is finite.

    Twice the share of replicates on the rarer side of 0, a replicate at 0 counting on both, and one more on either side
    for the sample itself, so that it is never 0.

    Source: Davison and Hinkley, Bootstrap Methods and their Application (1997), section 4.4, by inverting the
    percentile interval.
    """
    finite = difference_R[np.isfinite(difference_R)]
    if not finite.size:
        return None
    rarer = min(np.count_nonzero(finite <= 0), np.count_nonzero(finite >= 0))
    return min(1.0, (rarer + 1) * least_p(finite.size))


def least_p(replicates: int) -> float:
    """Return the least that `p_value` can be."""
    return 2 / (replicates + 1)


def holm(p_values: Sequence[float]) -> list[float]:
    """Return p-values corrected for how many there are, so that at LEVEL none is wrong in more than 5 % of cases.

    Source: the step-down method of Holm, Scandinavian Journal of Statistics 6 (1979).
    """
    order = np.argsort(p_values, kind="stable")
    corrected = np.empty(len(p_values))
    least = 0.0
    for rank, place in enumerate(order):
        least = max(least, min(1.0, (len(p_values) - rank) * p_values[place]))
        corrected[place] = least
    return corrected.tolist()


def detectable(difference_R: Floats) -> float:
    """Return the least difference that is told from 0 at LEVEL in a share POWER of cases, were it there.

    The spread of the replicates stands for that of the difference among other speakers: a normal approximation.
    """
    return float((ndtri(1 - LEVEL / 2) + ndtri(POWER)) * np.nanstd(difference_R))
