"""DET curves on normal-deviate axes: Gaussian scores are straight lines there (Martin et al., Eurospeech 1997)."""

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from scipy.special import ndtri

from stages.reporting.figures import INK, Looks, dot, figure, legend, to_svg
from stages.reporting.load import System
from stages.reporting.measure import Curve

_TICKS = np.array([0.0001, 0.001, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8])
_HEIGHT_IN = 5.4


def det_panels(panels: Mapping[str, Mapping[System, Curve]], looks: Looks) -> str | None:
    """Draw one panel per title, one curve per system; None where there is nothing to draw.

    Args:
        panels: title -> system -> (false alarm, miss) as fractions.
    """
    shown = {title: curves for title, curves in panels.items() if curves}
    if not shown:
        return None
    with figure(_HEIGHT_IN) as drawn:
        grid = drawn.subplots(1, 2, squeeze=False)[0]
        for axes, (title, curves) in zip(grid, shown.items(), strict=False):
            _panel(axes, title, curves, looks)
        for axes in grid[len(shown) :]:
            axes.set_axis_off()
        legend(drawn, looks)
        return to_svg(drawn)


def _panel(axes: Axes, title: str, curves: Mapping[System, Curve], looks: Looks) -> None:
    low, high = _limits(curves)
    axes.plot([low, high], [low, high], color=INK, linewidth=0.8, linestyle=":", alpha=0.7)
    for system, (false_alarm, miss) in curves.items():
        look = looks[system]
        axes.plot(ndtri(false_alarm), ndtri(miss), color=look.colour, linestyle=look.line, linewidth=1.7)
        equal = float(np.interp(0, ndtri(miss) - ndtri(false_alarm), ndtri(false_alarm)))
        dot(axes, equal, equal, look)
    ticks = [tick for tick in _TICKS if low <= ndtri(tick) <= high]
    labels = [f"{100 * tick:g}\u202f%" for tick in ticks]
    axes.set_xticks(ndtri(ticks), labels)
    axes.set_yticks(ndtri(ticks), labels)
    axes.set_xlim(low, high)
    axes.set_ylim(low, high)
    axes.set_aspect("equal")
    axes.set_title(title)
    axes.set_xlabel("false alarms")
    axes.set_ylabel("misses")


def _limits(curves: Mapping[System, Curve]) -> tuple[float, float]:
    """Show from a tenth of the best EER, where curves still rest on many trials, to well above the worst."""
    eers = [float(np.max([fa, miss], axis=0).min()) for fa, miss in curves.values()]
    low = min(max(min(eers) / 10, 1e-4), 0.02)
    return float(ndtri(low)), float(ndtri(min(0.85, max(0.4, 2.2 * max(eers)))))
