"""EER against SNR: one panel per kind of noise, one curve per system. What a panel holds is planned, then fig."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from reseed.stages.audio.conditions import CLEAN, MIXED
from reseed.stages.common.figures import PERCENT, Plot, figure, plotted, to_svg
from reseed.stages.common.prose import listed
from reseed.stages.common.theme import Theme
from reseed.stages.reporting.plots.markers import Point, dot, legend
from reseed.stages.reporting.results.collect import Results
from reseed.stages.reporting.results.measure import Measurement
from reseed.stages.reporting.results.styles import Style, Styles
from reseed.stages.reporting.results.systems import System

_MAX_COLUMNS = 3  # more would make panels too narrow to tell five systems apart
_PANEL_HEIGHT_IN = 4.2


@dataclass(frozen=True)
class SnrPanel:
    """One kind of noise: points by SNR in dB, and the condition with nothing added at the right end.

    Attributes:
        ticks: the SNRs, ascending.
        quiet_kind, quiet_at: that last condition, clean or the reverberation alone, and where it stands on the axis.
        curves: points of each system, by SNR.
        quiet: its point at the right end, where it was scored.
    """

    kind: str
    ticks: list[float]
    quiet_kind: str
    quiet_at: float
    curves: dict[System, list[Point]]
    quiet: dict[System, Point]


def eer_by_snr(results: Results) -> Plot | None:
    """Plot the EER of every system against the SNR."""
    panels, shaded = plan_panels(results.measurements), results.raw_and_best
    band = f"Shaded: 95\u202f% confidence intervals of {listed([results.styles[s].label for s in shaded])}. "
    return plotted(
        "eer_by_snr",
        "EER against SNR",
        f"{band if results.has_intervals else ''}The dotted end of a line is the condition with nothing added.",
        lambda theme: draw_panels(panels, shaded, results.styles, theme),
        data=[row for panel in panels for row in _rows(panel, results.styles)],
    )


def _rows(panel: SnrPanel, styles: Styles) -> list[dict[str, Any]]:
    """Return the points of a panel; those with nothing added have no SNR."""
    return [
        {"kind": panel.kind, "system": style.label, "snr_db": None if point is end else point.at, **point.row()}
        for system, style in styles.items()
        for end in (panel.quiet.get(system),)
        for point in (*panel.curves.get(system, ()), *filter(None, (end,)))
    ]


def plan_panels(measurements: Sequence[Measurement]) -> list[SnrPanel]:
    """Plan a panel for every kind with two or more fixed SNRs, in reading order."""
    ordered = sorted(measurements, key=lambda m: m.condition.reading_order)
    kinds = dict.fromkeys(m.condition.kind for m in ordered if m.condition.fixed_snr_db is not None)
    panels = [_plan_panel(kind, measurements) for kind in kinds if kind != MIXED]
    return [panel for panel in panels if len(panel.ticks) > 1]


def draw_panels(panels: Sequence[SnrPanel], shaded: Collection[System], styles: Styles, theme: Theme) -> str | None:
    """Draw EER against SNR; None where there is no panel.

    Args:
        shaded: systems whose intervals are fig: those of all would hide the lines.
    """
    if not panels:
        return None
    rows = -(-len(panels) // _MAX_COLUMNS)
    columns = max(-(-len(panels) // rows), 2)
    with figure(theme, _PANEL_HEIGHT_IN * rows + 0.4) as fig:
        grid = fig.subplots(rows, columns, sharey=True, squeeze=False).ravel()
        for axes, panel in zip(grid, panels, strict=False):
            _draw_panel(axes, panel, shaded, styles, theme)
        for axes in grid[len(panels) :]:
            axes.set_axis_off()
        for axes in grid[: len(panels) : columns]:
            axes.set_ylabel("EER")
        grid[0].set_ylim(bottom=0)
        legend(fig, styles, theme)
        return to_svg(fig)


def _plan_panel(kind: str, measurements: Sequence[Measurement]) -> SnrPanel:
    curves: dict[System, list[Point]] = {}
    for m in measurements:
        if m.condition.kind == kind and m.condition.fixed_snr_db is not None:
            curves.setdefault(m.system, []).append(Point.of(m.condition.fixed_snr_db, m.eer, m.eer_ci95))
    ticks = sorted({point.at for points in curves.values() for point in points})
    quiet_at = ticks[-1] + 1.2 * (ticks[-1] - ticks[0]) / max(len(ticks) - 1, 1)
    quiet_kind = "reverb" if kind.startswith("reverb") else CLEAN
    quiet = {
        m.system: Point.of(quiet_at, m.eer, m.eer_ci95)
        for m in measurements
        if m.condition.kind == quiet_kind and m.condition.snr_db is None
    }
    ordered = {system: sorted(points, key=lambda point: point.at) for system, points in curves.items()}
    return SnrPanel(kind, ticks, quiet_kind, quiet_at, ordered, quiet)


def _draw_panel(axes: Axes, panel: SnrPanel, shaded: Collection[System], styles: Styles, theme: Theme) -> None:
    for system, style in styles.items():
        if system in panel.curves and system in shaded:
            _shade(axes, panel.curves[system], panel.quiet.get(system), style, theme)
    for system, style in styles.items():
        if system in panel.curves:
            _draw_curve(axes, panel.curves[system], panel.quiet.get(system), style, theme)
    ends = [(panel.quiet_at, panel.quiet_kind)] if panel.quiet else []
    names = [(tick, f"{tick:g}".replace("-", "\u2212")) for tick in panel.ticks]
    axes.set_xticks(*zip(*names, *ends, strict=True))
    axes.grid(False, axis="x")
    axes.set_title(panel.kind)
    axes.set_xlabel("SNR in dB")
    axes.yaxis.set_major_formatter(PERCENT)
    axes.yaxis.set_major_locator(MaxNLocator(7, steps=[1, 2, 5, 10]))
    axes.tick_params(labelleft=True)


def _shade(axes: Axes, points: list[Point], quiet: Point | None, style: Style, theme: Theme) -> None:
    known = [(point.at, *point.interval) for point in points if point.interval]
    if known:
        at, low, high = zip(*known, strict=True)
        axes.fill_between(at, low, high, color=style.colour(theme), alpha=0.15, linewidth=0)
    if quiet and quiet.interval:
        axes.vlines(quiet.at, *quiet.interval, color=style.colour(theme), linewidth=6, alpha=0.15)


def _draw_curve(axes: Axes, points: list[Point], quiet: Point | None, style: Style, theme: Theme) -> None:
    at, eers = [point.at for point in points], [point.eer for point in points]
    axes.plot(at, eers, color=style.colour(theme), linestyle=style.line, linewidth=1.6)
    if quiet is not None:
        axes.plot([at[-1], quiet.at], [eers[-1], quiet.eer], color=style.colour(theme), linestyle=":", linewidth=1)
    for point in [*points, *([quiet] if quiet else [])]:
        dot(axes, point.at, point.eer, style, theme)
