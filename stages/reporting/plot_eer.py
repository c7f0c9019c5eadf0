"""EER against SNR, one panel per kind of noise, and EER by condition as dots with intervals."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, MaxNLocator

from stages.reporting.figures import FAINT, Look, Looks, figure, legend, to_svg
from stages.reporting.load import System
from stages.reporting.measure import Interval, Measurement
from stages.reporting.summary import Summary
from stages.scoring.conditions import CLEAN, Condition

_COLUMNS = 4
_PANEL_HEIGHT_IN = 2.7
_BAND_HEIGHT_IN = 0.16
_DOT_HEIGHT_IN = 0.07
Band = tuple[str, dict[System, "Point"]]

_PERCENT = FuncFormatter(lambda value, _: f"{value:g}\u202f%")


@dataclass(frozen=True)
class Point:
    """One dot: where it stands, and its EER with interval, in percent."""

    at: float
    eer: float
    interval: Interval | None

    @classmethod
    def of(cls, at: float, eer: float, ci95: Interval | None) -> "Point":
        return cls(at, 100 * eer, (100 * ci95[0], 100 * ci95[1]) if ci95 else None)


def eer_by_snr(measurements: Sequence[Measurement], looks: Looks) -> str | None:
    """Draw EER against SNR, a panel per kind with two or more fixed SNRs; None where there is no such kind.

    The last point of a panel is the same condition with nothing added: clean, or the reverberation alone.
    """
    kinds = _kinds_by_snr(measurements)
    if not kinds:
        return None
    columns = len(kinds) if len(kinds) <= _COLUMNS else -(-len(kinds) // -(-len(kinds) // _COLUMNS))
    rows = -(-len(kinds) // columns)
    with figure(_PANEL_HEIGHT_IN * rows + 0.4) as drawn:
        grid = drawn.subplots(rows, max(columns, 2), sharey=True, squeeze=False).ravel()
        for axes, kind in zip(grid, kinds, strict=False):
            _snr_panel(axes, kind, measurements, looks)
        for axes in grid[len(kinds) :]:
            axes.set_axis_off()
        top = max(100 * (m.eer_ci95[1] if m.eer_ci95 else m.eer) for m in measurements if m.condition.kind in kinds)
        grid[0].set_ylim(0, 1.05 * max(top, 1e-3))
        for axes in grid[: len(kinds) : max(columns, 2)]:
            axes.set_ylabel("EER")
        legend(drawn, list(looks.values()), loc="outside upper center", ncols=min(len(looks), 6))
        return to_svg(drawn)


def eer_by_condition(measurements: Sequence[Measurement], summaries: Sequence[Summary], looks: Looks) -> str:
    """Draw a dot and an interval per system, in one band per condition; the mean of the noisy ones comes second."""
    bands = _bands(measurements, summaries)
    systems = list(looks)
    with figure(0.9 + len(bands) * (_BAND_HEIGHT_IN + _DOT_HEIGHT_IN * len(systems))) as drawn:
        axes = drawn.subplots()
        offsets = _spread(len(systems), 0.66)
        for row, (_, found) in enumerate(bands):
            if row % 2 == 0:
                axes.axhspan(row - 0.5, row + 0.5, color=FAINT, alpha=0.35, linewidth=0)
            for system, offset in zip(systems, offsets, strict=True):
                if system in found:
                    _dot(axes, found[system], row + offset, looks[system])
        axes.set_yticks(range(len(bands)), [name for name, _ in bands])
        axes.set_ylim(len(bands) - 0.5, -0.5)
        axes.grid(False, axis="y")
        axes.tick_params(axis="y", length=0)
        axes.set_xlim(left=0)
        axes.xaxis.set_major_formatter(_PERCENT)
        axes.set_xlabel("EER")
        legend(drawn, list(looks.values()), loc="outside upper center", ncols=min(len(systems), 6))
        return to_svg(drawn)


def _kinds_by_snr(measurements: Sequence[Measurement]) -> list[str]:
    snrs: dict[str, set[float]] = {}
    for m in sorted(measurements, key=lambda m: m.condition.reading_order):
        if m.condition.fixed_snr_db is not None:
            snrs.setdefault(m.condition.kind, set()).add(m.condition.fixed_snr_db)
    return [kind for kind, values in snrs.items() if len(values) > 1]


def _snr_panel(axes: Axes, kind: str, measurements: Sequence[Measurement], looks: Looks) -> None:
    of_kind = [m for m in measurements if m.condition.kind == kind and m.condition.fixed_snr_db is not None]
    ticks = sorted({_snr(m.condition) for m in of_kind})
    step = median(np.diff(ticks))
    quiet_kind = "reverb" if kind.startswith("reverb") else CLEAN
    quiet = {m.system: m for m in measurements if m.condition.kind == quiet_kind and m.condition.snr_db is None}
    for (system, look), offset in zip(
        looks.items(), _spread(len(looks), 0.05 * (ticks[-1] + 1.2 * step - ticks[0])), strict=True
    ):
        points = [Point.of(_snr(m.condition) + offset, m.eer, m.eer_ci95) for m in of_kind if m.system == system]
        points.sort(key=lambda point: point.at)
        axes.plot(
            [p.at for p in points], [p.eer for p in points], color=look.colour, linestyle=look.line, linewidth=1.6
        )
        if system in quiet and points:
            end = Point.of(ticks[-1] + 1.2 * step + offset, quiet[system].eer, quiet[system].eer_ci95)
            axes.plot([points[-1].at, end.at], [points[-1].eer, end.eer], color=look.colour, linestyle=":", linewidth=1)
            points.append(end)
        for point in points:
            _whisker(axes, point, look)
    labels = [f"{tick:g}" for tick in ticks]
    if quiet:
        ticks, labels = [*ticks, ticks[-1] + 1.2 * step], [*labels, quiet_kind]
    axes.set_xticks(ticks, labels)
    axes.grid(False, axis="x")
    axes.set_title(kind.replace("+", " + "))
    axes.set_xlabel("SNR in dB")
    axes.yaxis.set_major_formatter(_PERCENT)
    axes.yaxis.set_major_locator(MaxNLocator(6))
    axes.tick_params(labelleft=True)


def _whisker(axes: Axes, point: Point, look: Look) -> None:
    if point.interval:
        axes.vlines(point.at, *point.interval, color=look.colour, linewidth=1.1, alpha=0.75)
    axes.plot(
        point.at, point.eer, look.marker, color=look.colour, markersize=5, markeredgecolor="white", markeredgewidth=0.5
    )


def _dot(axes: Axes, point: Point, row: float, look: Look) -> None:
    if point.interval:
        axes.hlines(row, *point.interval, color=look.colour, linewidth=1.6, alpha=0.75)
    axes.plot(
        point.eer, row, look.marker, color=look.colour, markersize=5.5, markeredgecolor="white", markeredgewidth=0.5
    )


def _bands(measurements: Sequence[Measurement], summaries: Sequence[Summary]) -> list[Band]:
    bands: list[Band] = []
    for condition in sorted({m.condition for m in measurements}, key=lambda c: c.reading_order):
        found = {m.system: Point.of(0, m.eer, m.eer_ci95) for m in measurements if m.condition == condition}
        bands.append((condition.label, found))
    means = {s.system: s.noisy for s in summaries if s.noisy and s.noisy.conditions > 1}
    if means:
        count = next(iter(means.values())).conditions
        band = f"mean of {count} noisy", {system: Point.of(0, mean.eer, mean.ci95) for system, mean in means.items()}
        clean = sum(c.is_clean for c in {m.condition for m in measurements})
        bands.insert(clean, band)
    return bands


def _spread(count: int, width: float) -> list[float]:
    """Side-by-side positions of `count` systems around 0, so that their intervals do not hide each other."""
    return list(np.linspace(-width / 2, width / 2, count)) if count > 1 else [0.0]


def _snr(condition: Condition) -> float:
    return condition.fixed_snr_db if condition.fixed_snr_db is not None else float("nan")
