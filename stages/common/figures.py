"""How every figure of the project looks and is written: fonts, themes, deterministic SVG, and a figure of a page."""

import base64
import io
import re
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import matplotlib as mpl
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from reseed.stages.common.terminal import printable
from reseed.stages.common.theme import DARK, IN_THE_DARK, LIGHT, Theme

WIDTH_IN = 11.2


PERCENT = FuncFormatter(lambda value, _: f"{value:g}\u202f%")


_COLOUR = re.compile(r"#[0-9a-f]{6}\b")
_NOT_XML = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]")  # a name may hold them, no file of XML

_PLACES = re.compile(r' (?:d|x|y)="[^"]*"')  # coordinates; scales, which multiply what they say, stay as they are
_LONG = re.compile(r"\d+\.\d{3,}")
_HASHED = re.compile(r'(?<=id=")\w*[0-9a-f]{10}(?=")|(?<=#)\w*[0-9a-f]{10}(?=[")])')  # by colour, too
_COLOUR = re.compile(r"(#[0-9a-fA-F]{6})")
_BEFORE = re.compile(r"^.*?(?=<svg)|<metadata>.*?</metadata>", re.DOTALL)

_STYLE: Any = {
    "text.parse_math": False,  # ids may hold a dollar sign
    "svg.hashsalt": "reseed",
    "svg.fonttype": "path",
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "axes.titlesize": 10,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.grid": True,
    "grid.linewidth": 0.7,
    "legend.frameon": False,
    "legend.fontsize": 9,
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "savefig.facecolor": "none",
}


_INKED = ("text.color", "axes.labelcolor", "axes.titlecolor", "xtick.color", "ytick.color")


@contextmanager
def figure(theme: Theme, height_in: float, **options: Any) -> Iterator[Figure]:
    """Yield a figure of the page's width in the common style; no global state of matplotlib is touched for good."""
    colours: Any = {**dict.fromkeys(_INKED, theme.ink), "axes.edgecolor": theme.rule, "grid.color": theme.faint}
    with mpl.rc_context({**_STYLE, **colours}):
        yield Figure(figsize=(WIDTH_IN, height_in), layout="constrained", **options)


def to_svg(drawn: Figure) -> str:
    """Return a figure as SVG text: the same figure gives the same bytes."""
    buffer = io.StringIO()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing", UserWarning)  # a name's character is a box then
        drawn.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    text = _NOT_XML.sub(lambda found: printable(found[0]), buffer.getvalue())
    text = _PLACES.sub(lambda found: _LONG.sub(_shortened, found[0]), text)
    names = {name: f"i{number}" for number, name in enumerate(dict.fromkeys(_HASHED.findall(text)))}
    return _HASHED.sub(lambda found: names[found[0]], text)


def _shortened(number: re.Match[str]) -> str:
    """Return a coordinate to a hundredth of a point, which nobody sees, for half of the bytes."""
    return f"{float(number[0]):.2f}".rstrip("0").rstrip(".")


@dataclass(frozen=True)
class Plot:
    """One figure of the page.

    Attributes:
        name: also its file name under plots/.
        svgs: by theme.
        folded: it is unfolded by a press.
        data: what it shows, as rows of a table; empty: a picture.
    """

    name: str
    title: str
    caption: str
    svgs: Mapping[str, str]
    folded: bool = False
    data: Sequence[Mapping[str, Any]] = ()

    @property
    def image(self) -> str | None:
        """The figure in all themes as one data URI; None where they differ in more than their colours."""
        svg = _of_both(self.svgs["light"], self.svgs["dark"])
        if svg is None:
            return None
        bare = " ".join(_BEFORE.sub("", svg).split())
        return "data:image/svg+xml," + quote(bare, safe=" /:;=,.()+-*!@{}$|")

    def source(self, theme: str) -> str:
        """Return the figure as a data URI: an image cannot clash with the page's ids and styles, nor load anything."""
        return "data:image/svg+xml;base64," + base64.b64encode(self.svgs[theme].encode()).decode()


def _of_both(light: str, dark: str) -> str | None:
    """Return one figure that follows the theme of its reader; None where the two differ in more than colours."""
    parts, others = _COLOUR.split(light), _COLOUR.split(dark)
    if parts[::2] != others[::2]:
        return None
    pairs = list(zip(parts[1::2], others[1::2], strict=True))
    names = {pair: f"--c{number}" for number, pair in enumerate(dict.fromkeys(pairs))}
    parts[1::2] = [f"var({names[pair]})" for pair in pairs]
    by_theme = ["".join(f"{name}:{pair[side]};" for pair, name in names.items()) for side in (0, 1)]
    style = f"<style>svg{{{by_theme[0]}}}@media (prefers-color-scheme:dark){{svg{{{by_theme[1]}}}}}</style>"
    before, opening, rest = "".join(parts).partition("<svg")
    return before + opening + rest.replace(">", f">{style}", 1)


def plotted(
    name: str,
    title: str,
    caption: str,
    draw: Callable[[Theme], str | None],
    *,
    folded: bool = False,
    data: Sequence[Mapping[str, Any]] = (),
) -> Plot | None:
    """Draw a figure in every theme; none where there is nothing to draw.

    It is drawn once, for that is most of the time that a page takes, and the dark one is the same in other colours.
    """
    light = draw(LIGHT)
    if light is None:
        return None
    dark = _COLOUR.sub(lambda found: IN_THE_DARK.get(found[0], found[0]), light)
    return Plot(name, title, caption, {LIGHT.name: light, DARK.name: dark}, folded, data)
