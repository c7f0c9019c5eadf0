"""EER by condition: a dot and an interval per system, in one band per condition."""

from collections.abc import Sequence

import numpy as np

from reseed.stages.common.figures import PERCENT, Plot, figure, plotted, to_svg
from reseed.stages.common.theme import Theme
from reseed.stages.reporting.plots.markers import Point, dot, legend
from reseed.stages.reporting.results.collect import Results
from reseed.stages.reporting.results.styles import Styles
from reseed.stages.reporting.results.systems import System

_BAND_HEIGHT_IN = 0.16
_DOT_HEIGHT_IN = 0.07

Band = tuple[str, dict[System, Point]]


def eer_by_condition(results: Results) -> Plot | None:
    """Plot the EER of every system under every condition."""
    bands = plan_bands(results)
    caption = "Bars: 95\u202f% confidence intervals." if results.has_intervals else ""
    return plotted(
        "eer_by_condition",
        "EER by condition",
        caption,
        lambda theme: _draw(bands, results.styles, theme),
        data=[
            {"condition": label, "system": results.styles[system].label, **point.row()}
            for label, points in bands
            for system, point in points.items()
            if system in results.styles
        ],
    )


def plan_bands(results: Results) -> list[Band]:
    """Plan the bands from top to bottom: clean, the mean of the noisy conditions, then each of these."""
    bands = [
        (found.label, {m.system: Point.of(0, m.eer, m.eer_ci95) for m in results.measurements if m.condition == found})
        for found in results.conditions
    ]
    means = {s.system: s.noisy for s in results.summaries if s.noisy and s.noisy.conditions > 1}
    if means:
        points = {system: Point.of(0, mean.eer, mean.ci95) for system, mean in means.items()}
        label = results.say(f"mean of {max(mean.conditions for mean in means.values())} noisy")
        bands.insert(sum(condition.is_clean for condition in results.conditions), (label, points))
    return bands


def _draw(bands: Sequence[Band], styles: Styles, theme: Theme) -> str:
    """Draw the bands, every second one shaded; the axis stands above them and again below."""
    with figure(theme, 1.1 + len(bands) * (_BAND_HEIGHT_IN + _DOT_HEIGHT_IN * len(styles))) as fig:
        axes = fig.subplots()
        for row, (_, points) in enumerate(bands):
            if row % 2 == 0:
                axes.axhspan(row - 0.5, row + 0.5, color=theme.faint, alpha=0.35, linewidth=0)
            for (system, style), offset in zip(styles.items(), _offsets(len(styles)), strict=True):
                if system in points:
                    point = points[system]
                    if point.interval:
                        axes.hlines(row + offset, *point.interval, color=style.colour(theme), linewidth=1.6, alpha=0.75)
                    dot(axes, point.eer, row + offset, style, theme)
        axes.set_yticks(range(len(bands)), [label for label, _ in bands])
        axes.set_ylim(len(bands) - 0.5, -0.5)
        axes.grid(False, axis="y")
        axes.tick_params(axis="y", length=0)
        axes.tick_params(axis="x", top=True, labeltop=True)
        axes.set_xlim(left=0)
        axes.xaxis.set_major_formatter(PERCENT)
        axes.set_xlabel("EER")
        legend(fig, styles, theme)
        return to_svg(fig)


def _offsets(systems: int) -> list[float]:
    """Return where the systems stand around the middle of a band, so that their intervals do not hide each other."""
    return [float(offset) for offset in np.linspace(-0.33, 0.33, systems)] if systems > 1 else [0.0]
