"""The look that all figures share: markers, lines, fonts, and deterministic SVG."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from reseed.stages.common.theme import LIGHT, Theme
from reseed.stages.reporting.metrics.base import Interval
from reseed.stages.reporting.results.load import System

_MARKERS = ("s", "^", "D", "v", "p", "<")
_LINES = ("-", "-.", ":")


@dataclass(frozen=True)
class Look:
    """How one system is drawn in every figure; `hue` counts the systems' colours of a theme, 0 being raw's."""

    label: str
    hue: int
    marker: str
    line: Any

    def colour(self, theme: Theme) -> str:
        """Return its colour."""
        return theme.systems[self.hue]

    def handle(self, theme: Theme, label: str | None = None) -> Line2D:
        """Return its entry in a legend."""
        look: Any = {"color": self.colour(theme), "marker": self.marker, "linestyle": self.line, "markersize": 6}
        return Line2D([], [], label=label or self.label, **look)


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


Looks = Mapping[System, Look]


def system_looks(labels: Mapping[System, str]) -> dict[System, Look]:
    """Give each system a look: raw is grey and dashed, the others take the palette in order.

    Systems of one label, scored in several ways, look alike. Where the palette is used up it starts anew with other
    markers and lines.
    """
    by_label: dict[str, Look] = {}
    used = 0
    for system, label in labels.items():
        if label in by_label:
            continue
        if system.is_raw and 0 not in {look.hue for look in by_label.values()}:
            by_label[label] = Look(label, 0, "o", "--")
            continue
        cycle, place = divmod(used, len(LIGHT.systems) - 1)
        marker = _MARKERS[(place + cycle) % len(_MARKERS)]
        by_label[label] = Look(label, 1 + place, marker, _LINES[cycle % len(_LINES)])
        used += 1
    return {system: by_label[label] for system, label in labels.items()}


def legend(drawn: Figure, looks: Looks, theme: Theme) -> None:
    """Draw the legend of the systems above the panels."""
    handles = [look.handle(theme) for look in looks.values()]
    drawn.legend(handles=handles, loc="outside upper center", ncols=min(len(handles), 6))


def dot(axes: Axes, at: float, value: float, look: Look, theme: Theme) -> None:
    """Draw a system's marker; an edge in the card's colour keeps neighbours apart."""
    edge: Any = {"markeredgecolor": theme.card, "markeredgewidth": 0.5}
    axes.plot(at, value, look.marker, color=look.colour(theme), markersize=5.5, **edge)
