"""`report`: scores of several systems -> metrics.json, metrics.csv, summary.json and one HTML page."""

import csv
import io
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from stages.reporting.figures import Looks, system_looks
from stages.reporting.load import Identified, ScoredSystem, load_identification, load_systems
from stages.reporting.measure import Measurement, det_curve, draw_speakers, measure
from stages.reporting.page import Findings, Plot, render_page
from stages.reporting.plot_conditions import eer_by_condition, plan_bands
from stages.reporting.plot_det import det_panels
from stages.reporting.plot_snr import eer_by_snr, plan_panels
from stages.reporting.projection import Panel, choose, draw_panels, project, turned_like
from stages.reporting.settings import ReportSettings
from stages.reporting.setup import contradiction
from stages.reporting.summary import Summary, best_enhanced, best_system, summarise
from stages.reporting.theme import THEMES, Theme
from stages.reporting.words import counted, listed, system_labels
from store import EmbeddingStore, ScoringError, StoreError
from store.atomic import write_json, write_text

_PLOTS = "plots"
_PAGE = "index.html"


def report(
    *,
    scores: list[Path],
    identification: list[Path],
    stores: list[Path],
    utterances: Path,
    report: Path,
    title: str,
    note: str,
    settings: ReportSettings,
) -> str:
    """Write the report and return one sentence on it.

    Args:
        scores: scores.parquet of each system, in the order in which systems are shown.
        identification: identification.parquet of each, in the same order; or none.
        stores: the store behind each, in the same order, for the picture of the embedding space; or none.
        utterances: utterances.parquet, which says who speaks.
        report: directory to write; metrics.json, metrics.csv, summary.json, plots/ and, last, index.html.
        title, note: heading of the page and the remark under it.

    Raises:
        ScoringError: a score file cannot be used, a condition lacks a class, or the lists do not match.
        StoreError: a store is not the one that its scores were computed from.
        ManifestError: the manifest cannot be read.
    """
    _check_lengths(scores, identification, stores)
    systems, speakers = load_systems(scores)
    draws_SR = draw_speakers(len(speakers), settings.bootstrap_replicates, settings.seed)
    identified = _identified(systems, dict(zip(scores, identification, strict=False)))
    measurements = [
        measurement
        for scored in systems
        for measurement in measure(scored, identified.get(scored.path, {}), draws_SR, settings.p_target)
    ]
    warning = contradiction(measurements)
    if warning:
        print(f"report: {warning}", file=sys.stderr)
    summaries = summarise(measurements)
    looks = system_looks(system_labels([scored.system for scored in systems]))
    plots = _plots(systems, measurements, summaries, looks)
    plots += _projection(systems, dict(zip(scores, stores, strict=False)), utterances, summaries, looks, settings)
    findings = Findings(systems, measurements, summaries, looks, plots, len(speakers), settings.bootstrap_replicates)
    _write(report, findings, render_page(findings, title, note))
    conditions = {measurement.condition for measurement in measurements}
    done = f"{counted(len(systems), 'system')} in {counted(len(conditions), 'condition')}"
    return f"{report}: {done}, see {report / _PAGE}"


def _check_lengths(scores: list[Path], identification: list[Path], stores: list[Path]) -> None:
    for name, given in (("identification files", identification), ("stores", stores)):
        if given and len(given) != len(scores):
            raise ScoringError(f"{len(scores)} score files but {len(given)} {name}; give one for each, in one order")


def _identified(
    systems: Sequence[ScoredSystem], identification: dict[Path, Path]
) -> dict[Path, dict[tuple[str, str], Identified]]:
    found = {path: load_identification(ranks) for path, ranks in identification.items()}
    for scored in systems:
        named = {name for name, _ in found.get(scored.path, {})}
        if named and scored.system.name not in named:
            raise ScoringError(
                f"{identification[scored.path]} identifies by {', '.join(sorted(named))}, {scored.path} scores "
                f"{scored.system.name}; give the identification files in the order of the scores"
            )
    return found


