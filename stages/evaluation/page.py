"""The page of an evaluation: one sentence, one table, how systems differ, curves, and how all of it is computed."""

import math
from collections.abc import Iterator, Sequence

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
from reseed.stages.evaluation.figures import Figure
from reseed.stages.evaluation.groups import FEWEST
from reseed.stages.evaluation.measures import ALL, MEAN, Measured
from reseed.stages.evaluation.tables import Evaluation
from reseed.stages.reporting.table import Table
from reseed.stages.scoring.comparison import LEVEL, least_p

_FEW_SPEAKERS = 30


def render_page(evaluation: Evaluation, shown: Sequence[Table], plots: Sequence[Plot]) -> str:
    """Return the page as HTML."""
    return render(
        "evaluation/evaluation.html.j2",
        title=evaluation.title,
        subtitle=_subtitle(evaluation),
        conclusions=list(conclusions(evaluation)),
        warnings=list(warnings(evaluation)),
        has_intervals=evaluation.found.replicates > 0,
        places=[*((table.name, table.title) for table in shown), ("figures", "Figures"), ("methods", "Methods")],
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
    if names and evaluation.eer_differences:
        yield (
            f"{best.system} has the lowest EER, {_in_percent(best.eer)}, but these trials do not tell it from "
            f"{first_few(names)}."
        )
    else:
        yield f"{best.system} is best, with an EER of {_in_percent(best.eer)}, {_costs_in_words(best)}."
    second = min((m for m in evaluation.found.pooled if m is not best), key=lambda measured: measured.eer.value)
    gap = next((d for d in evaluation.eer_differences if {d.system, d.other} == {best.system, second.system}), None)
    if gap:
        yield (
            f"{gap.system} against {gap.other}: {signed_percent(gap.relative)} ({signed_range(gap.ci95)}; "
            f"{p_text(gap.p_holm)} after correction for {counted(len(evaluation.eer_differences), 'comparison')}). "
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
    compared, replicates = len(evaluation.eer_differences), evaluation.found.replicates
    if compared * least_p(replicates) > LEVEL:
        yield (
            f"Of {counted(compared, 'comparison')} none can be told from chance by {replicates:,} replicates; ask for "
            f"{math.ceil(2 * compared / LEVEL):,} (--replicates)."
        )
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
        evaluation.speakers.counted if evaluation.speakers.count else "speakers unknown",
    ]
    return " · ".join([*([trials.title] if trials.title else []), *counts])


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
    if evaluation.eer_differences:
        methods["Differences"] = (
            "Relative change of a metric over the same draws; p is two-sided, corrected by Holm's method for all pairs "
            "of systems, metric by metric. “Would show”: the least difference that trials of this kind show "
            "(5\u202f% level) in four of five cases."
        )
    if any(measured.cllr for measured in evaluation.found.pooled):
        methods["Cllr, actual DCF"] = (
            "Scores taken as natural-log likelihood ratios: their cost in bits, and the detection cost at the Bayes "
            "threshold."
        )
    if evaluation.found.by_condition:
        methods[MEAN] = "The mean of the metric over conditions, draw by draw; its trials are not pooled."
    if evaluation.found.flipped.changed:
        methods["What changed"] = (
            "A decision is right where a target is accepted or a non-target rejected, at one threshold of each system "
            "for all trials: Bayes' for log-likelihood ratios, else that of the first minDCF. The worst are farthest "
            "on the wrong side, in deviations of the system's scores."
        )
    if evaluation.groupings:
        methods["Groups"] = _groups(evaluation)
    if evaluation.is_equalised:
        methods[ALL] = (
            "Within targets and within non-targets every condition has the same weight, as partitions have in NIST's "
            "evaluations (SRE 2016 evaluation plan, section 3.2)."
        )
    return methods


def _intervals(evaluation: Evaluation) -> str:
    if not evaluation.found.replicates:
        return f"None: speakers are {evaluation.speakers.told_by}, fewer than two, or no replicates were asked for."
    speakers = evaluation.speakers
    drawn = "speakers and sessions" if speakers.sessions else "speakers"
    return (
        f"95\u202f% confidence intervals: bias-corrected percentiles (Efron, 1981) of {evaluation.found.replicates} "
        f"bootstrap replicates over {speakers.counted}, told {speakers.told_by}. They are drawn with replacement, and "
        f"a trial counts as often as its {drawn} were drawn, multiplied; all systems share the draws."
    )


def _groups(evaluation: Evaluation) -> str:
    cost = f" ({evaluation.costs[0].name})" if evaluation.costs else ""
    left_out = [f"{name} ({grouping.name})" for grouping in evaluation.groupings for name in grouping.left_out]
    return (
        "The EER of each group is at its own threshold. False non-match and false match rates (ISO/IEC 19795-10) are "
        f"at one threshold for all trials: Bayes' for log-likelihood ratios, else that of minDCF{cost}. A gap is the "
        "rate of the worst part less that of the best; which these are is picked on these very trials, and its "
        f"interval is that of these two. Left out, with fewer than {FEWEST} targets or non-targets: "
        f"{listed(left_out) or 'none'}."
    )
