"""What systems are called: as briefly as tells them apart."""

from collections.abc import Iterable, Iterator, Mapping, Sequence

from reseed.stages.reporting.results.load import System

Labels = Mapping[System, str]


def system_labels(systems: Sequence[System]) -> dict[System, str]:
    """Name systems apart from how they are scored: the name, with backbone or run only where the name is not enough.

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


def _clash(systems: Sequence[System]) -> bool:
    """Whether two runs have a system of one name, backbone and scoring."""
    named = {(s.run, s.name, s.backbone_space, s.scoring) for s in systems}
    return len({key[1:] for key in named}) < len(named)
