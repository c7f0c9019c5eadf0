"""Which decisions change between two systems, each at a threshold of its own: what got worse, and what was mended.

Shapes: P trials.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from reseed.stages.scoring.curves import Floats

Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Flips:
    """Decisions that another system takes otherwise.

    Attributes:
        worse_P: trials decided rightly before and wrongly after; `mended_P` the reverse.
        margin_P: how far each trial is on the right side after, in deviations of all scores; negative: wrong.
    """

    worse_P: Mask
    mended_P: Mask
    margin_P: Floats


def flips(
    before_P: Floats, after_P: Floats, is_target_P: Mask, before_threshold: float, after_threshold: float
) -> Flips:
    """Compare the decisions of two systems on the same trials; one is accepted where its score >= the threshold."""
    was_right_P = (before_P >= before_threshold) == is_target_P
    is_right_P = (after_P >= after_threshold) == is_target_P
    margin_P = np.where(is_target_P, 1, -1) * (after_P - after_threshold) / max(float(after_P.std()), 1e-12)
    return Flips(was_right_P & ~is_right_P, ~was_right_P & is_right_P, margin_P)


def examples(found: Flips, count: int, seed: int = 0) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return places of trials that got worse: the `count` farthest on the wrong side, and as many drawn of the rest."""
    worse = np.flatnonzero(found.worse_P)
    ordered = worse[np.argsort(found.margin_P[worse], kind="stable")]
    rest = ordered[count:]
    drawn = np.random.default_rng(seed).choice(rest, min(count, rest.size), replace=False)
    return ordered[:count], drawn