def _plots(
    systems: Sequence[ScoredSystem], measurements: Sequence[Measurement], summaries: Sequence[Summary], looks: Looks
) -> list[Plot]:
    has_intervals = any(m.eer_ci95 for m in measurements)
    best = best_system(summaries).system
    shaded = [system for system in looks if system.is_raw or system == best]
    band = f"Shaded: 95\u202f% intervals by speaker of {listed([looks[s].label for s in shaded])}. "
    panels, bands = plan_panels(measurements), plan_bands(measurements, summaries)
    curves = {
        title: {s.system: curve for s in systems if (curve := det_curve(s, clean=clean)) is not None}
        for title, clean in (("clean", True), ("all noisy conditions pooled", False))
    }
    drawn = [
        _plot(
            "eer_by_snr",
            "EER against SNR",
            f"{band if has_intervals else ''}The dotted end of a line is the condition with nothing added.",
            lambda theme: eer_by_snr(panels, shaded, looks, theme),
        ),
        _plot(
            "eer_by_condition",
            "EER by condition",
            "Bars: 95\u202f% intervals by speaker." if has_intervals else "",
            lambda theme: eer_by_condition(bands, looks, theme),
        ),
        _plot(
            "det",
            "Detection error trade-off",
            "Normal-deviate axes; closer to the lower left is better. Markers: equal error rate, on the convex hull. "
            "The pooled panel has one threshold for all conditions, so its EER is not the mean of the table.",
            lambda theme: det_panels(curves, looks, theme),
        ),
    ]
    return [plot for plot in drawn if plot]


def _plot(name: str, title: str, caption: str, draw: Callable[[Theme], str | None]) -> Plot | None:
    svgs = {theme.name: svg for theme in THEMES if (svg := draw(theme)) is not None}
    return Plot(name, title, caption, svgs) if svgs else None


def _projection(
    systems: Sequence[ScoredSystem],
    stores: dict[Path, Path],
    utterances: Path,
    summaries: Sequence[Summary],
    looks: Looks,
    settings: ReportSettings,
) -> list[Plot]:
    """Picture raw beside the best enhanced system, or what there is of the two."""
    best = best_enhanced(summaries)
    shown = [s for s in systems if s.system.is_raw][:1] + [s for s in systems if best and s.system == best.system]
    panels: dict[str, Panel] = {}
    chosen = None
    for scored in shown:
        if scored.path in stores:
            source = _open(stores[scored.path], scored)
            chosen = chosen or choose(source, utterances, settings.projection_speakers)
            panel = project(source, chosen) if chosen else None
            if panel is not None:
                model = next(iter(panels.values()), panel)
                panels[looks[scored.system].label] = turned_like(panel, model)
    if chosen is None or not panels:
        return []
    speakers = chosen
    plot = _plot(
        "projection",
        "A few speakers in the embedding space",
        "An illustration: two of many dimensions. A colour is a speaker, not a system; the rays from a dot are what "
        "noise does to that utterance. Panels have separate axes and scales, each those of its own clean "
        "vectors: distances compare within a panel, not between panels.",
        lambda theme: draw_panels(panels, speakers, theme),
    )
    return [plot] if plot else []


def _open(path: Path, scored: ScoredSystem) -> EmbeddingStore:
    source = EmbeddingStore(path)
    if source.fingerprint != scored.origin.fingerprint:
        raise StoreError(
            f"{path} has fingerprint {source.fingerprint[:12]}, but {scored.path} was scored from "
            f"{scored.origin.fingerprint[:12]}; score the store again, or give the stores in the order of the scores"
        )
    return source


def _write(report: Path, findings: Findings, page: str) -> None:
    rows = [measurement.row() for measurement in findings.measurements]
    write_json(report / "metrics.json", rows)
    write_text(report / "metrics.csv", _as_csv(rows))
    write_json(report / "summary.json", [summary.row() for summary in findings.summaries])
    svgs = {f"{plot.name}.{theme}.svg": svg for plot in findings.plots for theme, svg in plot.svgs.items()}
    for stale in (report / _PLOTS).glob("*.svg"):
        if stale.name not in svgs:
            stale.unlink()
    for name, svg in svgs.items():
        write_text(report / _PLOTS / name, svg)
    write_text(report / _PAGE, page)


def _as_csv(rows: Sequence[dict[str, Any]]) -> str:
    """The rows of metrics.json, the interval as two columns."""
    flat = []
    for row in rows:
        low, high = row["eer_ci95"] or (None, None)
        flat.append({**row, "eer_ci95_low": low, "eer_ci95_high": high})
        del flat[-1]["eer_ci95"]
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, flat[0].keys(), lineterminator="\n")
    writer.writeheader()
    writer.writerows(flat)
    return buffer.getvalue()
