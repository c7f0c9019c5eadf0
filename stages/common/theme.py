"""The colours of the page's figures, once for a light page and once for a dark one."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Theme:
    """The colours of one rendering of every figure.

    Attributes:
        card: what the figure lies on.
        ink, rule, faint: text; axes; grid and shaded bands.
        systems: raw first, then the others in order.
        speakers: other colours than those of the systems, so that a speaker is not taken for a system.
        classes: targets and non-targets.
    """

    name: str
    card: str
    ink: str
    rule: str
    faint: str
    systems: tuple[str, ...]
    speakers: tuple[str, ...]
    classes: tuple[str, str]


# Systems: Okabe and Ito's palette, told apart by colour-blind readers, without its yellow, too faint on a light card.
# Speakers: after Tol's muted scheme. The dark theme has the same hues, lighter.
LIGHT = Theme(
    name="light",
    card="#ffffff",
    ink="#2b2f36",
    rule="#9aa0a8",
    faint="#d9dbdf",
    systems=("#6b737e", "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9"),
    speakers=("#332288", "#117733", "#882255", "#999933", "#44aa99", "#aa4499", "#7a5230", "#111111", "#88ccee"),
    classes=("#44aa99", "#882255"),
)
DARK = Theme(
    name="dark",
    card="#1d2127",
    ink="#dde1e7",
    rule="#6b737e",
    faint="#3b424d",
    systems=("#a5adb8", "#4ca3f0", "#ff8a45", "#2cc79b", "#e894c4", "#f5bd48", "#9bdcff"),
    speakers=("#a99bff", "#5fc77f", "#e0719f", "#cfcf5a", "#66d3c2", "#df8fe0", "#c79a78", "#f2f2f2", "#b4e3f7"),
    classes=("#66d3c2", "#e0719f"),
)
THEMES = (LIGHT, DARK)
IN_THE_DARK = {  # each colour of a light figure
    **{getattr(LIGHT, role): getattr(DARK, role) for role in ("card", "ink", "rule", "faint")},
    **dict(zip(LIGHT.systems, DARK.systems, strict=True)),
    **dict(zip(LIGHT.speakers, DARK.speakers, strict=True)),
    **dict(zip(LIGHT.classes, DARK.classes, strict=True)),
}


def spectrogram_file(theme: str) -> str:
    """Return the name of the picture, in a theme's colours, that training a front end leaves in its folder."""
    return f"spectrograms.{theme}.svg"
