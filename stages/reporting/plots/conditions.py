"""EER by condition: a dot and an interval per system, in one band per condition."""

from collections.abc import Sequence

import numpy as np

from reseed.stages.common.figures import PERCENT, figure, to_svg
from reseed.stages.common.theme import Theme
from reseed.stages.reporting.plots.style import Looks, Point, dot, legend
from reseed.stages.reporting.results.load import System
from reseed.stages.reporting.results.measure import Measurement
from reseed.stages.reporting.results.summary import Summary

_BAND_HEIGHT_IN = 0.16
_DOT_HEIGHT_IN = 0.07

Band = tuple[str, dict[System, Point]]


def plan_bands(measurements: Sequence[Measurement], summaries: Sequence[Summary]) -> list[Band]:
    """Plan the bands from top to bottom: clean, the mean of the noisy conditions, then each of these."""
    conditions = sorted({m.condition for m in measurements}, key=lambda condition: condition.reading_order)
    bands = [
        (condition.label, {m.system: Point.of(0, m.eer, m.eer_ci95) for m in measurements if m.condition == condition})
        for condition in conditions
    ]
    means = {s.system: s.noisy for s in summaries if s.noisy and s.noisy.conditions > 1}
    if means:
        points = {system: Point.of(0, mean.eer, mean.ci95) for system, mean in means.items()}
        label = f"mean of {max(mean.conditions for mean in means.values())} noisy"
        bands.insert(sum(condition.is_clean for condition in conditions), (label, points))
    return bands


def eer_by_condition(bands: Sequence[Band], looks: Looks, theme: Theme) -> str:
    """Draw the bands, every second one shaded; the axis stands above them and again below."""
    with figure(theme, 1.1 + len(bands) * (_BAND_HEIGHT_IN + _DOT_HEIGHT_IN * len(looks))) as drawn:
        axes = drawn.subplots()
        for row, (_, points) in enumerate(bands):
            if row % 2 == 0:
                axes.axhspan(row - 0.5, row + 0.5, color=theme.faint, alpha=0.35, linewidth=0)
            for (system, look), offset in zip(looks.items(), _side_by_side(len(looks)), strict=True):
                if system in points:
                    point = points[system]
                    if point.interval:
                        axes.hlines(row + offset, *point.interval, color=look.colour(theme), linewidth=1.6, alpha=0.75)
                    dot(axes, point.eer, row + offset, look, theme)
        axes.set_yticks(range(len(bands)), [label for label, _ in bands])
        axes.set_ylim(len(bands) - 0.5, -0.5)
        axes.grid(False, axis="y")
        axes.tick_params(axis="y", length=0)
        axes.tick_params(axis="x", top=True, labeltop=True)
        axes.set_xlim(left=0)
        axes.xaxis.set_major_formatter(PERCENT)
        axes.set_xlabel("EER")
        legend(drawn, looks, theme)
        return to_svg(drawn)


def _side_by_side(count: int) -> list[float]:
    """Return places of `count` systems around the middle of a band, so that their intervals do not hide each other."""
    return [float(place) for place in np.linspace(-0.33, 0.33, count)] if count > 1 else [0.0]
