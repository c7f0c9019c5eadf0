"""The look that all figures share: colours, markers, fonts, and deterministic SVG."""

import io
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter

from stages.reporting.load import System
from stages.reporting.measure import Interval

WIDTH_IN = 11.2
INK = "#2b2f36"
FAINT = "#d9dbdf"

# Okabe and Ito's palette, told apart by colour-blind readers; its yellow is too faint for lines on a light card.
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
_RAW_COLOUR = "#6b737e"
_MARKERS = ("s", "^", "D", "v", "p", "<")
_LINES = ("-", "-.", ":")

PERCENT = FuncFormatter(lambda value, _: f"{value:g}\u202f%")

_STYLE: Any = {
    "text.parse_math": False,  # ids may hold a dollar sign
    "svg.hashsalt": "reseed",
    "svg.fonttype": "path",
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "axes.titlesize": 10,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.labelcolor": INK,
    "axes.edgecolor": "#9aa0a8",
    "axes.titlecolor": INK,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.grid": True,
    "grid.color": FAINT,
    "grid.linewidth": 0.7,
    "xtick.color": INK,
    "ytick.color": INK,
    "text.color": INK,
    "legend.frameon": False,
    "legend.fontsize": 9,
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "savefig.facecolor": "none",
}


@dataclass(frozen=True)
class Look:
    """How one system is drawn in every figure."""

    label: str
    colour: str
    marker: str
    line: Any

    def handle(self) -> Line2D:
        """Return its entry in a legend."""
        return Line2D(
            [], [], color=self.colour, marker=self.marker, linestyle=self.line, label=self.label, markersize=6
        )


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

    Where the palette is used up it starts anew with other markers and lines.
    """
    looks: dict[System, Look] = {}
    used = 0
    for system, label in labels.items():
        if system.is_raw and _RAW_COLOUR not in {look.colour for look in looks.values()}:
            looks[system] = Look(label, _RAW_COLOUR, "o", "--")
            continue
        cycle, place = divmod(used, len(PALETTE))
        marker = _MARKERS[(place + cycle) % len(_MARKERS)]
        looks[system] = Look(label, PALETTE[place], marker, _LINES[cycle % len(_LINES)])
        used += 1
    return looks


@contextmanager
def figure(height_in: float, **options: Any) -> Iterator[Figure]:
    """Yield a figure of the page's width in the common style; no global state of matplotlib is touched for good."""
    with mpl.rc_context(_STYLE):
        yield Figure(figsize=(WIDTH_IN, height_in), layout="constrained", **options)


def to_svg(drawn: Figure) -> str:
    """Return a figure as SVG text: the same figure gives the same bytes."""
    buffer = io.StringIO()
    drawn.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    return buffer.getvalue()


def legend(drawn: Figure, looks: Looks) -> None:
    """Draw the legend of the systems above the panels."""
    handles = [look.handle() for look in looks.values()]
    drawn.legend(handles=handles, loc="outside upper center", ncols=min(len(handles), 6))


def dot(axes: Axes, at: float, value: float, look: Look) -> None:
    """Draw a system's marker; its white edge keeps neighbours apart."""
    axes.plot(at, value, look.marker, color=look.colour, markersize=5.5, markeredgecolor="white", markeredgewidth=0.5)


def side_by_side(count: int, width: float) -> list[float]:
    """Return places of `count` systems around 0, over `width`, so that their intervals do not hide each other."""
    return [float(place) for place in np.linspace(-width / 2, width / 2, count)] if count > 1 else [0.0]
