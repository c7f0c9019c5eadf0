"""Which tables the page has, and what stands in their cells."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from reseed.stages.common.prose import bare_range, p_text, percent, signed_percent, signed_range
from reseed.stages.reporting.metrics.base import Interval, Metric
from reseed.stages.reporting.metrics.identification import SPEAKERS
from reseed.stages.reporting.metrics.table import METRICS
from reseed.stages.reporting.plots.style import Look, Looks
from reseed.stages.reporting.results.backbone_pairs import PARTS, PairComparison, PairEers
from reseed.stages.reporting.results.by_group import GroupEer
from reseed.stages.reporting.results.labels import families
from reseed.stages.reporting.results.load import System
from reseed.stages.reporting.results.measure import CALIBRATION, Measured, Measurement
from reseed.stages.reporting.results.summary import Change, Mean, Summary
from reseed.stages.reporting.table import Cell, Column, Row, Table, leader

EER_UNIT = "EER in %, lower is better"


def overview(summaries: Sequence[Summary], looks: Looks) -> Table:
    """Return clean and mean noisy EER in %, a row per system and two columns per way of scoring."""
    by_place = {(looks[s.system], s.system.family): s for s in summaries}
    shown = list(dict.fromkeys(looks[s.system] for s in summaries))
    columns, cells = [], []
    for family in families(s.system for s in summaries):
        there = [by_place.get((look, family)) for look in shown]
        for part, means in (("clean", [s and s.clean for s in there]), ("noisy", [s and s.noisy for s in there])):
            columns.append(Column(part, family))
            cells.append(_eer_cells([(mean.eer, mean.ci95) if mean else None for mean in means], shown))
    rows = [
        Row(look.label, look.label, [column[place] for column in cells], look=look) for place, look in enumerate(shown)
    ]
    return Table("overview", "Systems and ways of scoring", EER_UNIT, "system", columns, rows)


def summary_table(slug: str, summaries: Sequence[Summary], looks: Looks) -> Table:
    """Return one row per system: clean and mean noisy EER, and their relative changes against raw."""
    columns = [
        Column("EER clean, %"),
        Column("EER noisy, mean, %"),
        Column("clean against raw, %"),
        Column("noisy against raw, %"),
    ]
    rows = [
        Row(
            looks[summary.system].label,
            summary.system.name,
            [
                *(_mean_cell(mean) for mean in (summary.clean, summary.noisy)),
                *(_change_cell(change) for change in (summary.clean_change, summary.noisy_change)),
            ],
            "raw" if summary.system.is_raw else "",
            looks[summary.system],
        )
        for summary in summaries
    ]
    return Table(f"summary-{slug}", "In short", "relative changes with interval and p-value", "system", columns, rows)


def pair_table(slug: str, pairs: Sequence[PairComparison]) -> Table | None:
    """Return a row per pair and alignment: EER in % of each side by itself and across both, and gain ratios."""
    if not pairs:
        return None
    parts = [part for part in PARTS if any(part in pair.parts for pair in pairs)]
    headings = ("enrolment side", "test side", "across", "gain ratio")
    columns = [Column(heading, part) for part in parts for heading in headings]
    rows = []
    for pair in pairs:
        cells: list[Cell] = []
        for part in parts:
            eers = pair.parts.get(part)
            cells += _pair_cells(eers) if eers else [Cell()] * len(headings)
        title = f"{pair.pair} by {pair.alignment}"
        rows.append(Row(f"{title} · {pair.run}" if pair.run else title, "", cells))
    unit = (
        "EER in %, lower is better; gain ratio: the share of the gain from the weaker to the stronger side that is kept"
    )
    return Table(f"across-{slug}", "Two backbones against each other", unit, "pair", columns, rows)


def _pair_cells(eers: PairEers) -> list[Cell]:
    sides = [Cell(f"{100 * eer:.2f}", value=100 * eer) for eer in (eers.enrolment, eers.test)]
    deviation = "" if eers.deviation is None else f"± {100 * eers.deviation:.2f}, {len(eers.across)} seeds"
    return [*sides, Cell(f"{100 * eers.mean:.2f}", deviation, value=100 * eers.mean), _number(eers.gain_ratio, 2)]


def eer_table(slug: str, measurements: Sequence[Measurement], summaries: Sequence[Summary], looks: Looks) -> Table:
    """Return EER in % by condition and system: clean first, then the mean of the noisy ones, then each of these."""
    systems = [summary.system for summary in summaries]
    shown = [looks[system] for system in systems]
    rows: dict[str, list[Row]] = {"clean": [], "noisy": []}
    for condition in sorted({m.condition for m in measurements}, key=lambda c: c.reading_order):
        found = {m.system: m for m in measurements if m.condition == condition}
        values = [(found[s].eer, found[s].eer_ci95) if s in found else None for s in systems]
        kind = "clean" if condition.is_clean else "noisy"
        rows[kind].append(Row(condition.label, condition.view, _eer_cells(values, shown), kind))
    means = [summary.noisy for summary in summaries]
    count = next((mean.conditions for mean in means if mean), 0)
    if count > 1:
        values = [(mean.eer, mean.ci95) if mean else None for mean in means]
        rows["clean"].append(Row(f"mean of {count} noisy", "", _eer_cells(values, shown), "mean"))
    title = "Equal error rate by condition"
    return Table(f"eer-{slug}", title, EER_UNIT, "condition", _of_systems(shown), rows["clean"] + rows["noisy"])


def kind_table(slug: str, kinds: Mapping[str, Mapping[System, Mean]], looks: Looks) -> Table | None:
    """Return the mean EER in % by kind of noise and system; None where no kind has more than one condition."""
    counts = {kind: max(mean.conditions for mean in means.values()) for kind, means in kinds.items()}
    if max(counts.values(), default=0) < 2:
        return None
    systems = list(dict.fromkeys(system for means in kinds.values() for system in means))
    shown = [looks[system] for system in systems]
    rows = []
    for kind, means in kinds.items():
        values = [(means[s].eer, means[s].ci95) if s in means else None for s in systems]
        of = f", mean of {counts[kind]}" if counts[kind] > 1 else ""
        rows.append(Row(f"{kind}{of}", kind, _eer_cells(values, shown)))
    return Table(f"eer_by_kind-{slug}", "EER by kind of noise", EER_UNIT, "kind", _of_systems(shown), rows)


def metric_tables(slug: str, measurements: Sequence[Measurement], looks: Looks) -> list[Table]:
    """Return a table by condition and system of each metric of one way of scoring that has one."""
    shown = [metric for metric in METRICS if metric.table and not metric.table.once]
    return [_metric_table(f"-{slug}", metric, measurements, looks) for metric in shown]


def identification_tables(measurements: Sequence[Measurement], looks: Looks) -> list[Table]:
    """Return the tables of identification, whatever the way of scoring; none where nobody is identified."""
    identified = [m for m in measurements if m[SPEAKERS]]
    shown = [metric for metric in METRICS if metric.table and metric.table.once and identified]
    among = f" among {identified_among(identified)} speakers"
    return [_metric_table("", metric, identified, looks, among) for metric in shown]


def identified_among(measurements: Sequence[Measurement]) -> str:
    """Return how many speakers there are to identify, "60" or "58 to 60"; empty where nobody is identified."""
    counts = sorted({count for m in measurements if (count := m[SPEAKERS])})
    return " to ".join(str(count) for count in dict.fromkeys([*counts[:1], *counts[-1:]]))


def calibration_table(pooled: Sequence[Measured], looks: Looks) -> Table | None:
    """Return how well each calibrated system is calibrated, all conditions under one threshold; None without any."""
    if not pooled:
        return None
    rows = []
    for family in families(p.system for p in pooled):
        for p in pooled:
            if p.system.family == family:
                look = looks.get(p.system.uncalibrated) or looks[p.system]
                cells = [_number(p[metric]) for metric in CALIBRATION]
                rows.append(Row(calibrated_label(p.system, looks), p.system.scoring, cells, look=look))
    unit = "Cllr in bits, DCF normalised; lower is better"
    columns = [Column(metric.title) for metric in CALIBRATION]
    return Table("calibration", "Calibrated scores, all conditions pooled", unit, "system", columns, rows)


def calibrated_label(system: System, looks: Looks) -> str:
    """Name a calibrated system by its label before calibration and by its scoring."""
    look = looks.get(system.uncalibrated) or looks[system]
    return f"{look.label} · {system.family}"


def group_tables(slug: str, groups: Sequence[GroupEer], looks: Looks) -> Iterator[Table]:
    """Yield a table per grouping: EER in % by group, clean and noisy, and system; groups of too few trials left out."""
    systems = list(dict.fromkeys(g.system for g in groups))
    shown = [looks[system] for system in systems]
    for grouping in dict.fromkeys(g.grouping for g in groups):
        rows = []
        places = dict.fromkeys((g.group, g.part) for g in groups if g.grouping == grouping)
        for group, part in sorted(places, key=lambda place: PARTS.index(place[1])):
            found = {g.system: g for g in groups if (g.grouping, g.group, g.part) == (grouping, group, part)}
            values = [found[s].eer if s in found else None for s in systems]
            if any(value is not None for value in values):
                cells = _eer_cells([None if value is None else (value, None) for value in values], shown)
                rows.append(Row(f"{group}, {part}", "", cells))
        if rows:
            title = f"EER by {grouping}"
            yield Table(f"groups-{grouping}-{slug}", title, "in %; lower is better", "trials", _of_systems(shown), rows)


def _of_systems(looks: Sequence[Look]) -> list[Column]:
    return [Column(look.label, look=look) for look in looks]


def _metric_table(
    ending: str, metric: Metric[float], measurements: Sequence[Measurement], looks: Looks, among: str = ""
) -> Table:
    """Return a metric by condition and system; `ending` ends the name of the table, `among` its unit."""
    assert metric.table, metric.key
    table, systems = metric.table, list(dict.fromkeys(m.system for m in measurements))
    rows = []
    for condition in sorted({m.condition for m in measurements}, key=lambda c: c.reading_order):
        found = {m.system: m[metric] for m in measurements if m.condition == condition}
        cells = [_number(found.get(system), table.digits, percent=table.percent) for system in systems]
        cells = _marked(cells, highest=table.best == "highest") if table.best else cells
        rows.append(Row(condition.label, condition.view, cells))
    name = f"{table.name or metric.key.replace('_', '-')}{ending}"
    columns = _of_systems([looks[system] for system in systems])
    return Table(name, metric.title, f"{table.unit}{among}", "condition", columns, rows)


def _number(value: float | None, digits: int = 3, *, percent: bool = False) -> Cell:
    if value is None:
        return Cell()
    shown = 100 * value if percent else value
    return Cell(f"{shown:.{digits}f}", value=shown)


def _marked(cells: Sequence[Cell], *, highest: bool = False) -> list[Cell]:
    """Mark the best cell of a row."""
    best = leader([cell.text if cell.value is not None else None for cell in cells], highest=highest)
    return [replace(cell, is_best=cell.value is not None and cell.text == best) for cell in cells]


def _eer_cells(values: Sequence[tuple[float, Interval | None] | None], shown: Sequence[Look]) -> list[Cell]:
    return _marked(
        [Cell() if value is None else _eer_cell(*value, look) for value, look in zip(values, shown, strict=True)]
    )


def _eer_cell(eer: float, interval: Interval | None, look: Look) -> Cell:
    range_text = f", 95\u202f% interval {bare_range(interval, 2)}\u202f%" if interval else ""
    title = f"{look.label}: EER {percent(eer, 2)}{range_text}"
    return Cell(f"{100 * eer:.2f}", _short(interval), title, False, 100 * eer, _times_100(interval))


def _short(interval: Interval | None) -> str:
    return f"{100 * interval[0]:.1f}–{100 * interval[1]:.1f}" if interval else ""


def _times_100(interval: Interval | None) -> Interval | None:
    return (100 * interval[0], 100 * interval[1]) if interval else None


def _mean_cell(mean: Mean | None) -> Cell:
    if mean is None:
        return Cell()
    return Cell(f"{100 * mean.eer:.2f}", _short(mean.ci95), value=100 * mean.eer, interval=_times_100(mean.ci95))


def _change_cell(change: Change | None) -> Cell:
    if change is None:
        return Cell()
    small = [signed_range(change.ci95)] if change.ci95 else []
    small += [p_text(change.p_value)] if change.p_value is not None else []
    text = signed_percent(change.relative)
    return Cell(text, "; ".join(small), value=100 * change.relative, interval=_times_100(change.ci95))
