"""Which figures the page has: planned once, drawn in every theme."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from reseed.stages.common.figures import Plot, plotted
from reseed.stages.common.prose import listed
from reseed.stages.common.theme import THEMES, spectrogram_file
from reseed.stages.reporting.metrics.base import Costs
from reseed.stages.reporting.plots.conditions import eer_by_condition, plan_bands
from reseed.stages.reporting.plots.det import det_panels, roc_panels
from reseed.stages.reporting.plots.histogram import ScorePanel, plan_panel, score_histograms
from reseed.stages.reporting.plots.projection import Panel, choose, draw_panels, project, turned_like
from reseed.stages.reporting.plots.snr import eer_by_snr, plan_panels
from reseed.stages.reporting.plots.spread import SPEAKERS, Spread, draw_spreads, measure_spread
from reseed.stages.reporting.plots.style import Look, Looks
from reseed.stages.reporting.results.load import ScoredSystem
from reseed.stages.reporting.results.measure import Measurement, det_curve
from reseed.stages.reporting.results.settings import ReportSettings
from reseed.stages.reporting.results.summary import Summary, best_enhanced, leading
from reseed.store import EmbeddingStore, ModelError, StoreError

_ILLUSTRATION = (
    "An illustration: two of many dimensions. A colour is a speaker, not a system; the rays from a dot are what noise "
    "does to that utterance. "
)
_CAUTIONS = {
    "pca": "Panels have separate axes and scales, each those of its own clean vectors: distances compare within a "
    "panel, not between panels.",
    "tsne": "t-SNE keeps who is near whom; neither distances nor the sizes of clusters mean anything.",
}


def family_plots(
    slug: str,
    systems: Sequence[ScoredSystem],
    measurements: Sequence[Measurement],
    summaries: Sequence[Summary],
    looks: Looks,
) -> list[Plot]:
    """Return the figures of one way of scoring."""
    has_intervals = any(m.eer_ci95 for m in measurements)
    own = {scored.system: looks[scored.system] for scored in systems}
    best = leading(summaries)[0].system
    shaded = [system for system in own if system.is_raw or system == best]
    band = f"Shaded: 95\u202f% intervals by speaker of {listed([own[s].label for s in shaded])}. "
    panels, bands = plan_panels(measurements), plan_bands(measurements, summaries)
    curves = {
        title: {s.system: curve for s in systems if (curve := det_curve(s, clean=clean)) is not None}
        for title, clean in (("clean", True), ("all noisy conditions pooled", False))
    }
    chosen = [scored for scored in systems if scored.system in shaded]
    histograms = [_score_panels(scored, own, measurements[0].costs) for scored in chosen]
    drawn = [
        plotted(
            f"eer_by_snr-{slug}",
            "EER against SNR",
            f"{band if has_intervals else ''}The dotted end of a line is the condition with nothing added.",
            lambda theme: eer_by_snr(panels, shaded, own, theme),
        ),
        plotted(
            f"eer_by_condition-{slug}",
            "EER by condition",
            "Bars: 95\u202f% intervals by speaker." if has_intervals else "",
            lambda theme: eer_by_condition(bands, own, theme),
        ),
        plotted(
            f"det-{slug}",
            "Detection error trade-off",
            "Normal-deviate axes; closer to the lower left is better. Markers: equal error rate, on the convex hull. "
            "The pooled panel has one threshold for all conditions, so its EER is not the mean of the table.",
            lambda theme: det_panels(curves, own, theme),
        ),
        plotted(
            f"roc-{slug}",
            "Receiver operating characteristic (ROC)",
            "The same curves as hits against false alarms, these on a logarithmic axis; closer to the upper left is "
            "better. Markers: equal error rate.",
            lambda theme: roc_panels(curves, own, theme),
            folded=True,
        ),
        plotted(
            f"scores-{slug}",
            "Scores",
            f"Densities of target and non-target scores of {listed([own[s.system].label for s in chosen])}. Where the "
            "two thresholds of a system lie elsewhere in noise than on clean speech, one threshold cannot serve both.",
            lambda theme: score_histograms(histograms, theme),
        ),
    ]
    return [plot for plot in drawn if plot]


def space_plot(
    systems: Sequence[tuple[ScoredSystem, Path]],
    summaries: Sequence[Summary],
    looks: Looks,
    utterances: Path,
    settings: ReportSettings,
) -> Plot | None:
    """Picture raw beside the best enhanced system, or what there is of the two.

    Args:
        systems: systems with the stores that they were scored from.

    Raises:
        StoreError: a store is not the one that its scores were computed from.
    """
    there = {scored.system for scored, _ in systems}
    best = best_enhanced([s for s in summaries if s.system in there])
    raw = [(s, p) for s, p in systems if s.system.is_raw and (not best or s.system.run == best.system.run)][:1]
    panels: dict[str, Panel] = {}
    chosen = None
    for scored, path in raw + [(s, p) for s, p in systems if best and s.system == best.system]:
        source = open_store(path, scored)
        chosen = chosen or choose(source, utterances, settings.projection_speakers)
        panel = project(source, chosen, settings.projection, settings.seed) if chosen else None
        if panel is not None:
            model = next(iter(panels.values()), panel)
            panels[looks[scored.system].label] = turned_like(panel, model)
    if chosen is None or not panels:
        return None
    speakers = chosen
    return plotted(
        "projection",
        "A few speakers in the embedding space",
        _ILLUSTRATION + _CAUTIONS[settings.projection],
        lambda theme: draw_panels(panels, speakers, theme),
    )


def spreads_of(systems: Sequence[tuple[ScoredSystem, Path]], looks: Looks, utterances: Path) -> dict[Look, Spread]:
    """Measure how vectors of a speaker, and speakers, lie apart in each system's store.

    Raises:
        StoreError: a store is not the one that its scores were computed from.
    """
    found: dict[Look, Spread] = {}
    for scored, path in systems:
        look = looks[scored.system]
        if look in found:
            continue
        source = open_store(path, scored)
        chosen = choose(source, utterances, SPEAKERS)
        measured = measure_spread(source, chosen) if chosen else None
        if measured is not None:
            found[look] = measured
    return found


def spread_plot(spreads: Mapping[Look, Spread]) -> Plot | None:
    """Picture scatter within speakers and distance between them, a row per system."""
    if not spreads:
        return None
    return plotted(
        "spread",
        "Scatter within speakers, distance between them",
        "Cosine distances: of an utterance from the mean of its speaker's other utterances on clean speech, and of two "
        "speakers' means. Markers: medians; bars: 10 to 90\u202f%. Speakers are told apart where the bars do not meet.",
        lambda theme: draw_spreads(list(spreads.items()), theme),
    )


def spectrogram_plot(folder: Path, run: str = "") -> Plot:
    """Return the spectrograms that training a front end has left.

    Args:
        run: which run it is of, where there are several.

    Raises:
        ModelError: they are missing.
    """
    try:
        svgs = {theme.name: (folder / spectrogram_file(theme.name)).read_text("utf-8") for theme in THEMES}
    except OSError as error:
        raise ModelError(f"{folder} has no spectrograms ({error}); train the front end again") from error
    return Plot(
        f"spectrograms-{f'{run}-' if run else ''}{folder.name}",
        f"What {folder.name} does to a spectrum{f' · {run}' if run else ''}",
        "Two training crops in the bands that the backbone sees, 50\u202fdB from dark to light. Weights, where "
        "there are any, lie over the positions of the activation map: light is where attention is misplaced.",
        svgs,
    )


def open_store(path: Path, scored: ScoredSystem) -> EmbeddingStore:
    """Open the store behind a system.

    Raises:
        StoreError: it is not the one that the scores were computed from.
    """
    source = EmbeddingStore(path)
    if source.fingerprint != scored.origin.fingerprint:
        raise StoreError(
            f"{path} has fingerprint {source.fingerprint[:12]}, but {scored.path} was scored from "
            f"{scored.origin.fingerprint[:12]}; score the store again, or give the stores in the order of the scores"
        )
    return source


def _score_panels(scored: ScoredSystem, looks: Looks, costs: Costs) -> list[ScorePanel]:
    label = looks[scored.system].label
    parts = {
        part: [trials for condition, trials in scored.trials.items() if condition.is_clean == clean]
        for part, clean in (("clean", True), ("all noisy conditions pooled", False))
    }
    return [plan_panel(f"{label}, {part}", trials, costs) for part, trials in parts.items() if trials]
