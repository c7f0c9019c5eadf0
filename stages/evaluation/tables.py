"""What an evaluation found, and the tables that show it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from reseed.stages.common.prose import signed_percent, signed_range
from reseed.stages.evaluation.differences import Difference
from reseed.stages.evaluation.figures import Figure
from reseed.stages.evaluation.group_measures import RATES
from reseed.stages.evaluation.groups import Grouping
from reseed.stages.evaluation.measures import ALL, MEAN, Evaluated, Measured
from reseed.stages.evaluation.plots import styles_of
from reseed.stages.evaluation.speakers import Speakers
from reseed.stages.evaluation.trials import Trials
from reseed.stages.reporting.cells import figure_cell, mark_best, number_cell
from reseed.stages.reporting.flip_tables import flip_tables
from reseed.stages.reporting.results.styles import Style
from reseed.stages.reporting.table import Cell, Column, Row, Table
from reseed.stages.scoring.comparison import LEVEL
from reseed.stages.scoring.detection_costs import DetectionCost

_RATES = dict(zip(RATES, ("EER, %", "false non-matches, %", "false matches, %"), strict=True))


@dataclass(frozen=True)
class Evaluation:
    """What the page is made of."""

    title: str
    trials: Trials
    speakers: Speakers
    costs: Sequence[DetectionCost]
    found: Evaluated
    is_equalised: bool
    groupings: Sequence[Grouping] = ()

    @property
    def best(self) -> Measured:
        """The system of the lowest EER."""
        return min(self.found.pooled, key=lambda measured: measured.eer.value)

    @property
    def level_with_best(self) -> list[Difference]:
        """The differences from the best that may be chance, after correction for how many were compared."""
        name = self.best.system
        return [d for d in self.eer_differences if name in (d.system, d.other) and d.p_holm >= LEVEL]

    @property
    def eer_differences(self) -> list[Difference]:
        """The differences of the EER."""
        return [each for each in self.found.differences if each.metric == "eer"]

    @property
    def styles(self) -> list[Style]:
        """How each system is drawn."""
        return list(styles_of([measured.system for measured in self.found.pooled]).values())


def tables(evaluation: Evaluation) -> list[Table]:
    """Return the tables of the page."""
    found = evaluation.found
    made = [_systems(evaluation)]
    if found.by_condition:
        made += _conditions(evaluation)
    if found.differences:
        made.append(_differences(found.differences))
    made += [_groups(evaluation, grouping) for grouping in evaluation.groupings]
    if found.gaps:
        made.append(_gaps(evaluation))
    return [*made, *flip_tables([found.flipped])]


def named(metric: str) -> str:
    """Return what a metric is called on pages: "min_dcf vox" is "minDCF vox"."""
    name, _, cost = metric.partition(" ")
    titles = {"eer": "EER", "min_dcf": "minDCF", "actual_dcf": "actual DCF", "cllr": "Cllr"}
    return f"{titles[name]} {cost}".rstrip()


def _systems(evaluation: Evaluation) -> Table:
    pooled = evaluation.found.pooled
    columns, cells = [], []
    for metric in dict.fromkeys(name for measured in pooled for name in measured.figures):
        name, cost = named(metric).rpartition(" ")[::2] if " " in metric else ("", named(metric))
        columns.append(Column("EER, %") if metric == "eer" else Column(cost, name))
        cells.append(_metric_cells(evaluation, metric))
    columns += [Column("min Cllr"), Column("EER nearest, %")]
    cells += [[number_cell(m.min_cllr) for m in pooled], [number_cell(m.eer_nearest, 2, percent=True) for m in pooled]]
    if not evaluation.level_with_best:
        cells = [mark_best(column) for column in cells]
    rows = [
        Row(measured.system, measured.system, [column[place] for column in cells], style=style)
        for place, (measured, style) in enumerate(zip(pooled, evaluation.styles, strict=True))
    ]
    pooling = ", every condition weighing alike" if evaluation.is_equalised else ""
    against = f"; marks: against {evaluation.best.system}" if evaluation.found.differences else ""
    return Table("systems", f"Systems on {ALL}", f"lower is better{pooling}{against}", "system", columns, rows)


def _metric_cells(evaluation: Evaluation, metric: str) -> list[Cell]:
    """Return a metric of every system, with the p-value of its difference from the system of the lowest EER."""
    best = evaluation.best.system
    p_values = {
        name: each.p_holm
        for each in evaluation.found.differences
        for name in (each.system, each.other)
        if each.metric == metric and best in (each.system, each.other) and name != best
    }
    cell = _percent_cell if metric == "eer" else _plain_cell
    found = [(measured.system, measured.figures.get(metric)) for measured in evaluation.found.pooled]
    return [replace(cell(figure), p_value=p_values.get(system)) for system, figure in found]


def _conditions(evaluation: Evaluation) -> Iterator[Table]:
    """Yield a table by condition of each metric; those of log-likelihood ratios say how calibration differs."""
    pooled, by_condition = evaluation.found.pooled, evaluation.found.by_condition
    found = {(m.condition, m.system): m for m in [*by_condition, *pooled]}
    names = [*dict.fromkeys(m.condition for m in by_condition), ALL]
    columns = [Column(style.label, style=style) for style in evaluation.styles]
    for metric in dict.fromkeys(name for measured in pooled for name in measured.figures):
        cell = _percent_cell if metric == "eer" else _plain_cell
        rows = []
        for name in names:
            each = [found.get((name, measured.system)) for measured in pooled]
            cells = [cell(m.figures.get(metric) if m else None) for m in each]
            rows.append(Row(name, name, cells, "mean" if name in (ALL, MEAN) else ""))
        unit = "in %, lower is better" if metric == "eer" else "lower is better"
        slug = "conditions" if metric == "eer" else f"conditions-{metric.replace(' ', '-')}"
        yield Table(slug, f"{named(metric)} by condition", unit, "condition", columns, rows)


def _differences(differences: Sequence[Difference]) -> Table:
    columns = [Column("change, %"), Column("p"), Column("p, corrected"), Column("would show, %")]
    rows = [
        Row(
            f"{named(each.metric)}: {each.system} against {each.other}",
            "",
            [
                Cell(
                    signed_percent(each.relative),
                    signed_range(each.ci95),
                    value=100 * each.relative,
                    interval=each.ci95,
                ),
                number_cell(each.p_value),
                number_cell(each.p_holm),
                number_cell(each.detectable, 0, percent=True),
            ],
        )
        for each in differences
    ]
    return Table("differences", "Differences", f"on {ALL}, paired by speaker", "systems", columns, rows)


def _percent_cell(found: Figure | None) -> Cell:
    return figure_cell(found.value, found.ci95, 2, percent=True) if found else Cell()


def _plain_cell(found: Figure | None) -> Cell:
    return figure_cell(found.value, found.ci95) if found else Cell()


def _groups(evaluation: Evaluation, grouping: Grouping) -> Table:
    measured = {
        (each.group.name, each.system): each for each in evaluation.found.groups if each.grouping == grouping.name
    }
    systems = [each.system for each in evaluation.found.pooled]
    columns = [Column(style.label, title, style) for title in _RATES.values() for style in evaluation.styles]
    rows = []
    for group in grouping.groups:
        found = [measured[group.name, system] for system in systems]
        cells = [_percent_cell(each.rates[rate]) for rate in RATES for each in found]
        counts = f"{found[0].targets:,} + {found[0].nontargets:,}"
        rows.append(Row(f"{group.name} ({counts})", group.name, cells, "" if group.is_part else "mean"))
    unit = "lower is better; targets + non-targets in brackets"
    return Table(f"groups-{grouping.name}", f"By {grouping.name}", unit, "trials", columns, rows)


def _gaps(evaluation: Evaluation) -> Table:
    found = {(gap.grouping, gap.rate, gap.system): gap for gap in evaluation.found.gaps}
    rows = []
    for grouping, rate in dict.fromkeys((gap.grouping, gap.rate) for gap in evaluation.found.gaps):
        cells = []
        for measured in evaluation.found.pooled:
            gap = found[grouping, rate, measured.system]
            cell = _percent_cell(Figure(gap.difference, gap.ci95))
            cells.append(replace(cell, tooltip=f"{gap.worst} less {gap.best}"))
        rows.append(Row(f"{grouping}: {_RATES[rate].removesuffix(', %')}", "", cells))
    columns = [Column(style.label, style=style) for style in evaluation.styles]
    return Table("gaps", "Gaps between groups", "worst less best, in points of %", "rate", columns, rows)
