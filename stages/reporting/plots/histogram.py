"""Densities of target and non-target scores, clean and noisy, with the thresholds of EER and minDCF.

Shapes: T target trials, N non-target trials.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from reseed.stages.common.figures import Plot, figure, plotted, to_svg
from reseed.stages.common.prose import listed
from reseed.stages.common.theme import Theme
from reseed.stages.reporting.plots.markers import POOLED
from reseed.stages.reporting.results.collect import Results
from reseed.stages.reporting.results.measure import pooled_scores
from reseed.stages.reporting.results.systems import ScoredSystem, TrialScores
from reseed.stages.scoring.curves import Floats, eer_threshold, error_rates, grouped
from reseed.stages.scoring.detection_costs import Costs

_BINS = 80
_TAIL = 0.001  # left out on either side, so that one outlier does not squeeze the rest
_ROW_HEIGHT_IN = 2.9
_THRESHOLDS = (
    "Where the two thresholds of a system lie elsewhere in noise than on clean speech, one threshold cannot serve both."
)


@dataclass(frozen=True)
class ScorePanel:
    """Scores of one system, several conditions pooled, and two thresholds; minDCF's is None where it rejects all."""

    title: str
    target_T: Floats
    nontarget_N: Floats
    eer_threshold: float
    min_dcf_threshold: float | None


def scores(results: Results) -> Plot | None:
    """Plot the scores of raw and of the best system."""
    costs = results.measurements[0].costs
    shown = [(s, results.styles[s.system].label) for s in results.systems if s.system in results.raw_and_best]
    rows = [
        [plan_panel(f"{label}, {results.say(title)}", trials, costs) for title, trials in _pooled(scored).items()]
        for scored, label in shown
    ]
    return plotted(
        "scores",
        "Scores",
        f"Densities of target and non-target scores of {listed([label for _, label in shown])}. "
        + results.say(_THRESHOLDS),
        lambda theme: score_histograms(rows, theme),
        data=[row for panels in rows for panel in panels for row in _rows(panel)],
    )


def _pooled(scored: ScoredSystem) -> dict[str, list[TrialScores]]:
    return {title: trials for part, title in POOLED.items() if (trials := scored.trials_of(part))}


def plan_panel(title: str, trials: Sequence[TrialScores], costs: Costs) -> ScorePanel:
    """Pool conditions and find the thresholds."""
    target_T, nontarget_N = pooled_scores(trials)
    return ScorePanel(title, target_T, nontarget_N, *thresholds(target_T, nontarget_N, costs))


def thresholds(target_T: Floats, nontarget_N: Floats, costs: Costs) -> tuple[float, float | None]:
    """Return the score at which both error rates come nearest, and that of the lowest detection cost.

    A trial is accepted where its score is at least the threshold. The second is None where rejecting all is cheapest.
    """
    rates = error_rates(grouped(target_T, nontarget_N))
    cost_K = costs.of_misses * rates.miss_K + costs.of_false_alarms * rates.false_alarm_K
    cheapest = float(rates.threshold_K[np.argmin(cost_K)])
    return eer_threshold(rates), cheapest if np.isfinite(cheapest) else None


def score_histograms(rows: Sequence[Sequence[ScorePanel]], theme: Theme) -> str | None:
    """Draw one row of panels per system, clean beside noisy; None where there is nothing to draw."""
    if not rows:
        return None
    columns = max(map(len, rows))
    with figure(theme, _ROW_HEIGHT_IN * len(rows) + 0.4) as fig:
        grid = fig.subplots(len(rows), max(columns, 2), squeeze=False, sharex="row")
        for axes_row, panels in zip(grid, rows, strict=True):
            for axes, panel in zip(axes_row, panels, strict=False):
                _draw(axes, panel, theme)
            for axes in axes_row[len(panels) :]:
                axes.set_axis_off()
        fig.legend(handles=_handles(theme), loc="outside upper center", ncols=4)
        return to_svg(fig)


def _draw(axes: Axes, panel: ScorePanel, theme: Theme) -> None:
    edges = _edges(panel)
    target, nontarget = _styles(theme)
    axes.stairs(_density(panel.target_T, edges), edges, **target)
    axes.stairs(_density(panel.nontarget_N, edges), edges, **nontarget)
    axes.axvline(panel.eer_threshold, color=theme.ink, linewidth=1.2)
    if panel.min_dcf_threshold is not None:
        axes.axvline(panel.min_dcf_threshold, color=theme.ink, linewidth=1.2, linestyle="--")
    axes.set_title(panel.title)
    axes.set_xlabel("score")
    axes.tick_params(labelbottom=True)
    axes.set_yticks([])
    axes.grid(False, axis="y")
    axes.spines["left"].set_visible(False)


def _edges(panel: ScorePanel) -> Floats:
    both = np.concatenate([panel.target_T, panel.nontarget_N])
    low, high = np.quantile(both, [_TAIL, 1 - _TAIL])
    return np.linspace(low, high if high > low else low + 1, _BINS + 1)


def _rows(panel: ScorePanel) -> list[dict[str, Any]]:
    edges = _edges(panel)
    columns = edges[:-1], edges[1:], _density(panel.target_T, edges), _density(panel.nontarget_N, edges)
    names = ("from", "to", "targets", "nontargets")
    return [{"panel": panel.title, **dict(zip(names, row, strict=True))} for row in np.stack(columns, 1).tolist()]


def _density(scores: Floats, edges: Floats) -> Floats:
    """Return the share of all scores per unit, including those beyond the edges."""
    counts, _ = np.histogram(scores, edges)
    density: Floats = counts / (scores.size * np.diff(edges))
    return density


def _styles(theme: Theme) -> tuple[Any, Any]:
    """Return how targets and non-targets are drawn: told apart by filling as well as by colour."""
    target, nontarget = theme.classes
    return {"color": target, "fill": True, "alpha": 0.55}, {"color": nontarget, "linewidth": 1.8}


def _handles(theme: Theme) -> list[Any]:
    target, nontarget = theme.classes
    return [
        Patch(color=target, alpha=0.55, label="targets"),
        Line2D([], [], color=nontarget, linewidth=1.8, label="non-targets"),
        Line2D([], [], color=theme.ink, linewidth=1.2, label="threshold of the EER"),
        Line2D([], [], color=theme.ink, linewidth=1.2, linestyle="--", label="threshold of minDCF"),
    ]
