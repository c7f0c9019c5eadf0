"""A metric with its interval, and what is made of several: means and differences over the same draws.

Shapes: R replicates.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from reseed.stages.scoring.bootstrap import bias_corrected_interval
from reseed.stages.scoring.curves import Floats

Interval = tuple[float, float]


@dataclass(frozen=True)
class Figure:
    """A metric and its 95 % interval; None: there is none.

    Attributes:
        replicate_R: the same of each replicate of the bootstrap, comparable one by one with that of others.
    """

    value: float
    ci95: Interval | None = None
    replicate_R: Floats | None = field(default=None, repr=False, compare=False)


def figure_of(value: float, replicate_R: Floats | None) -> Figure:
    """Return a figure with the bias-corrected interval of its replicates."""
    return Figure(value, None if replicate_R is None else bias_corrected_interval(value, replicate_R), replicate_R)


def mean_of(figures: Sequence[Figure]) -> Figure:
    """Return their mean, draw by draw."""
    replicates = [figure.replicate_R for figure in figures if figure.replicate_R is not None]
    mean_R = np.mean(replicates, axis=0) if len(replicates) == len(figures) else None
    return figure_of(float(np.mean([figure.value for figure in figures])), mean_R)


def difference_of(first: Figure, second: Figure) -> Figure:
    """Return the first less the second, draw by draw."""
    both = first.replicate_R is not None and second.replicate_R is not None
    difference_R = first.replicate_R - second.replicate_R if both else None  # type: ignore[operator]
    return figure_of(first.value - second.value, difference_R)
