"""The figures of an evaluation: DET and ROC, Bayes error rates, Tippett, histograms.

Shapes: T target and N non-target trials, K priors.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from scipy.special import entr, expit

from reseed.stages.common.figures import PERCENT, Plot, figure, plotted, to_svg
from reseed.stages.common.theme import Theme
from reseed.stages.evaluation.measures import Measured
from reseed.stages.reporting.plots.det import curve_rows, det_panels, roc_panels
from reseed.stages.reporting.plots.heat_map import heat_map
from reseed.stages.reporting.plots.markers import legend
from reseed.stages.reporting.results.measure import DetCurve
from reseed.stages.reporting.results.styles import Style, Styles, system_styles
from reseed.stages.reporting.results.systems import System
from reseed.stages.scoring.curves import Floats, error_rates, grouped
from reseed.stages.scoring.metrics import cross_entropies

_LOG_ODDS_K = np.linspace(-7, 7, 141)
_PLACES, _BINS = 400, 80
_HEIGHT_IN = 4.2


@dataclass(frozen=True)
class Drawn:
    """One system as it is drawn.

    Attributes:
        eer: a fraction.
        is_llr: scores are natural-log likelihood ratios, so that they have an actual cost.
    """

    name: str
    target_T: Floats
    nontarget_N: Floats
    eer: float
    is_llr: bool


def styles_of(names: Sequence[str]) -> Styles:
    """Return how each system is drawn, on the page and in the figures."""
    systems = [System(name, name, "score") for name in names]
    return system_styles({system: system.name for system in systems})


def plots(systems: Sequence[Drawn], by_condition: Sequence[Measured] = ()) -> list[Plot]:
    """Draw every figure that there is something to draw for; `by_condition` as of `Evaluated`."""
    styles = styles_of([each.name for each in systems])
    curves = {
        system: replace(DetCurve.of(each.target_T, each.nontarget_N), eer=each.eer)
        for system, each in zip(styles, systems, strict=True)
    }
    panels = {"all trials": curves}
    det = plotted(
        "det",
        "Detection error trade-off",
        "Normal-deviate axes; closer to the lower left is better. Markers: equal error rate, on the convex hull.",
        lambda theme: det_panels(panels, styles, theme),
        data=curve_rows(panels, styles),
    )
    roc = plotted(
        "roc",
        "Receiver operating characteristic (ROC)",
        "Hits against false alarms, these on a logarithmic axis; closer to the upper left is better. Thin "
        "lines: their convex hulls.",
        lambda theme: roc_panels(panels, styles, theme),
        folded=True,
        data=curve_rows(panels, styles, hulls=True),
    )
    drawn = list(zip(styles.values(), systems, strict=True))
    costs, spread = _of_costs(styles, drawn), _of_scores(styles, drawn)
    made = [det, _map([each.name for each in systems], by_condition), *costs, *spread, roc]
    return [plot for plot in made if plot]


def _map(systems: Sequence[str], by_condition: Sequence[Measured]) -> Plot | None:
    conditions = list(dict.fromkeys(each.condition for each in by_condition))
    if len(systems) < 2 or not conditions:
        return None
    found = {(each.condition, each.system): each.eer.value for each in by_condition}
    eer_CS = np.array([[found.get((condition, name), np.nan) for name in systems] for condition in conditions])
    return heat_map(eer_CS, conditions, systems)


Pairs = Sequence[tuple[Style, Drawn]]


def _of_costs(styles: Styles, drawn: Pairs) -> list[Plot | None]:
    """Draw what scores cost at every prior."""
    calibrated = [(style, each) for style, each in drawn if each.is_llr]
    bayes = {each.name: bayes_errors(each.target_T, each.nontarget_N) for _, each in drawn}
    ece = {each.name: cross_entropies(each.target_T, each.nontarget_N, _LOG_ODDS_K)[::-1] for _, each in calibrated}
    return [
        plotted(
            "bayes",
            "Bayes error rates",
            "Normalised detection cost at every prior of targets, as log odds: the least over thresholds (lines) and, "
            "of log-likelihood ratios, at the Bayes threshold (dotted). 1 is what deciding without scores costs.",
            lambda theme: _one_panel(theme, styles, drawn, partial(_at_priors, bayes, "normalised cost")),
            data=_prior_rows(bayes, drawn),
        ),
        plotted(
            "ece",
            "Empirical cross-entropy",
            "What log-likelihood ratios lose at every prior of targets, as log odds, in bits: as they are (dotted) and "
            "after the best monotone map (lines); at 0 these are Cllr and min Cllr. Grey: deciding without scores.",
            lambda theme: _one_panel(theme, styles, calibrated, partial(_ece, ece)) if calibrated else None,
            folded=True,
            data=_prior_rows(ece, calibrated),
        ),
    ]


def _of_scores(styles: Styles, drawn: Pairs) -> list[Plot | None]:
    """Draw how the scores themselves are spread."""
    return [
        plotted(
            "tippett",
            "Tippett plot",
            "The share of trials whose score is at least so high: targets (upper lines) and non-targets (lower lines).",
            lambda theme: _one_panel(theme, styles, drawn, _tippett),
            folded=True,
            data=[
                {"system": each.name, "trials": name, "score": score, "share": share}
                for _, each in drawn
                for name, scores in (("targets", each.target_T), ("nontargets", each.nontarget_N))
                for score, share in zip(*map(np.ndarray.tolist, _at_least(scores)), strict=True)
            ],
        ),
        plotted(
            "histogram",
            "Scores",
            "How scores of targets (filled) and of non-targets (outlined) are spread; each class has the same area.",
            lambda theme: _histograms(theme, drawn),
            folded=True,
            data=[row for _, each in drawn for row in _histogram_rows(each)],
        ),
    ]


_Draw = Callable[[Axes, Style, Drawn, Theme], None]
_ByName = Mapping[str, tuple[Floats, Floats]]  # the least and the actual cost at each prior, [K] each


def _prior_rows(found: _ByName, drawn: Pairs) -> list[dict[str, Any]]:
    return [
        {"system": each.name, "log_odds": log_odds, "least": least, "actual": actual if each.is_llr else None}
        for _, each in drawn
        for log_odds, least, actual in np.stack([_LOG_ODDS_K, *found[each.name]], 1).tolist()
    ]


def _one_panel(theme: Theme, styles: Styles, drawn: Pairs, draw: _Draw) -> str:
    with figure(theme, _HEIGHT_IN) as fig:
        axes = fig.subplots()
        for style, each in drawn:
            draw(axes, style, each, theme)
        legend(fig, styles, theme)
        return to_svg(fig)


def bayes_errors(target_T: Floats, nontarget_N: Floats) -> tuple[Floats, Floats]:
    """Return the normalised minimum and actual detection cost at the log odds of `_LOG_ODDS_K`, [K] each.

    Source: Brümmer and de Villiers, "The BOSARIS Toolkit" (2013), normalised Bayes error-rate plots.
    """
    rates = error_rates(grouped(target_T, nontarget_N))
    prior_K = expit(_LOG_ODDS_K)
    default_K = np.minimum(prior_K, 1 - prior_K)
    least_K = np.array([(p * rates.miss_K + (1 - p) * rates.false_alarm_K).min() for p in prior_K])
    place_K = np.searchsorted(rates.threshold_K, -_LOG_ODDS_K, side="left")
    actual_K = prior_K * rates.miss_K[place_K] + (1 - prior_K) * rates.false_alarm_K[place_K]
    return least_K / default_K, actual_K / default_K


def _at_priors(found: _ByName, label: str, axes: Axes, style: Style, each: Drawn, theme: Theme) -> None:
    least_K, actual_K = found[each.name]
    axes.plot(_LOG_ODDS_K, least_K, color=style.colour(theme), linewidth=1.7)
    if each.is_llr:
        axes.plot(_LOG_ODDS_K, actual_K, color=style.colour(theme), linewidth=1.7, linestyle=":")
    axes.set_ylim(0, 1.2)
    axes.set_xlabel("log odds of the prior of targets")
    axes.set_ylabel(label)


def _ece(found: _ByName, axes: Axes, style: Style, each: Drawn, theme: Theme) -> None:
    prior_K = expit(_LOG_ODDS_K)
    axes.plot(_LOG_ODDS_K, entr(prior_K) / np.log(2) + entr(1 - prior_K) / np.log(2), color=theme.faint, linewidth=1.7)
    _at_priors(found, "cross-entropy, bits", axes, style, each, theme)


def _at_least(scores: Floats) -> tuple[Floats, Floats]:
    """Return some of the scores, ascending, and the share of all that are at least so high."""
    ordered = np.sort(scores)
    places = np.unique(np.linspace(0, ordered.size - 1, _PLACES).astype(int))
    return ordered[places], 1 - places / ordered.size


def _tippett(axes: Axes, style: Style, each: Drawn, theme: Theme) -> None:
    for scores in (each.target_T, each.nontarget_N):
        score_K, share_K = _at_least(scores)
        axes.plot(score_K, 100 * share_K, color=style.colour(theme), linewidth=1.7)
    axes.yaxis.set_major_formatter(PERCENT)
    axes.set_xlabel("score")
    axes.set_ylabel("trials at or above it")


def _histogram_rows(each: Drawn) -> list[dict[str, Any]]:
    edges = _edges(each)
    densities = [np.histogram(scores, edges, density=True)[0] for scores in (each.target_T, each.nontarget_N)]
    names = ("from", "to", "targets", "nontargets")
    rows = np.stack([edges[:-1], edges[1:], *densities], 1).tolist()
    return [{"system": each.name, **dict(zip(names, row, strict=True))} for row in rows]


def _edges(each: Drawn) -> Floats:
    return np.histogram_bin_edges(np.concatenate([each.target_T, each.nontarget_N]), _BINS)


def _histograms(theme: Theme, drawn: Pairs) -> str:
    columns = min(3, len(drawn))
    rows = -(-len(drawn) // columns)
    with figure(theme, 2.6 * rows) as fig:
        grid = fig.subplots(rows, columns, squeeze=False).ravel()
        for axes, (style, each) in zip(grid, drawn, strict=False):
            edges = _edges(each)
            axes.hist(each.target_T, edges, density=True, color=style.colour(theme), alpha=0.55)
            axes.hist(each.nontarget_N, edges, density=True, histtype="step", color=theme.ink, linewidth=1.2)
            axes.set_title(style.label)
            axes.set_yticks([])
        for axes in grid[len(drawn) :]:
            axes.set_axis_off()
        return to_svg(fig)
