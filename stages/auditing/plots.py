"""The figures of an audit: distributions, drift by SNR, and who is near whom.

Shapes: H bins.
"""

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from reseed.stages.auditing.facts import Facts
from reseed.stages.auditing.finding import quantile
from reseed.stages.auditing.measures import dimensions
from reseed.stages.auditing.review import MARGIN_EDGES
from reseed.stages.auditing.survey import COSINE_EDGES, NORM_EDGES
from reseed.stages.common.figures import Plot, figure, plotted, to_svg
from reseed.stages.common.theme import Theme

_HEIGHT_IN = 3.4
_SOUNDS = 12


def plots(facts: Facts) -> list[Plot]:
    """Return the figures of what was found."""
    drawn = [
        plotted(
            "drift",
            "How far noise moves vectors",
            "Cosine of a noisy vector with the clean one of the same crop. Left: its distribution in each view, the "
            "bar from 5 to 95 %, the dot at 50 %. Right: its mean by the SNR as drawn, with one standard deviation.",
            lambda theme: _drift(facts, theme),
        ),
        plotted(
            "sounds",
            "Sounds that hurt most and least",
            "Mean of a sound's cosines less what is usual at the same view and SNR: left of zero, it hurts more.",
            lambda theme: _sounds(facts, theme),
        ),
        plotted(
            "speakers",
            "Speakers",
            "Left: cosine of an utterance with the rest of its speaker, whitened. Middle: that less the cosine with "
            "the nearest other speaker; left of zero, another is nearer. Right: mean cosine of two utterances.",
            lambda theme: _speakers(facts, theme),
        ),
        plotted(
            "norms",
            "Norms and spread",
            "Left: lengths of the vectors as stored. Middle: mean of each dimension, with one standard deviation. "
            "Right: share of the variance of utterances along each main direction, added up.",
            lambda theme: _norms(facts, theme),
        ),
    ]
    return [plot for plot in drawn if plot]


def _drift(facts: Facts, theme: Theme) -> str | None:
    counts_VH = facts.survey.cosine_VH
    views = [(place, view) for place, view in enumerate(facts.source.views) if counts_VH[place].any()]
    if not views:
        return None
    with figure(theme, max(_HEIGHT_IN, 0.32 * len(views) + 1.2)) as drawn:
        left, right = drawn.subplots(1, 2)
        for row, (place, _) in enumerate(views):
            low, middle, high = (quantile(counts_VH[place], COSINE_EDGES, share) for share in (0.05, 0.5, 0.95))
            colour = theme.systems[1]
            left.plot([low, high], [row, row], color=colour, linewidth=5, alpha=0.35, solid_capstyle="butt")
            left.plot(middle, row, "o", color=colour, markersize=5)
        left.set_yticks(range(len(views)), [view for _, view in views])
        left.invert_yaxis()
        left.set_title("by view")
        left.set_xlabel("cosine with the clean vector")
        _by_snr(right, facts, theme)
        return to_svg(drawn)


def _by_snr(axes: Axes, facts: Facts, theme: Theme) -> None:
    kinds: dict[str, dict[float, list[Any]]] = {}
    for (view, snr), tally in facts.survey.cells.items():
        if snr is not None:
            kinds.setdefault(facts.source.conditions[view].kind, {}).setdefault(snr, []).append(tally)
    for number, (kind, by_snr) in enumerate(sorted(kinds.items())):
        snrs = sorted(by_snr)
        means, spreads = zip(*(_joined(by_snr[snr]) for snr in snrs), strict=True)
        colour = theme.systems[1 + number % (len(theme.systems) - 1)]
        axes.errorbar(
            snrs, means, spreads, color=colour, marker="o", markersize=4, capsize=2, linewidth=1.4, label=kind
        )
    axes.set_title("by SNR")
    axes.set_xlabel("SNR in dB, to 5 dB")
    if kinds:
        axes.legend()
    else:
        axes.set_axis_off()


