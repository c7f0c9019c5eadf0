"""What the figures share: points with intervals, the systems' markers and their legend."""

from dataclasses import dataclass
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from reseed.stages.common.theme import Theme
from reseed.stages.reporting.metrics.base import Interval
from reseed.stages.reporting.results.styles import Style, Styles

POOLED = {"clean": "clean", "noisy": "all noisy conditions pooled"}  # titles of panels


@dataclass(frozen=True)
class Point:
    """A point of a figure: where it stands, and an EER with its interval, in percent."""

    at: float
    eer: float
    interval: Interval | None

    @classmethod
    def of(cls, at: float, eer: float, ci95: Interval | None) -> "Point":
        """Make a point of fractions."""
        return cls(at, 100 * eer, (100 * ci95[0], 100 * ci95[1]) if ci95 else None)

    def row(self) -> dict[str, Any]:
        """Return the EER and its interval as fractions."""
        return {"eer": self.eer / 100, "eer_ci95": self.interval and tuple(end / 100 for end in self.interval)}


def legend_entry(style: Style, theme: Theme, label: str | None = None) -> Line2D:
    """Return a system's entry in a legend."""
    line: Any = {"color": style.colour(theme), "marker": style.marker, "linestyle": style.line, "markersize": 6}
    return Line2D([], [], label=label or style.label, **line)


def legend(fig: Figure, styles: Styles, theme: Theme) -> None:
    """Draw the legend of the systems above the panels."""
    entries = [legend_entry(style, theme) for style in styles.values()]
    fig.legend(handles=entries, loc="outside upper center", ncols=min(len(entries), 6))


def dot(axes: Axes, at: float, value: float, style: Style, theme: Theme) -> None:
    """Draw a system's marker; an edge in the card's colour keeps neighbours apart."""
    edge: Any = {"markeredgecolor": theme.card, "markeredgewidth": 0.5}
    axes.plot(at, value, style.marker, color=style.colour(theme), markersize=5.5, **edge)
