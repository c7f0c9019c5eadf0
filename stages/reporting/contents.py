"""What the page shows: the tables and figures made of the results, section by section."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import TypeVar

from reseed.stages.common.figures import Plot
from reseed.stages.common.prose import counted, listed
from reseed.stages.reporting.flip_tables import flip_tables
from reseed.stages.reporting.plots.table import PLOTS
from reseed.stages.reporting.results.collect import Results
from reseed.stages.reporting.results.distances import SpeakerDistances
from reseed.stages.reporting.results.group_eers import FEWEST, GroupEer
from reseed.stages.reporting.results.styles import Style, families
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
    rank_change_table,
    retrieval_tables,
    space_table,
    summary_table,
)

Item = TypeVar("Item", Table, Plot)


@dataclass(frozen=True)
class ScoringSection:
    """What the page shows of one way of scoring.

    Attributes:
        slug: its name as ids and files have it.
        changed: which decisions changed, and what got worse.
        is_heard: there are commands by which that is heard.
    """

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
    changed: list[Table]
    is_heard: bool


@dataclass(frozen=True)
class Contents:
    """All tables and figures of the page; `plots` of a section are of its scoring, `embedding_plots` of none."""

    overview: Table | None
    calibration: Table | None
    sections: list[ScoringSection]
    identification: list[Table]
    retrieval: list[Table]
    space: Table | None
    embedding_plots: list[Plot]

    @property
    def tables(self) -> list[Table]:
        found = [self.overview, self.calibration]
        for section in self.sections:
            found += [section.summary, section.pairs, section.eer, section.kinds, *section.metrics, *section.groups]
            found += section.changed
        return [
            *(table for table in found if table),
            *self.identification,
            *self.retrieval,
            *filter(None, [self.space]),
        ]

    @property
    def plots(self) -> list[Plot]:
        return [*(plot for section in self.sections for plot in section.plots), *self.embedding_plots]


def contents(
    results: Results, embedding_plots: list[Plot], distances: Mapping[Style, SpeakerDistances] | None = None
) -> Contents:
    """Make every table and figure."""
    scorings = families(results.styles)
    worded = partial(_worded, results)
    return Contents(
        worded(overview(results)) if len(scorings) > 1 else None,
        _worded(results, found) if (found := calibration_table(results)) else None,
        [_section(results.of_family(family), family) for family in scorings],
        [worded(table) for table in (*identification_tables(results), rank_change_table(results)) if table],
        list(map(worded, retrieval_tables(results))),
        worded(space_table(distances)) if distances else None,
        embedding_plots,
    )


def _worded(results: Results, table: Table) -> Table:
    """Return a table whose headings are in the terms of the run; names of systems and conditions stay."""
    say = results.say
    columns = [
        column if column.style else replace(column, heading=say(column.heading), group=say(column.group))
        for column in table.columns
    ]
    heading = say(table.row_heading)
    return replace(table, title=say(table.title), unit=say(table.unit), row_heading=heading, columns=columns)


def _section(results: Results, family: str) -> ScoringSection:
    slug = re.sub(r"[^\w.-]", "_", family)

    def named(item: Item) -> Item:
        return replace(item, name=f"{item.name}-{slug}")

    def of_section(table: Table) -> Table:
        return named(_worded(results, table))

    pairs, kinds = pair_table(results), kind_table(results)
    labels = {condition.view: condition.label for condition in results.conditions}
    return ScoringSection(
        family,
        slug,
        summary=of_section(summary_table(results)),
        pairs=of_section(pairs) if pairs else None,
        eer=of_section(eer_table(results)),
        kinds=of_section(kinds) if kinds else None,
        plots=[named(plot) for make in PLOTS if (plot := make(results))],
        metrics=[of_section(table) for table in metric_tables(results)],
        groups=[of_section(table) for table in group_tables(results)],
        groups_note=_groups_note(results),
        changed=[of_section(table) for table in flip_tables(results.flips.values(), labels)],
        is_heard=any(trial.to_hear for found in results.flips.values() for trial in found.worse),
    )


def _groups_note(results: Results) -> str:
    """Say what is not broken down by group, and why."""
    grouped_by = {grouping.name for grouping in results.groupings}
    told_apart = ("gender", "age", "duration") if results.wording.is_speech else ()
    absent = [name for name in told_apart if name not in grouped_by]
    missing: dict[str, GroupEer] = {}
    for group in results.groups:
        if group.eer is None:
            missing.setdefault(group.group, group)
    counts = [f"{name} ({counted(g.targets, 'target')}, {g.nontargets:,} non-targets)" for name, g in missing.items()]
    sentences = []
    if counts:
        sentences.append(f"Left out, with fewer than {FEWEST} targets or non-targets in a condition: {listed(counts)}.")
    if absent:
        sentences.append(f"No breakdown by {listed(absent)}: the manifest does not tell recordings apart by that.")
    return " ".join(sentences)
