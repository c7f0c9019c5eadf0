"""Tables of the page: what each cell shows, decided apart from how it is drawn."""

from collections.abc import Sequence
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


def detail_table(measurements: Sequence[Measurement], labels: Labels) -> list[Row]:
    """Return minDCF, Cllr, min Cllr, identification accuracy and trial counts, by condition, then system."""
    order = {system: index for index, system in enumerate(labels)}
    rows: list[Row] = []
    for m in sorted(measurements, key=lambda m: (m.condition.reading_order, order[m.system])):
        accuracy = m.identification_accuracy
        texts = [
            labels[m.system],
            *(f"{value:.3f}" for value in (m.min_dcf, m.cllr, m.min_cllr)),
            _ABSENT if accuracy is None else f"{100 * accuracy:.1f}",
            *(f"{count:,}" for count in (m.trials, m.targets)),
        ]
        is_first = not rows or rows[-1].key != m.condition.view
        rows.append(Row(m.condition.label, m.condition.view, list(map(Cell, texts)), "first" if is_first else ""))
    return rows


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
