"""The page of an evaluation: one sentence, one table, how systems differ, curves, and how all of it is computed."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from reseed.stages.common.figures import Plot
from reseed.stages.common.pages import render
from reseed.stages.common.prose import (
    bare_range,
    counted,
    first_few,
    listed,
    p_text,
    percent,
    signed_percent,
    signed_range,
)
from reseed.stages.common.theme import THEMES
from reseed.stages.evaluation.measures import ALL, Difference, Evaluated, Figure, Measured
from reseed.stages.evaluation.plots import styles_of
from reseed.stages.evaluation.speakers import Speakers
from reseed.stages.evaluation.trials import Trials
from reseed.stages.reporting.cells import mark_best, number_cell
from reseed.stages.reporting.table import Cell, Column, Row, Table
from reseed.stages.scoring.detection_costs import DetectionCost

_LEVEL = 0.05
_FEW_SPEAKERS = 30


@dataclass(frozen=True)
class Evaluation:
    """What the page is made of."""

    title: str
    trials: Trials
    speakers: Speakers
    costs: Sequence[DetectionCost]
    found: Evaluated
    is_equalised: bool

    @property
    def best(self) -> Measured:
        """The system of the lowest EER."""
        return min(self.found.pooled, key=lambda measured: measured.eer.value)

    @property
    def level_with_best(self) -> list[Difference]:
        """The differences from the best that may be chance, after correction for how many were compared."""
        name = self.best.system
        return [d for d in self.found.differences if name in (d.system, d.other) and d.p_holm >= _LEVEL]


def tables(evaluation: Evaluation) -> list[Table]:
    """Return the tables of the page."""
    found = evaluation.found
    made = [_systems(evaluation)]
    if found.by_condition:
        made.append(_conditions(evaluation))
    if found.differences:
        made.append(_differences(found.differences))
    return made


def render_page(evaluation: Evaluation, shown: Sequence[Table], plots: Sequence[Plot]) -> str:
    """Return the page as HTML."""
    return render(
        "evaluation/evaluation.html.j2",
        title=evaluation.title,
        subtitle=_subtitle(evaluation),
        conclusions=list(conclusions(evaluation)),
        warnings=list(warnings(evaluation)),
        has_intervals=evaluation.found.replicates > 0,
        tables=shown,
        plots=plots,
        themes=THEMES,
        methods=_methods(evaluation),
    )


def conclusions(evaluation: Evaluation) -> Iterator[str]:
    """Yield what the numbers say, the most important first."""
    best, level = evaluation.best, evaluation.level_with_best
    others = len(evaluation.found.pooled) - 1
    if not others:
        yield f"{best.system}: an EER of {_in_percent(best.eer)}, {_costs_in_words(best)}."
        return
    names = [d.other if d.system == best.system else d.system for d in level]
    if names and evaluation.found.differences:
        yield (
            f"{best.system} has the lowest EER, {_in_percent(best.eer)}, but these trials do not tell it from "
            f"{first_few(names)}."
        )
    else:
        yield f"{best.system} is best, with an EER of {_in_percent(best.eer)}, {_costs_in_words(best)}."
    second = min((m for m in evaluation.found.pooled if m is not best), key=lambda measured: measured.eer.value)
    gap = next((d for d in evaluation.found.differences if {d.system, d.other} == {best.system, second.system}), None)
    if gap:
        yield (
            f"{gap.system} against {gap.other}: {signed_percent(gap.relative)} ({signed_range(gap.ci95)}; "
            f"{p_text(gap.p_holm)} after correction for {counted(len(evaluation.found.differences), 'comparison')}). "
            f"Trials of this kind show a difference of {percent(gap.detectable, 0)} in four of five cases."
        )


def warnings(evaluation: Evaluation) -> Iterator[str]:
    """Yield what a reader has to know before believing the numbers."""
    contradicted, speakers = evaluation.found.pooled[0].contradictory, evaluation.speakers
    if contradicted:
        yield (
            f"{counted(contradicted, 'trial')} {'is' if contradicted == 1 else 'are'} labelled against the speakers "
            f"(told {speakers.told_by}); they count in every metric and in no interval."
        )
    if evaluation.trials.unlabelled:
        yield f"{counted(evaluation.trials.unlabelled, 'trial')} without a label left aside."
    if evaluation.found.replicates and speakers.count < _FEW_SPEAKERS:
        yield f"With {counted(speakers.count, 'speaker')} alone, intervals tend to be too narrow."
    for measured in evaluation.found.pooled:
        for name, figure in measured.actual_dcf.items():
            if figure.value > 1:
                yield (
                    f"{measured.system}: at {name} its decisions cost more than deciding without scores "
                    f"(actual DCF {figure.value:.2f}); calibrate the scores."
                )


def _costs_in_words(measured: Measured) -> str:
    costs = [f"a minDCF of {figure.value:.3f} ({name})" for name, figure in measured.min_dcf.items()]
    return listed(costs) if costs else f"a min Cllr of {measured.min_cllr:.3f}"


def _in_percent(figure: Figure) -> str:
    return percent(figure.value, 2) + (f" ({bare_range(figure.ci95, 2)})" if figure.ci95 else "")


def _subtitle(evaluation: Evaluation) -> str:
    trials, first = evaluation.trials, evaluation.found.pooled[0]
    counts = [
        counted(len(evaluation.found.pooled), "system"),
        f"{counted(first.targets, 'target')} and {counted(first.nontargets, 'non-target')}",
        *([counted(len(trials.conditions), "condition")] if len(trials.conditions) > 1 else []),
        counted(evaluation.speakers.count, "speaker") if evaluation.speakers.count else "speakers unknown",
    ]
    return " · ".join([*([trials.title] if trials.title else []), *counts])


def _systems(evaluation: Evaluation) -> Table:
    pooled = evaluation.found.pooled
    styles = list(styles_of([measured.system for measured in pooled]).values())
    columns, cells = [Column("EER, %")], [[_percent_cell(m.eer) for m in pooled]]
    for cost in evaluation.costs:
        columns.append(Column(cost.name, "minDCF"))
        cells.append([_plain_cell(m.min_dcf[cost.name]) for m in pooled])
    if any(measured.cllr for measured in pooled):
        for cost in evaluation.costs:
            columns.append(Column(cost.name, "actual DCF"))
            cells.append([_plain_cell(m.actual_dcf.get(cost.name)) for m in pooled])
        columns.append(Column("Cllr"))
        cells.append([_plain_cell(m.cllr) for m in pooled])
    columns += [Column("min Cllr"), Column("EER nearest, %")]
    cells += [[number_cell(m.min_cllr) for m in pooled], [number_cell(m.eer_nearest, 2, percent=True) for m in pooled]]
    if not evaluation.level_with_best:
        cells = [mark_best(column) for column in cells]
    rows = [
        Row(measured.system, measured.system, [column[place] for column in cells], style=style)
        for place, (measured, style) in enumerate(zip(pooled, styles, strict=True))
    ]
    pooling = ", every condition weighing alike" if evaluation.is_equalised else ""
    return Table("systems", f"Systems on {ALL}", f"lower is better{pooling}", "system", columns, rows)


def _conditions(evaluation: Evaluation) -> Table:
    pooled, by_condition = evaluation.found.pooled, evaluation.found.by_condition
    styles = list(styles_of([measured.system for measured in pooled]).values())
    found = {(m.condition, m.system): m for m in [*by_condition, *pooled]}
    names = [*dict.fromkeys(m.condition for m in by_condition), ALL]
    rows = []
    for name in names:
        cells = [_percent_cell(m.eer if (m := found.get((name, each.system))) else None) for each in pooled]
        rows.append(Row(name, name, cells, "mean" if name == ALL else ""))
    columns = [Column(style.label, style=style) for style in styles]
    return Table("conditions", "By condition", "EER in %, lower is better", "condition", columns, rows)


def _differences(differences: Sequence[Difference]) -> Table:
    columns = [Column("change of the EER, %"), Column("p"), Column("p, corrected"), Column("would show, %")]
    rows = [
        Row(
            f"{each.system} against {each.other}",
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


def _percent_cell(figure: Figure | None) -> Cell:
    if figure is None:
        return Cell()
    cell = number_cell(figure.value, 2, percent=True)
    ends = figure.ci95
    if ends is None:
        return cell
    return replace(
        cell, small_print=f"{100 * ends[0]:.2f}–{100 * ends[1]:.2f}", interval=(100 * ends[0], 100 * ends[1])
    )


def _plain_cell(figure: Figure | None) -> Cell:
    if figure is None:
        return Cell()
    cell = number_cell(figure.value)
    return replace(
        cell, small_print=f"{figure.ci95[0]:.3f}–{figure.ci95[1]:.3f}" if figure.ci95 else "", interval=figure.ci95
    )


def _methods(evaluation: Evaluation) -> dict[str, str]:
    methods = {
        "EER": "Equal error rate on the convex hull of the ROC, interpolated (convention “rocch”); tied scores are one "
        "threshold. “Nearest” is max(false alarms, misses) at the corner where the two come nearest.",
        "Intervals": _intervals(evaluation),
        **{
            f"minDCF {cost.name}": f"Lowest normalised detection cost over thresholds at {cost} ({cost.source})."
            for cost in evaluation.costs
        },
        "min Cllr": "Cost of the log-likelihood ratio in bits after the best monotone map of the scores.",
    }
    if evaluation.found.differences:
        methods["Differences"] = (
            "Relative change of the EER over the same draws of speakers; p is two-sided, corrected by Holm's method "
            "for all pairs. “Would show”: the least difference that trials of this kind show (5\u202f% level) in "
            "four of five cases."
        )
    if any(measured.cllr for measured in evaluation.found.pooled):
        methods["Cllr, actual DCF"] = (
            "Scores taken as natural-log likelihood ratios: their cost in bits, and the detection cost at the Bayes "
            "threshold."
        )
    if evaluation.is_equalised:
        methods[ALL] = (
            "Within targets and within non-targets every condition has the same weight, as partitions have in NIST's "
            "evaluations (SRE 2016 evaluation plan, section 3.2)."
        )
    return methods


def _intervals(evaluation: Evaluation) -> str:
    if not evaluation.found.replicates:
        return f"None: speakers are {evaluation.speakers.told_by}, fewer than two, or no replicates were asked for."
    count, told = counted(evaluation.speakers.count, "speaker"), evaluation.speakers.told_by
    return (
        f"95\u202f% confidence intervals: bias-corrected percentiles (Efron, 1981) of {evaluation.found.replicates} "
        f"bootstrap replicates over {count}, told {told}. Speakers are drawn with replacement, and a trial counts as "
        "often as its speakers were drawn; all systems share the draws."
    )
