"""DET and ROC curves. On the DET's normal-deviate axes Gaussian scores are lines (Martin et al., Eurospeech 1997)."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from scipy.special import ndtri

from reseed.stages.common.figures import PERCENT, Plot, figure, plotted, to_svg
from reseed.stages.common.prose import percent
from reseed.stages.common.theme import Theme
from reseed.stages.reporting.plots.markers import POOLED, dot, legend_entry
from reseed.stages.reporting.results.collect import Results
from reseed.stages.reporting.results.measure import DetCurve, det_curve
from reseed.stages.reporting.results.styles import Styles
from reseed.stages.reporting.results.systems import System

_TICKS = np.array([0.0001, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8])
_LOWEST = 1e-4  # an EER of 0 has no place on these axes
_DET_HEIGHT_IN, _ROC_HEIGHT_IN = 5.4, 4.2

Panels = Mapping[str, Mapping[System, DetCurve]]
_Draw = Callable[[Axes, Mapping[System, DetCurve], Styles, Theme], None]


def det(results: Results) -> Plot | None:
    """Plot DET curves on clean speech, and in all noise together."""
    curves = _curves(results)
    return plotted(
        "det",
        "Detection error trade-off",
        "Normal-deviate axes; closer to the lower left is better. Markers: equal error rate, on the convex hull. "
        "The pooled panel has one threshold for all conditions, so its EER is not the mean of the table.",
        lambda theme: det_panels(curves, results.styles, theme),
        data=curve_rows(curves, results.styles),
    )


def roc(results: Results) -> Plot | None:
    """Plot the same curves as ROC."""
    curves = _curves(results)
    return plotted(
        "roc",
        "Receiver operating characteristic (ROC)",
        "The same curves as hits against false alarms, these on a logarithmic axis; closer to the upper left is "
        "better. Thin lines: their convex hulls. Markers: equal error rate, on the hull.",
        lambda theme: roc_panels(curves, results.styles, theme),
        folded=True,
        data=curve_rows(curves, results.styles, hulls=True),
    )


def _curves(results: Results) -> Panels:
    return {
        results.say(title): {
            scored.system: curve for scored in results.systems if (curve := det_curve(scored, part)) is not None
        }
        for part, title in POOLED.items()
    }


def det_panels(panels: Panels, styles: Styles, theme: Theme) -> str | None:
    """Draw one panel per title, one curve per system and a marker at its EER; None where there is nothing to draw."""
    return _pair(panels, styles, theme, _DET_HEIGHT_IN, _det)


def roc_panels(panels: Panels, styles: Styles, theme: Theme) -> str | None:
    """Draw the same curves as hits against false alarms, the latter on a logarithmic axis."""
    return _pair(panels, styles, theme, _ROC_HEIGHT_IN, _roc)


def curve_rows(panels: Panels, styles: Styles, *, hulls: bool = False) -> list[dict[str, Any]]:
    """Return the points of all curves as rows; with `hulls` also those of their convex hulls."""
    return [
        {"panel": title, "system": styles[system].label, "curve": name, "false_alarm": false_alarm, "miss": miss}
        for title, curves in panels.items()
        for system, curve in curves.items()
        for name, false_alarm_K, miss_K in (
            ("measured", curve.false_alarm_K, curve.miss_K),
            *([("hull", curve.hull_false_alarm_H, curve.hull_miss_H)] if hulls else []),
        )
        for false_alarm, miss in zip(false_alarm_K.tolist(), miss_K.tolist(), strict=True)
    ]


def fewest_false_alarms(curves: Mapping[System, DetCurve]) -> float:
    """Return where the axis of false alarms begins: at the least rate of any curve but 0, within 0.01 % and 2 %."""
    rates_K = np.concatenate([curve.false_alarm_K for curve in curves.values()])
    return float(rates_K[rates_K >= _LOWEST].min(initial=0.02))


def _pair(panels: Panels, styles: Styles, theme: Theme, height_in: float, draw: _Draw) -> str | None:
    shown = {title: curves for title, curves in panels.items() if curves}
    if not shown:
        return None
    with figure(theme, height_in) as fig:
        grid = fig.subplots(1, 2, squeeze=False)[0]
        for axes, (title, curves) in zip(grid, shown.items(), strict=False):
            axes.set_title(title)
            axes.set_xlabel("false alarms")
            draw(axes, curves, styles, theme)
        for axes in grid[len(shown) :]:
            axes.set_axis_off()
        return to_svg(fig)


def marker_at(curve: DetCurve) -> float:
    """Return where the marker of a curve stands on both axes: at the EER itself, which lies on the ROC's convex hull.

    The thinned curve crosses the diagonal near it, not there.
    """
    return float(ndtri(max(curve.eer, _LOWEST)))


def _roc(axes: Axes, curves: Mapping[System, DetCurve], styles: Styles, theme: Theme) -> None:
    for system, curve in curves.items():
        style = styles[system]
        hits_K = 100 * (1 - curve.miss_K)
        axes.plot(100 * curve.false_alarm_K, hits_K, color=style.colour(theme), linestyle=style.line, linewidth=1.7)
        hull_H = 100 * (1 - curve.hull_miss_H)
        axes.plot(100 * curve.hull_false_alarm_H, hull_H, color=style.colour(theme), linewidth=0.8)
        dot(axes, 100 * max(curve.eer, _LOWEST), 100 * (1 - curve.eer), style, theme)
    axes.set_xscale("log")
    axes.set_xlim(100 * fewest_false_alarms(curves), 100)
    axes.set_ylim(0, 101)
    axes.xaxis.set_major_formatter(PERCENT)
    axes.yaxis.set_major_formatter(PERCENT)
    axes.set_ylabel("hits")
    handles = [legend_entry(styles[system], theme) for system in curves]
    _boxed_legend(axes, theme, handles=handles, loc="lower right")


def _det(axes: Axes, curves: Mapping[System, DetCurve], styles: Styles, theme: Theme) -> None:
    low, high = _limits([curve.eer for curve in curves.values()])
    axes.plot([low, high], [low, high], color=theme.ink, linewidth=0.8, linestyle=":", alpha=0.7)
    for system, curve in curves.items():
        style, places = styles[system], (ndtri(curve.false_alarm_K), ndtri(curve.miss_K))
        axes.plot(*places, color=style.colour(theme), linestyle=style.line, linewidth=1.7)
    for system, curve in curves.items():
        dot(axes, marker_at(curve), marker_at(curve), styles[system], theme)
    ticks = [tick for tick in _TICKS if low <= ndtri(tick) <= high]
    labels = [f"{100 * tick:g}\u202f%" for tick in ticks]
    axes.set_xticks(ndtri(ticks), labels)
    axes.set_yticks(ndtri(ticks), labels)
    axes.set_xlim(low, high)
    axes.set_ylim(low, high)
    axes.set_aspect("equal")
    axes.set_ylabel("misses")
    handles = [
        legend_entry(styles[system], theme, f"{styles[system].label}  {percent(curve.eer, 2)}")
        for system, curve in curves.items()
    ]
    _boxed_legend(axes, theme, handles=handles, loc="upper right", title="EER")


def _boxed_legend(axes: Axes, theme: Theme, **options: Any) -> None:
    box = axes.legend(alignment="left", borderaxespad=0, frameon=True, framealpha=1, **options)
    box.get_frame().set(facecolor=theme.card, linewidth=0)


def _limits(eers: list[float]) -> tuple[float, float]:
    """Show from a tenth of the best EER, where curves still rest on many trials, to well above the worst."""
    low = min(max(min(eers) / 10, _LOWEST), 0.02)
    return float(ndtri(low)), float(ndtri(min(0.85, max(0.4, 2.2 * max(eers)))))
