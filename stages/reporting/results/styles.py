"""How each system is named and drawn, alike in every table and figure."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from reseed.stages.common.theme import LIGHT, Theme
from reseed.stages.reporting.results.systems import System

_MARKERS = ("s", "^", "D", "v", "p", "<")
_LINES = ("-", "-.", ":")

Labels = Mapping[System, str]


@dataclass(frozen=True)
class Style:
    """How one system is named and drawn: marker and line as matplotlib calls them.

    Attributes:
        hue: which of a theme's colours of systems, 0 being that of raw.
    """

    label: str
    hue: int
    marker: str
    line: str

    def colour(self, theme: Theme) -> str:
        """Return its colour."""
        return theme.systems[self.hue]


Styles = Mapping[System, Style]


def system_labels(systems: Sequence[System]) -> dict[System, str]:
    """Name systems, whatever their scoring: by name, with backbone or run only where the name is not enough.

    A calibrated system says so where it stands beside its uncalibrated self.
    """
    names, spaces = {s.backbone for s in systems}, {s.backbone_space for s in systems}
    runs_clash = _clash(systems)
    spaces_clash = len({(s.name, s.backbone_space) for s in systems}) > len({s.name for s in systems})

    def parts(system: System) -> Iterator[str]:
        yield system.name
        if spaces_clash:
            yield system.backbone if len(names) == len(spaces) else system.backbone_space
        if runs_clash:
            yield system.run
        if system.is_calibrated and system.uncalibrated in systems:
            yield "calibrated"

    return {system: " · ".join(parts(system)) for system in systems}


def scored_labels(labels: Labels) -> dict[System, str]:
    """Name systems together with how they are scored, where that differs."""
    if len(families(labels)) == 1:
        return dict(labels)
    return {system: f"{label} · {system.family}" for system, label in labels.items()}


def families(systems: Iterable[System]) -> list[str]:
    """Return the ways of scoring, in order of appearance."""
    return list(dict.fromkeys(system.family for system in systems))


def system_styles(labels: Labels) -> dict[System, Style]:
    """Give each system a style: raw is grey and dashed, the others take the palette in order.

    Systems of one label, scored in several ways, are drawn alike. Where the palette is used up it starts anew with
    other markers and lines.
    """
    by_label: dict[str, Style] = {}
    used = 0
    for system, label in labels.items():
        if label in by_label:
            continue
        if system.is_raw and 0 not in {style.hue for style in by_label.values()}:
            by_label[label] = Style(label, 0, "o", "--")
            continue
        cycle, place = divmod(used, len(LIGHT.systems) - 1)
        marker = _MARKERS[(place + cycle) % len(_MARKERS)]
        by_label[label] = Style(label, 1 + place, marker, _LINES[cycle % len(_LINES)])
        used += 1
    return {system: by_label[label] for system, label in labels.items()}


def calibrated_label(system: System, styles: Styles) -> str:
    """Name a calibrated system by its label before calibration and by its scoring."""
    style = styles.get(system.uncalibrated) or styles[system]
    return f"{style.label} · {system.family}"


def _clash(systems: Sequence[System]) -> bool:
    """Whether two runs have a system of one name, backbone and scoring."""
    named = {(s.run, s.name, s.backbone_space, s.scoring) for s in systems}
    return len({key[1:] for key in named}) < len(named)
