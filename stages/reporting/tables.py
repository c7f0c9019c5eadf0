"""Tables of the page: what each cell shows, decided apart from how it is drawn."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from stages.reporting.load import System
from stages.reporting.measure import Interval, Measurement
from stages.reporting.summary import Change, Mean, Summary
from stages.reporting.words import Labels, bare_range, percent, signed_percent, signed_range

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
    among = f"accuracy in % among {identified_among(measurements)} speakers; higher is better"
    made = [
        _metric_table("minDCF", "normalised; lower is better", measurements, labels, lambda m: m.min_dcf),
        _metric_table("min Cllr", "bits, after the best monotone map", measurements, labels, lambda m: m.min_cllr),
        _metric_table("Cllr", "bits, raw scores, not calibrated", measurements, labels, lambda m: m.cllr, best=None),
        _metric_table("Identification", among, measurements, labels, _accuracy, 1, max),
    ]
    return [table for table in made if any(cell.text != _ABSENT for row in table.rows for cell in row.cells)]


def identified_among(measurements: Sequence[Measurement]) -> str:
    """Return how many speakers there are to identify, "60" or "58 to 60"; empty where nobody is identified."""
    counts = sorted({m.identified.speakers for m in measurements if m.identified})
    return " to ".join(str(count) for count in dict.fromkeys([*counts[:1], *counts[-1:]]))


def _metric_table(
    title: str,
    unit: str,
    measurements: Sequence[Measurement],
    labels: Labels,
    value: Callable[[Measurement], float | None],
    digits: int = 3,
    best: Callable[..., str] | None = min,
) -> MetricTable:
    rows = []
    for condition in sorted({m.condition for m in measurements}, key=lambda c: c.reading_order):
        found = {m.system: value(m) for m in measurements if m.condition == condition}
        values = [found.get(system) for system in labels]
        texts = [None if v is None else f"{v:.{digits}f}" for v in values]
        leader = _leader(texts, best) if best else None
        cells = [Cell(_ABSENT) if text is None else Cell(text, is_best=text == leader) for text in texts]
        rows.append(Row(condition.label, condition.view, cells))
    return MetricTable(title, unit, rows)


def _accuracy(measurement: Measurement) -> float | None:
    return 100 * measurement.identified.accuracy if measurement.identified else None


def _leader(texts: Sequence[str | None], best: Callable[..., str]) -> str | None:
    """Return the best number of a row; None where it is alone, or shared with another one as rounded."""
    numbers = [text for text in texts if text is not None]
    if len(numbers) < 2:
        return None
    leader = best(numbers, key=float)
    return leader if numbers.count(leader) == 1 else None


def _eer_cells(
    values: Sequence[tuple[float, Interval | None] | None], systems: Sequence[System], labels: Labels
) -> list[Cell]:
    shown = [None if value is None else f"{100 * value[0]:.2f}" for value in values]
    leader = _leader(shown, min)
    return [
        Cell(_ABSENT)
        if value is None or text is None
        else Cell(
            text,
            _short(value[1]),
            f"{labels[system]}: EER {percent(value[0], 2)}"
            + (f", 95\u202f% interval {bare_range(value[1], 2)}\u202f%" if value[1] else ""),
            text == leader,
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
