"""The figures of an evaluation: DET and ROC, Bayes error rates, Tippett, histograms.

Shapes: T target and N non-target trials, K priors.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from scipy.special import entr, expit

from reseed.stages.common.figures import PERCENT, Plot, figure, plotted, to_svg
from reseed.stages.common.theme import Theme
from reseed.stages.evaluation.measures import Measured
from reseed.stages.reporting.plots.det import det_panels, roc_panels
from reseed.stages.reporting.plots.heat_map import heat_map
from reseed.stages.reporting.plots.markers import legend
from reseed.stages.reporting.results.measure import DetCurve
from reseed.stages.reporting.results.styles import Style, Styles, system_styles
from reseed.stages.reporting.results.systems import System
from reseed.stages.scoring.curves import Floats, det_points, error_rates, grouped
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
        system: DetCurve(*det_points(error_rates(grouped(each.target_T, each.nontarget_N))), each.eer)
        for system, each in zip(styles, systems, strict=True)
    }
    det = plotted(
        "det",
        "Detection error trade-off",
        "Normal-deviate axes; closer to the lower left is better. Markers: equal error rate, on the convex hull.",
        lambda theme: det_panels({"all trials": curves}, styles, theme),
    )
    roc = plotted(
        "roc",
        "Receiver operating characteristic (ROC)",
        "Hits against false alarms, these on a logarithmic axis; closer to the upper left is better.",
        lambda theme: roc_panels({"all trials": curves}, styles, theme),
        folded=True,
    )
    made = [det, _map([each.name for each in systems], by_condition), *_of_scores(styles, systems), roc]
    return [plot for plot in made if plot]


def _map(systems: Sequence[str], by_condition: Sequence[Measured]) -> Plot | None:
    conditions = list(dict.fromkeys(each.condition for each in by_condition))
    if len(systems) < 2 or not conditions:
        return None
    found = {(each.condition, each.system): each.eer.value for each in by_condition}
    eer_CS = np.array([[found.get((condition, name), np.nan) for name in systems] for condition in conditions])
    return heat_map(eer_CS, conditions, systems)


def _of_scores(styles: Styles, systems: Sequence[Drawn]) -> list[Plot | None]:
    """Draw what shows the scores themselves: their costs, and how they are spread."""
    drawn = list(zip(styles.values(), systems, strict=True))
    calibrated = [(style, each) for style, each in drawn if each.is_llr]
    return [
        plotted(
            "bayes",
            "Bayes error rates",
            "Normalised detection cost at every prior of targets, as log odds: the least over thresholds (lines) and, "
            "of log-likelihood ratios, at the Bayes threshold (dotted). 1 is what deciding without scores costs.",
            lambda theme: _one_panel(theme, styles, drawn, _bayes),
        ),
        plotted(
            "ece",
            "Empirical cross-entropy",
            "What log-likelihood ratios lose at every prior of targets, as log odds, in bits: as they are (dotted) and "
            "after the best monotone map (lines); at 0 these are Cllr and min Cllr. Grey: deciding without scores.",
            lambda theme: _one_panel(theme, styles, calibrated, _ece) if calibrated else None,
            folded=True,
        ),
        plotted(
            "tippett",
            "Tippett plot",
            "The share of trials whose score is at least so high: targets (upper lines) and non-targets (lower lines).",
            lambda theme: _one_panel(theme, styles, drawn, _tippett),
            folded=True,
        ),
        plotted(
            "histogram",
            "Scores",
            "How scores of targets (filled) and of non-targets (outlined) are spread; each class has the same area.",
            lambda theme: _histograms(theme, drawn),
            folded=True,
        ),
    ]


Pairs = Sequence[tuple[Style, Drawn]]
_Draw = Callable[[Axes, Style, Drawn, Theme], None]


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


def _bayes(axes: Axes, style: Style, each: Drawn, theme: Theme) -> None:
    least_K, actual_K = bayes_errors(each.target_T, each.nontarget_N)
    axes.plot(_LOG_ODDS_K, least_K, color=style.colour(theme), linewidth=1.7)
    if each.is_llr:
        axes.plot(_LOG_ODDS_K, actual_K, color=style.colour(theme), linewidth=1.7, linestyle=":")
    axes.set_ylim(0, 1.2)
    axes.set_xlabel("log odds of the prior of targets")
    axes.set_ylabel("normalised cost")


def _ece(axes: Axes, style: Style, each: Drawn, theme: Theme) -> None:
    actual_K, least_K = cross_entropies(each.target_T, each.nontarget_N, _LOG_ODDS_K)
    prior_K = expit(_LOG_ODDS_K)
    axes.plot(_LOG_ODDS_K, entr(prior_K) / np.log(2) + entr(1 - prior_K) / np.log(2), color=theme.faint, linewidth=1.7)
    axes.plot(_LOG_ODDS_K, least_K, color=style.colour(theme), linewidth=1.7)
    axes.plot(_LOG_ODDS_K, actual_K, color=style.colour(theme), linewidth=1.7, linestyle=":")
    axes.set_ylim(0, 1.2)
    axes.set_xlabel("log odds of the prior of targets")
    axes.set_ylabel("cross-entropy, bits")


def _tippett(axes: Axes, style: Style, each: Drawn, theme: Theme) -> None:
    for scores in (each.target_T, each.nontarget_N):
        ordered = np.sort(scores)
        places = np.unique(np.linspace(0, ordered.size - 1, _PLACES).astype(int))
        axes.plot(ordered[places], 100 * (1 - places / ordered.size), color=style.colour(theme), linewidth=1.7)
    axes.yaxis.set_major_formatter(PERCENT)
    axes.set_xlabel("score")
    axes.set_ylabel("trials at or above it")


def _histograms(theme: Theme, drawn: Pairs) -> str:
    columns = min(3, len(drawn))
    rows = -(-len(drawn) // columns)
    with figure(theme, 2.6 * rows) as fig:
        grid = fig.subplots(rows, columns, squeeze=False).ravel()
        for axes, (style, each) in zip(grid, drawn, strict=False):
            everything = np.concatenate([each.target_T, each.nontarget_N])
            edges = np.histogram_bin_edges(everything, _BINS)
            axes.hist(each.target_T, edges, density=True, color=style.colour(theme), alpha=0.55)
            axes.hist(each.nontarget_N, edges, density=True, histtype="step", color=theme.ink, linewidth=1.2)
            axes.set_title(style.label)
            axes.set_yticks([])
        for axes in grid[len(drawn) :]:
            axes.set_axis_off()
        return to_svg(fig)
