"""The figures of an audit: distributions, drift by SNR, and who is near whom.

Shapes: H bins.
"""

from dataclasses import replace

import numpy as np
from matplotlib.axes import Axes

from reseed.stages.auditing.arrays import Counts, Float64
from reseed.stages.auditing.drift import Drift, Sounds
from reseed.stages.auditing.evidence import Evidence
from reseed.stages.auditing.speakers import MARGIN_EDGES, Margins, cohesion
from reseed.stages.auditing.tally import COSINE_EDGES, Tally, quantile
from reseed.stages.auditing.utterances import Utterances
from reseed.stages.auditing.vectors import NORM_EDGES, Vectors
from reseed.stages.common.figures import Plot, figure, plotted, to_svg
from reseed.stages.common.terms import Wording
from reseed.stages.common.theme import Theme

_HEIGHT_IN = 3.4
_SOUNDS = 12


def plots(evidence: Evidence, words: Wording) -> list[Plot]:
    """Return the figures of what was found."""
    drawn = [
        plotted(
            "drift",
            "How far noise moves vectors",
            "Cosine of a noisy vector with the clean one of the same crop. Left: its distribution in each view, the "
            "bar from 5 to 95 %, the dot at 50 %. Right: its mean by the SNR as drawn, with one standard deviation.",
            lambda theme: _drift(evidence, theme),
        ),
        plotted(
            "sounds",
            "Sounds that hurt most and least",
            "Mean of a sound's cosines less what is usual at the same view and SNR: left of zero, it hurts more.",
            lambda theme: _sounds(evidence, theme),
        ),
        plotted(
            "speakers",
            "Speakers",
            "Left: cosine of an utterance with the rest of its speaker, whitened. Middle: that less the cosine with "
            "the nearest other speaker; left of zero, another is nearer. Right: mean cosine of two utterances.",
            lambda theme: _speakers(evidence, words, theme),
        ),
        plotted(
            "norms",
            "Norms and spread",
            "Left: lengths of the vectors as stored. Middle: mean of each dimension, with one standard deviation. "
            "Right: share of the variance of utterances along each main direction, added up.",
            lambda theme: _norms(evidence, theme),
        ),
    ]
    return [replace(plot, title=words.say(plot.title), caption=words.say(plot.caption)) for plot in drawn if plot]


def _drift(evidence: Evidence, theme: Theme) -> str | None:
    counts_VH = evidence[Drift].cosine_VH
    views = [(place, view) for place, view in enumerate(evidence.store.views) if counts_VH[place].any()]
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
        _by_snr(right, evidence, theme)
        return to_svg(drawn)


def _by_snr(axes: Axes, evidence: Evidence, theme: Theme) -> None:
    kinds: dict[str, dict[float, Tally]] = {}
    for (view, snr), tally in evidence[Drift].cells.items():
        if snr is not None:
            kinds.setdefault(evidence.store.conditions[view].kind, {}).setdefault(snr, Tally()).add(tally)
    for number, (kind, by_snr) in enumerate(sorted(kinds.items())):
        snrs = sorted(by_snr)
        means, spreads = [by_snr[snr].mean for snr in snrs], [by_snr[snr].spread for snr in snrs]
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


def _sounds(evidence: Evidence, theme: Theme) -> str | None:
    sounds = evidence[Sounds].noises | evidence[Sounds].rooms
    found = {name: tally for name, tally in sounds.items() if tally.count > 1}
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


def _speakers(evidence: Evidence, words: Wording, theme: Theme) -> str | None:
    within, margins = evidence.conclude(cohesion), evidence[Margins]
    if not within:
        return None
    with figure(theme, _HEIGHT_IN) as drawn:
        left, middle, right = drawn.subplots(1, 3)
        _stairs(left, margins.own_H, COSINE_EDGES, theme, words.say("own speaker"), "cosine")
        _stairs(middle, margins.margin_H, MARGIN_EDGES, theme, "own less nearest other", "difference")
        middle.axvline(0, color=theme.ink, linewidth=0.8)
        values = np.array(list(within.values()))
        counts, edges = np.histogram(values, bins=min(40, max(5, len(values))))
        _stairs(right, counts, edges, theme, words.say("within speakers"), "mean cosine")
        return to_svg(drawn)


def _norms(evidence: Evidence, theme: Theme) -> str | None:
    vectors = evidence[Vectors]
    if not vectors.norm_H.any():
        return None
    with figure(theme, _HEIGHT_IN) as drawn:
        left, middle, right = drawn.subplots(1, 3)
        _stairs(left, vectors.norm_H, NORM_EDGES, theme, "norms", "length")
        mean_D, spread_D = vectors.mean_D, vectors.spread_D
        place_D, colour = np.arange(len(mean_D)), theme.systems[1]
        middle.fill_between(place_D, mean_D - spread_D, mean_D + spread_D, color=colour, alpha=0.3, linewidth=0)
        middle.plot(place_D, mean_D, color=colour, linewidth=0.8)
        middle.set_title("values")
        middle.set_xlabel("dimension")
        values = np.linalg.eigvalsh(evidence[Utterances].moments.covariance_DD)[::-1].clip(min=0)
        if values.sum() > 0:
            right.plot(np.arange(1, len(values) + 1), 100 * np.cumsum(values) / values.sum(), color=theme.systems[1])
        right.set_title("spread")
        right.set_xlabel("main directions")
        right.set_ylabel("% of variance")
        right.set_ylim(0, 102)
        return to_svg(drawn)


def _stairs(axes: Axes, counts: Counts, edges: Float64, theme: Theme, title: str, what: str) -> None:
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


def _short(name: str) -> str:
    return name if len(name) <= 48 else f"…{name[-47:]}"