def _sounds(facts: Facts, theme: Theme) -> str | None:
    found = {name: tally for name, tally in facts.review.noises.items() if tally.count > 1}
    found |= {name: tally for name, tally in facts.review.rooms.items() if tally.count > 1}
    if len(found) < 2:
        return None
    order = sorted(found, key=lambda name: (found[name].mean, name))
    shown = order if len(order) <= 2 * _SOUNDS else [*order[:_SOUNDS], *order[-_SOUNDS:]]
    with figure(theme, 0.24 * len(shown) + 1.0) as drawn:
        axes = drawn.subplots()
        colours = [theme.classes[1] if found[name].mean < 0 else theme.classes[0] for name in shown]
        axes.barh(range(len(shown)), [found[name].mean for name in shown], color=colours, height=0.7)
        axes.set_yticks(range(len(shown)), [f"{_short(name)} ({found[name].count})" for name in shown])
        axes.invert_yaxis()
        axes.axvline(0, color=theme.ink, linewidth=0.8)
        axes.set_xlabel("cosine less what is usual; in brackets: rows")
        axes.grid(False, axis="y")
        return to_svg(drawn)


def _speakers(facts: Facts, theme: Theme) -> str | None:
    if not facts.within:
        return None
    with figure(theme, _HEIGHT_IN) as drawn:
        left, middle, right = drawn.subplots(1, 3)
        _stairs(left, facts.review.own_H, COSINE_EDGES, theme, "own speaker", "cosine")
        _stairs(middle, facts.review.margin_H, MARGIN_EDGES, theme, "own less nearest other", "difference")
        middle.axvline(0, color=theme.ink, linewidth=0.8)
        values = np.array(list(facts.within.values()))
        counts, edges = np.histogram(values, bins=min(40, max(5, len(values))))
        _stairs(right, counts, edges, theme, "within speakers", "mean cosine")
        return to_svg(drawn)


def _norms(facts: Facts, theme: Theme) -> str | None:
    if not facts.survey.norm_H.any():
        return None
    with figure(theme, _HEIGHT_IN) as drawn:
        left, middle, right = drawn.subplots(1, 3)
        _stairs(left, facts.survey.norm_H, NORM_EDGES, theme, "norms", "length")
        mean_D, spread_D = dimensions(facts)
        place_D, colour = np.arange(len(mean_D)), theme.systems[1]
        middle.fill_between(place_D, mean_D - spread_D, mean_D + spread_D, color=colour, alpha=0.3, linewidth=0)
        middle.plot(place_D, mean_D, color=colour, linewidth=0.8)
        middle.set_title("values")
        middle.set_xlabel("dimension")
        values = np.linalg.eigvalsh(facts.survey.whole.covariance_DD)[::-1].clip(min=0)
        if values.sum() > 0:
            right.plot(np.arange(1, len(values) + 1), 100 * np.cumsum(values) / values.sum(), color=theme.systems[1])
        right.set_title("spread")
        right.set_xlabel("main directions")
        right.set_ylabel("% of variance")
        right.set_ylim(0, 102)
        return to_svg(drawn)


def _stairs(
    axes: Axes, counts: NDArray[np.int64], edges: NDArray[np.float64], theme: Theme, title: str, what: str
) -> None:
    """Draw a histogram over where it has anything, its bins joined to at most 60."""
    filled = np.flatnonzero(counts)
    if filled.size:
        first, last = max(int(filled[0]) - 1, 0), min(int(filled[-1]) + 2, len(counts))
        width = -(-(last - first) // 60)
        starts = np.arange(first, last, width)
        joined = np.add.reduceat(counts[:last], starts)
        ends = np.append(edges[starts], edges[min(last, len(edges) - 1)])
        axes.stairs(joined / np.diff(ends), ends, color=theme.systems[1], fill=True, alpha=0.6)
    axes.set_title(title)
    axes.set_xlabel(what)
    axes.set_yticks([])
    axes.grid(False, axis="y")
    axes.spines["left"].set_visible(False)


def _joined(tallies: list[Any]) -> tuple[float, float]:
    count = sum(tally.count for tally in tallies)
    mean = sum(tally.total for tally in tallies) / count
    return mean, float(np.sqrt(max(sum(tally.squares for tally in tallies) / count - mean**2, 0.0)))


def _short(name: str) -> str:
    return name if len(name) <= 48 else f"…{name[-47:]}"
