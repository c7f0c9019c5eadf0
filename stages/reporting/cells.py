"""What stands in the cells of tables: numbers with intervals in small print, the best of a row marked."""

from collections.abc import Sequence
from dataclasses import replace

from reseed.stages.common.prose import bare_range, p_text, percent, signed_percent, signed_range
from reseed.stages.reporting.metrics.base import Interval
from reseed.stages.reporting.results.backbone_pairs import PairEers
from reseed.stages.reporting.results.styles import Style
from reseed.stages.reporting.results.summary import Change, Mean
from reseed.stages.reporting.table import ABSENT, Cell


def number_cell(value: float | None, digits: int = 3, *, percent: bool = False) -> Cell:
    if value is None:
        return Cell()
    shown = 100 * value if percent else value
    return Cell(f"{shown:.{digits}f}", value=shown)


def figure_cell(value: float | None, interval: Interval | None, digits: int = 3, *, percent: bool = False) -> Cell:
    """Return a number with its interval in small print."""
    cell = number_cell(value, digits, percent=percent)
    if cell.value is None or interval is None:
        return cell
    low, high = (100 * end if percent else end for end in interval)
    between = "–" if low >= 0 else " to "
    return replace(cell, small_print=f"{low:.{digits}f}{between}{high:.{digits}f}", interval=(low, high))


def mark_best(cells: Sequence[Cell], *, highest: bool = False) -> list[Cell]:
    """Mark the best cell of a row; none where it is alone, or shares its value with another one as rounded."""
    texts = [cell.text for cell in cells if cell.value is not None]
    best = (max if highest else min)(texts, key=float) if len(texts) > 1 else ABSENT
    return [replace(cell, is_best=cell.text == best != ABSENT and texts.count(best) == 1) for cell in cells]


def eer_cells(eers: Sequence[tuple[float, Interval | None] | None], styles: Sequence[Style]) -> list[Cell]:
    """Return a row of EERs, one per system, in %."""
    return mark_best([_eer_cell(*eer, style) if eer else Cell() for eer, style in zip(eers, styles, strict=True)])


def mean_cells(means: Sequence[Mean | None], styles: Sequence[Style]) -> list[Cell]:
    """Return a row of mean EERs, one per system, in %."""
    return eer_cells([(mean.eer, mean.ci95) if mean else None for mean in means], styles)


def mean_cell(mean: Mean | None) -> Cell:
    if mean is None:
        return Cell()
    return Cell(f"{100 * mean.eer:.2f}", _short(mean.ci95), value=100 * mean.eer, interval=_in_percent(mean.ci95))


def change_cell(change: Change | None) -> Cell:
    if change is None:
        return Cell()
    small_print = [signed_range(change.ci95)] if change.ci95 else []
    small_print += [p_text(change.p_value)] if change.p_value is not None else []
    text = signed_percent(change.relative)
    interval = _in_percent(change.ci95)
    return Cell(text, "; ".join(small_print), value=100 * change.relative, interval=interval, p_value=change.p_value)


def pair_cells(eers: PairEers | None) -> list[Cell]:
    """Return both sides by themselves, both together, and the gain ratio."""
    if eers is None:
        return [Cell()] * 4
    deviation = "" if eers.deviation is None else f"± {100 * eers.deviation:.2f}, {len(eers.across)} seeds"
    enrolment, test, across = (number_cell(eer, 2, percent=True) for eer in (eers.enrolment, eers.test, eers.mean))
    return [enrolment, test, replace(across, small_print=deviation), number_cell(eers.gain_ratio, 2)]


def _eer_cell(eer: float, interval: Interval | None, style: Style) -> Cell:
    range_text = f", 95\u202f% interval {bare_range(interval, 2)}\u202f%" if interval else ""
    tooltip = f"{style.label}: EER {percent(eer, 2)}{range_text}"
    return Cell(f"{100 * eer:.2f}", _short(interval), tooltip, value=100 * eer, interval=_in_percent(interval))


def _short(interval: Interval | None) -> str:
    return f"{100 * interval[0]:.1f}–{100 * interval[1]:.1f}" if interval else ""


def _in_percent(interval: Interval | None) -> Interval | None:
    return (100 * interval[0], 100 * interval[1]) if interval else None
