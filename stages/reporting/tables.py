"""Tables of the page: what each cell shows, decided apart from how it is drawn."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from stages.reporting.load import System
from stages.reporting.measure import Interval, Measurement
from stages.reporting.summary import Change, Mean, Summary
from stages.reporting.words import Labels, percent, percent_range, signed_percent, signed_range

_ABSENT = "–"


@dataclass(frozen=True)
class Cell:
    """A number, the small print under it, what hovering says, and whether it is the best of its row."""

    text: str
    small: str = ""
    title: str = ""
    is_best: bool = False


@dataclass(frozen=True)
class Row:
    """One row: its heading, a key (the view's name), cells in the order of the systems, and its kind for styling."""

    heading: str
    key: str
    cells: list[Cell]
    kind: str = ""


@dataclass(frozen=True)
class MetricTable:
    """One small table: a metric by condition and system."""

    title: str
    unit: str
    rows: list[Row]


def eer_table(measurements: Sequence[Measurement], summaries: Sequence[Summary], labels: Labels) -> list[Row]:
    """Return EER in % by condition and system: clean first, then the mean of the noisy ones, then each of these."""
    systems = [summary.system for summary in summaries]
    rows: dict[str, list[Row]] = {"clean": [], "noisy": []}
    for condition in sorted({m.condition for m in measurements}, key=lambda c: c.reading_order):
        found = {m.system: m for m in measurements if m.condition == condition}
        values = [(found[s].eer, found[s].eer_ci95) if s in found else None for s in systems]
        kind = "clean" if condition.is_clean else "noisy"
        rows[kind].append(Row(condition.label, condition.view, _eer_cells(values, systems, labels), kind))
    means = [summary.noisy for summary in summaries]
    count = next((mean.conditions for mean in means if mean), 0)
    if count > 1:
        values = [(mean.eer, mean.ci95) if mean else None for mean in means]
        rows["clean"].append(Row(f"mean of {count} noisy", "", _eer_cells(values, systems, labels), "mean"))
    return rows["clean"] + rows["noisy"]


def summary_table(summaries: Sequence[Summary], labels: Labels) -> list[Row]:
    """Return one row per system: clean and mean noisy EER, and their relative changes against raw."""
    return [
        Row(
            labels[summary.system],
            summary.system.name,
            [
                *(_mean_cell(mean) for mean in (summary.clean, summary.noisy)),
                *(_change_cell(change) for change in (summary.clean_change, summary.noisy_change)),
            ],
            "raw" if summary.system.is_raw else "",
        )
        for summary in summaries
    ]


def metric_tables(measurements: Sequence[Measurement], labels: Labels) -> list[MetricTable]:
    """Return minDCF, min Cllr, Cllr and identification accuracy, each by condition and system."""
    made = [
        _metric_table("minDCF", "normalised; lower is better", measurements, labels, lambda m: m.min_dcf),
        _metric_table("min Cllr", "bits, after the best monotone map", measurements, labels, lambda m: m.min_cllr),
        _metric_table("Cllr", "bits, raw scores, not calibrated", measurements, labels, lambda m: m.cllr, best=None),
        _metric_table("Identification", "accuracy in %; higher is better", measurements, labels, _accuracy, 1, max),
    ]
    return [table for table in made if any(cell.text != _ABSENT for row in table.rows for cell in row.cells)]


def _metric_table(
    title: str,
    unit: str,
    measurements: Sequence[Measurement],
    labels: Labels,
    value: Callable[[Measurement], float | None],
    digits: int = 3,
    best: Callable[..., str | None] | None = min,
) -> MetricTable:
    rows = []
    for condition in sorted({m.condition for m in measurements}, key=lambda c: c.reading_order):
        found = {m.system: value(m) for m in measurements if m.condition == condition}
        values = [found.get(system) for system in labels]
        texts = [_ABSENT if v is None else f"{v:.{digits}f}" for v in values]
        winner = best((text for text in texts if text != _ABSENT), key=float, default=None) if best else None
        cells = [Cell(text, is_best=len(labels) > 1 and text == winner) for text in texts]
        rows.append(Row(condition.label, condition.view, cells))
    return MetricTable(title, unit, rows)


def _accuracy(measurement: Measurement) -> float | None:
    accuracy = measurement.identification_accuracy
    return None if accuracy is None else 100 * accuracy


def _eer_cells(
    values: Sequence[tuple[float, Interval | None] | None], systems: Sequence[System], labels: Labels
) -> list[Cell]:
    shown = [None if value is None else f"{100 * value[0]:.2f}" for value in values]
    lowest = min((text for text in shown if text is not None), key=float)
    return [
        Cell(_ABSENT)
        if value is None or text is None
        else Cell(
            text,
            _short(value[1]),
            f"{labels[system]}: EER {percent(value[0], 2)}"
            + (f", 95\u202f% interval {percent_range(value[1], 2)}" if value[1] else ""),
            len(systems) > 1 and text == lowest,
        )
        for value, text, system in zip(values, shown, systems, strict=True)
    ]


def _short(interval: Interval | None) -> str:
    return f"{100 * interval[0]:.1f}–{100 * interval[1]:.1f}" if interval else ""


def _mean_cell(mean: Mean | None) -> Cell:
    return Cell(f"{100 * mean.eer:.2f}", _short(mean.ci95)) if mean else Cell(_ABSENT)


def _change_cell(change: Change | None) -> Cell:
    if change is None:
        return Cell(_ABSENT)
    return Cell(signed_percent(change.relative), signed_range(change.ci95) if change.ci95 else "")
