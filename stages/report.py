"""`reseed report`: scores of several systems -> metrics.json, metrics.csv, summary.json and one HTML page."""

import csv
import io
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from stages.reporting.figures import Looks, system_looks
from stages.reporting.load import ScoredSystem, identification_accuracies, load_systems
from stages.reporting.measure import Measurement, det_curve, draw_speakers, measure
from stages.reporting.page import Findings, Plot, render_page
from stages.reporting.plot_conditions import eer_by_condition
from stages.reporting.plot_det import det_panels
from stages.reporting.plot_snr import eer_by_snr
from stages.reporting.projection import Panel, choose, draw_panels, project, turned_like
from stages.reporting.settings import ReportSettings
from stages.reporting.summary import Summary, best_enhanced, summarise
from stages.reporting.words import system_labels
from store import EmbeddingStore, ScoringError, StoreError
from store.atomic import write_json, write_text

_PLOTS = "plots"


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
) -> None:
    """Write the report.

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
    accuracies = _accuracies(systems, dict(zip(scores, identification, strict=False)))
    measurements = [
        measurement
        for scored in systems
        for measurement in measure(scored, accuracies.get(scored.path, {}), draws_SR, settings.p_target)
    ]
    summaries = summarise(measurements)
    looks = system_looks(system_labels([scored.system for scored in systems]))
    plots = _plots(systems, measurements, summaries, looks)
    plots += _projection(systems, dict(zip(scores, stores, strict=False)), utterances, summaries, looks, settings)
    left_out = max(scored.left_out for scored in systems)
    findings = Findings(measurements, summaries, looks, plots, len(speakers), settings.bootstrap_replicates, left_out)
    _write(report, findings, render_page(findings, title, note))
    print(f"report: {len(systems)} systems, {len(measurements)} measurements in {report}/index.html", file=sys.stderr)


def _check_lengths(scores: list[Path], identification: list[Path], stores: list[Path]) -> None:
    for name, given in (("identification files", identification), ("stores", stores)):
        if given and len(given) != len(scores):
            raise ScoringError(f"{len(scores)} score files but {len(given)} {name}; give one for each, in one order")


def _accuracies(
    systems: Sequence[ScoredSystem], identification: dict[Path, Path]
) -> dict[Path, dict[tuple[str, str], float]]:
    found = {path: identification_accuracies(ranks) for path, ranks in identification.items()}
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
    whiskers = "Bars: 95\u202f% intervals by speaker. " if any(m.eer_ci95 for m in measurements) else ""
    curves = {
        title: {s.system: curve for s in systems if (curve := det_curve(s, clean=clean)) is not None}
        for title, clean in (("clean", True), ("all noisy conditions pooled", False))
    }
    drawn = [
        Plot(
            "eer_by_snr",
            "EER against SNR",
            f"{whiskers}The dotted end of a line is the condition with nothing added.",
            eer_by_snr(measurements, looks) or "",
        ),
        Plot("eer_by_condition", "EER by condition", whiskers, eer_by_condition(measurements, summaries, looks)),
        Plot(
            "det",
            "Detection error trade-off",
            "Normal-deviate axes; closer to the lower left is better. Markers: equal error rate.",
            det_panels(curves, looks) or "",
        ),
    ]
    return [plot for plot in drawn if plot.svg]


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
    caption = (
        "An illustration: two of many dimensions, each panel on the main axes of its own clean vectors. A colour is a "
        "speaker; the rays from a dot are what noise does to that utterance."
    )
    return [Plot("projection", "A few speakers in the embedding space", caption, draw_panels(panels, chosen))]


def _open(path: Path, scored: ScoredSystem) -> EmbeddingStore:
    source = EmbeddingStore(path)
    if source.fingerprint != scored.fingerprint:
        raise StoreError(
            f"{path} has fingerprint {source.fingerprint[:12]}, but {scored.path} was scored from "
            f"{scored.fingerprint[:12]}; score the store again, or give the stores in the order of the scores"
        )
    return source


def _write(report: Path, findings: Findings, page: str) -> None:
    rows = [measurement.row() for measurement in findings.measurements]
    write_json(report / "metrics.json", rows)
    write_text(report / "metrics.csv", _as_csv(rows))
    write_json(report / "summary.json", [summary.row() for summary in findings.summaries])
    names = {f"{plot.name}.svg" for plot in findings.plots}
    for stale in (report / _PLOTS).glob("*.svg"):
        if stale.name not in names:
            stale.unlink()
    for plot in findings.plots:
        write_text(report / _PLOTS / f"{plot.name}.svg", plot.svg)
    write_text(report / "index.html", page)


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
