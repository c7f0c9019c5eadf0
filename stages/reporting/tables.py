"""Which tables the page has."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from reseed.stages.reporting.cells import (
    change_cell,
    eer_cells,
    figure_cell,
    mark_best,
    mean_cell,
    mean_cells,
    number_cell,
    pair_cells,
)
from reseed.stages.reporting.metrics.base import Interval, Metric
from reseed.stages.reporting.metrics.identification import SPEAKERS
from reseed.stages.reporting.results.collect import Results
from reseed.stages.reporting.results.distances import SpeakerDistances
from reseed.stages.reporting.results.measure import CALIBRATION, Measurement
from reseed.stages.reporting.results.retrieval import TITLES
from reseed.stages.reporting.results.styles import Style, Styles, calibrated_label, families
from reseed.stages.reporting.results.summary import mean_of, means_by_kind, shared_views
from reseed.stages.reporting.results.systems import PARTS, System
from reseed.stages.reporting.table import Cell, Column, Row, Table

EER_UNIT = "EER in %, lower is better"


def overview(results: Results) -> Table:
    """Return clean and mean noisy EER in %, a row per system and two columns per way of scoring."""
    by_style = {(results.styles[s.system], s.system.family): s for s in results.summaries}
    shown = list(dict.fromkeys(results.styles.values()))
    columns, cells = [], []
    for family in families(s.system for s in results.summaries):
        found = [by_style.get((style, family)) for style in shown]
        columns += [Column(part, family) for part in PARTS]
        cells.append(mean_cells([s.clean if s else None for s in found], shown))
        cells.append(mean_cells([s.noisy if s else None for s in found], shown))
    rows = [
        Row(style.label, style.label, [column[index] for column in cells], style=style)
        for index, style in enumerate(shown)
    ]
    return Table("overview", "Systems and ways of scoring", EER_UNIT, "system", columns, rows)


def summary_table(results: Results) -> Table:
    """Return one row per system: clean and mean noisy EER, and their relative changes against centred and raw."""
    has_centred = any(s.clean_from_centred or s.noisy_from_centred for s in results.summaries)
    against = [*(["centred"] if has_centred else []), "raw"]
    groups = ["EER, %", *(f"against {reference}, %" for reference in against)]
    rows = [
        Row(
            results.styles[summary.system].label,
            summary.system.name,
            [
                *(mean_cell(mean) for mean in (summary.clean, summary.noisy)),
                *(change_cell(change) for reference in against for change in summary.changes(reference)),
            ],
            "raw" if summary.system.is_raw else "",
            results.styles[summary.system],
        )
        for summary in results.summaries
    ]
    columns = [Column(part, group) for group in groups for part in ("clean", "mean noisy")]
    return Table("summary", "Summary", "relative changes with interval and p-value", "system", columns, rows)


def pair_table(results: Results) -> Table | None:
    """Return a row per pair and alignment: EER in % of each side by itself and across both, and gain ratios."""
    pairs = results.backbone_pairs
    if not pairs:
        return None
    parts = [part for part in PARTS if any(part in pair.parts for pair in pairs)]
    headings = ("enrolment side", "test side", "across", "gain ratio")
    columns = [Column(heading, part) for part in parts for heading in headings]
    rows = []
    for pair in pairs:
        cells = [cell for part in parts for cell in pair_cells(pair.parts.get(part))]
        title = f"{pair.pair} by {pair.alignment}"
        rows.append(Row(f"{title} · {pair.run}" if pair.run else title, "", cells))
    unit = (
        "EER in %, lower is better; gain ratio: the share of the gain from the weaker to the stronger side that is kept"
    )
    return Table("across", "Two backbones against each other", unit, "pair", columns, rows)


def eer_table(results: Results) -> Table:
    """Return EER in % by condition and system: clean first, then the mean of the noisy ones, then each of these."""
    shown = list(results.styles.values())
    rows: dict[str, list[Row]] = {part: [] for part in PARTS}
    for condition in results.conditions:
        found = {m.system: (m.eer, m.eer_ci95) for m in results.measurements if m.condition == condition}
        part = "clean" if condition.is_clean else "noisy"
        cells = eer_cells([found.get(system) for system in results.styles], shown)
        rows[part].append(Row(condition.label, condition.view, cells, part))
    means = {summary.system: summary.noisy for summary in results.summaries}
    count = next((mean.conditions for mean in means.values() if mean), 0)
    if count > 1:
        cells = mean_cells([means[system] for system in results.styles], shown)
        rows["clean"].append(Row(results.say(f"mean of {count} noisy"), "", cells, "mean"))
    title = "Equal error rate by condition"
    return Table("eer", title, EER_UNIT, "condition", _columns(shown), rows["clean"] + rows["noisy"])


def kind_table(results: Results) -> Table | None:
    """Return the mean EER in % by kind of noise and system; None where no kind has more than one condition."""
    kinds = means_by_kind(results.measurements, results.shared_views)
    counts = {kind: max(mean.conditions for mean in means.values()) for kind, means in kinds.items()}
    if max(counts.values(), default=0) < 2:
        return None
    shown = list(results.styles.values())
    rows = []
    for kind, means in kinds.items():
        of = f", mean of {counts[kind]}" if counts[kind] > 1 else ""
        rows.append(Row(f"{kind}{of}", kind, mean_cells([means.get(system) for system in results.styles], shown)))
    return Table("eer_by_kind", "EER by kind of condition", EER_UNIT, "kind", _columns(shown), rows)


def metric_tables(results: Results) -> list[Table]:
    """Return a table by condition and system of each metric of one way of scoring that has one."""
    shown = [metric for metric in results.metrics if metric.table and not metric.table.once]
    return [_metric_table(metric, results.measurements, results.styles, results.say) for metric in shown]


def identification_tables(results: Results) -> list[Table]:
    """Return the tables of identification, whatever the way of scoring; none where nobody is identified."""
    identified = [m for m in results.measurements if m[SPEAKERS] and m.system in results.styles]
    shown = [metric for metric in results.metrics if metric.table and metric.table.once and identified]
    styles = {m.system: results.styles[m.system] for m in identified}
    among = f" among {identified_among(identified)} speakers"
    return [_metric_table(metric, identified, styles, results.say, among) for metric in shown]


def rank_change_table(results: Results) -> Table | None:
    """Return whom each system makes recognised and whom it loses, against raw; None where nobody is identified."""
    found = {(each.system, each.part): each for each in results.rank_changes if each.system in results.styles}
    if not found:
        return None
    columns = [Column(what, part) for part in PARTS for what in ("lost", "won", "tests")]
    rows = []
    for system in dict.fromkeys(system for system, _ in found):
        parts = [found.get((system, part)) for part in PARTS]
        counts = [(each.lost, each.won, each.tests) if each else (None, None, None) for each in parts]
        cells = [number_cell(count, 0) for three in counts for count in three]
        rows.append(Row(results.styles[system].label, system.name, cells, style=results.styles[system]))
    unit = "test recordings whose own speaker came first by raw and no longer does (lost), and the reverse (won)"
    return Table("rank-changes", "Who is recognised, and who no longer", unit, "system", columns, rows)


def retrieval_tables(results: Results) -> list[Table]:
    """Return a table by condition and system of each measure of retrieval and classification; none where none was."""
    found = {key: each for key, each in results.retrieval.items() if key[0] in results.styles}
    styles = {system: results.styles[system] for system in dict.fromkeys(system for system, _ in found)}
    shown = {condition.view: condition for condition in results.conditions}
    tables = []
    for key, title in TITLES.items() if found else ():
        rows = []
        for view, condition in shown.items():
            each = [found.get((system, view)) for system in styles]
            cells = [number_cell(one.values[key] if one else None, 1, percent=True) for one in each]
            rows.append(Row(condition.label, view, mark_best(cells, highest=True)))
        tables.append(Table(key.replace("_", "-"), title, "in %", "condition", _columns(styles.values()), rows))
    return tables


def space_table(distances: Mapping[Style, SpeakerDistances]) -> Table:
    """Return how wide speakers scatter in the space of each system, and how strongly vectors gather around hubs."""
    columns = [Column(part, group) for group in ("scatter", "hubness") for part in PARTS]
    rows = []
    for style, found in distances.items():
        shapes = (found.clean_scatter, found.noisy_scatter, found.clean_hubness, found.noisy_hubness)
        rows.append(Row(style.label, style.label, [number_cell(shape, 2) for shape in shapes], style=style))
    unit = (
        "scatter: within speakers as a share of that between them, lower is better; hubness: skewness of how often a "
        "recording is among the ten nearest of another one, 0 where all are found alike"
    )
    return Table("space", "Shape of the space", unit, "system", columns, rows)


def identified_among(measurements: Sequence[Measurement]) -> str:
    """Return how many speakers there are to identify, "60" or "58 to 60"; empty where nobody is identified."""
    counts = sorted({count for m in measurements if (count := m[SPEAKERS])})
    return " to ".join(str(count) for count in dict.fromkeys([*counts[:1], *counts[-1:]]))


def calibration_table(results: Results) -> Table | None:
    """Return how well each calibrated system is calibrated, all conditions under one threshold; None without any."""
    pooled, styles = results.pooled, results.styles
    if not pooled:
        return None
    rows = []
    for family in families(p.system for p in pooled):
        for p in pooled:
            if p.system.family == family:
                style = styles.get(p.system.uncalibrated) or styles[p.system]
                cells = [figure_cell(p[metric], p.ci95(metric)) for metric in CALIBRATION]
                rows.append(Row(calibrated_label(p.system, styles), p.system.scoring, cells, style=style))
    unit = "Cllr in bits, DCF normalised; lower is better"
    columns = [Column(metric.title) for metric in CALIBRATION]
    return Table("calibration", "Calibrated scores, all conditions pooled", unit, "system", columns, rows)


def group_tables(results: Results) -> Iterator[Table]:
    """Yield a table per grouping: EER in % by group, clean and noisy, and system; groups of too few trials left out."""
    shown = list(results.styles.values())
    for grouping in dict.fromkeys(g.grouping for g in results.groups):
        of_grouping = [g for g in results.groups if g.grouping == grouping]
        rows = []
        for part in PARTS:
            for group in dict.fromkeys(g.group for g in of_grouping if g.part == part):
                found = {g.system: g.eer for g in of_grouping if (g.group, g.part) == (group, part)}
                eers = [None if (eer := found.get(system)) is None else (eer, None) for system in results.styles]
                if any(eers):
                    rows.append(Row(f"{group}, {results.say(part)}", "", eer_cells(eers, shown)))
        if rows:
            title = f"EER by {grouping}"
            yield Table(f"groups-{grouping}", title, "in %; lower is better", "trials", _columns(shown), rows)


def _columns(styles: Iterable[Style]) -> list[Column]:
    return [Column(style.label, style=style) for style in styles]


def _metric_table(
    metric: Metric[float],
    measurements: Sequence[Measurement],
    styles: Styles,
    say: Callable[[str], str],
    among: str = "",
) -> Table:
    """Return a metric by condition and system; `among` ends its unit."""
    assert metric.table, metric.key
    table = metric.table
    rows = []
    for condition in sorted({m.condition for m in measurements}, key=lambda c: c.reading_order):
        found = {m.system: (m[metric], m.ci95(metric)) for m in measurements if m.condition == condition}
        rows.append(Row(condition.label, condition.view, _metric_cells(found, metric, styles)))
    rows += _mean_row(metric, measurements, styles, say)
    name = table.name or metric.key.replace("_", "-")
    return Table(name, metric.title, f"{table.unit}{among}", "condition", _columns(styles.values()), rows)


def _metric_cells(
    found: Mapping[System, tuple[float | None, Interval | None]], metric: Metric[float], styles: Styles
) -> list[Cell]:
    assert metric.table, metric.key
    table = metric.table
    nothing = None, None
    cells = [figure_cell(*found.get(system, nothing), table.digits, percent=table.percent) for system in styles]
    return mark_best(cells, highest=table.best == "highest") if table.best else cells


def _mean_row(
    metric: Metric[float], measurements: Sequence[Measurement], styles: Styles, say: Callable[[str], str]
) -> list[Row]:
    """Return a row of means over the noisy conditions that every system has; none where there is one such condition."""
    views = shared_views(measurements)
    noisy = [m for m in measurements if not m.condition.is_clean and m.condition.view in views]
    of_system = {system: [m for m in noisy if m.system == system] for system in styles}
    count = max(map(len, of_system.values()), default=0)
    if count < 2:
        return []
    has_all = {system: all(m[metric] is not None for m in found) for system, found in of_system.items()}
    means = {system: mean_of(found, metric) for system, found in of_system.items() if found and has_all[system]}
    return [Row(say(f"mean of {count} noisy"), "", _metric_cells(means, metric, styles), "mean")]
