"""What the page holds, computed: findings, and the tables and figures made of them, section by section."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from reseed.stages.common.figures import Plot
from reseed.stages.common.prose import counted, listed
from reseed.stages.reporting.plots.page_figures import family_plots
from reseed.stages.reporting.plots.style import Looks
from reseed.stages.reporting.results.backbone_pairs import PairComparison
from reseed.stages.reporting.results.by_group import FEWEST, GroupEer
from reseed.stages.reporting.results.groups import Grouping
from reseed.stages.reporting.results.labels import families
from reseed.stages.reporting.results.load import ScoredSystem, System
from reseed.stages.reporting.results.measure import Measured, Measurement
from reseed.stages.reporting.results.summary import Summary, means_by_kind, shared_views
from reseed.stages.reporting.table import Table
from reseed.stages.reporting.tables import (
    calibration_table,
    eer_table,
    group_tables,
    identification_tables,
    kind_table,
    metric_tables,
    overview,
    pair_table,
    summary_table,
)


@dataclass(frozen=True)
class Findings:
    """All that was computed.

    Attributes:
        systems, measurements: of every system.
        summaries, looks: of those whose EER is shown: not of calibrated ones that order trials as uncalibrated.
        groups: EER by group of trials, of the same.
        backbone_pairs: pairs of backbones scored against each other.
        pooled: of the calibrated ones.
    """

    systems: Sequence[ScoredSystem]
    measurements: Sequence[Measurement]
    summaries: Sequence[Summary]
    looks: Looks
    groupings: Sequence[Grouping]
    groups: Sequence[GroupEer]
    backbone_pairs: Sequence[PairComparison]
    pooled: Sequence[Measured]
    speakers: int
    replicates: int

    def shown(self, system: System) -> bool:
        """Whether a system is in the tables of EER."""
        return system in self.looks


@dataclass(frozen=True)
class Section:
    """What the page shows of one way of scoring; `slug` is its name as ids and files have it."""

    family: str
    slug: str
    summary: Table
    pairs: Table | None
    eer: Table
    kinds: Table | None
    plots: list[Plot]
    metrics: list[Table]
    groups: list[Table]
    groups_note: str


@dataclass(frozen=True)
class Contents:
    """All tables and figures of the page."""

    overview: Table | None
    calibration: Table | None
    sections: list[Section]
    identification: list[Table]
    pictures: list[Plot]

    @property
    def tables(self) -> list[Table]:
        per_section = (
            [section.summary, section.pairs, section.eer, section.kinds, *section.metrics, *section.groups]
            for section in self.sections
        )
        made = [self.overview, self.calibration, *(table for tables in per_section for table in tables)]
        return [*(table for table in made if table), *self.identification]

    @property
    def plots(self) -> list[Plot]:
        drawn = [plot for section in self.sections for plot in section.plots]
        return [*drawn, *self.pictures]


def contents(findings: Findings, pictures: list[Plot]) -> Contents:
    """Make every table and figure.

    Args:
        pictures: figures that are of no way of scoring.
    """
    scorings = families(findings.looks)
    return Contents(
        overview(findings.summaries, findings.looks) if len(scorings) > 1 else None,
        calibration_table(findings.pooled, findings.looks),
        [_section(family, findings) for family in scorings],
        identification_tables([m for m in findings.measurements if findings.shown(m.system)], findings.looks),
        pictures,
    )


def _section(family: str, findings: Findings) -> Section:
    def own(system: System) -> bool:
        return findings.shown(system) and system.family == family

    measurements = [m for m in findings.measurements if own(m.system)]
    summaries = [s for s in findings.summaries if own(s.system)]
    groups = [g for g in findings.groups if own(g.system)]
    systems = [s for s in findings.systems if own(s.system)]
    slug = re.sub(r"[^\w.-]", "_", family)
    return Section(
        family,
        slug,
        summary_table(slug, summaries, findings.looks),
        pair_table(slug, [pair for pair in findings.backbone_pairs if pair.family == family]),
        eer_table(slug, measurements, summaries, findings.looks),
        kind_table(slug, means_by_kind(measurements, shared_views(findings.measurements)), findings.looks),
        family_plots(slug, systems, measurements, summaries, findings.looks),
        metric_tables(slug, measurements, findings.looks),
        list(group_tables(slug, groups, findings.looks)),
        _groups_note(groups, findings.groupings),
    )


def _groups_note(groups: Sequence[GroupEer], groupings: Sequence[Grouping]) -> str:
    """Say what is not broken down, and why."""
    there = {grouping.name for grouping in groupings}
    absent = [name for name in ("gender", "age", "duration") if name not in there]
    said = list(_left_out(groups))
    if absent:
        said.append(f"Not by {listed(absent)}: the manifest does not tell recordings apart by that.")
    return " ".join(said)


def _left_out(groups: Sequence[GroupEer]) -> Iterator[str]:
    missing: dict[str, GroupEer] = {}
    for group in groups:
        if group.eer is None:
            missing.setdefault(group.group, group)
    if missing:
        counts = [
            f"{name} ({counted(g.targets, 'target')}, {g.nontargets:,} non-targets)" for name, g in missing.items()
        ]
        yield f"Left out, with fewer than {FEWEST} targets or non-targets in a condition: {listed(counts)}."
