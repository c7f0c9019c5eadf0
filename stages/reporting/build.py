"""From loaded scores to the report's files: what `report` and `compare` share."""

import csv
import io
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from reseed.stages.common.prose import counted
from reseed.stages.reporting.contents import Contents, Findings, contents
from reseed.stages.reporting.metrics.base import Costs, Identified
from reseed.stages.reporting.page import render_page
from reseed.stages.reporting.plots.page_figures import space_plot, spectrogram_plot, spread_plot, spreads_of
from reseed.stages.reporting.plots.spread import spread_rows
from reseed.stages.reporting.plots.style import system_looks
from reseed.stages.reporting.results.backbone_pairs import compare_pairs, other_seeds
from reseed.stages.reporting.results.by_group import measure_groups
from reseed.stages.reporting.results.files import RunFiles
from reseed.stages.reporting.results.labels import system_labels
from reseed.stages.reporting.results.load import Loaded, ScoredSystem, System, load_identification
from reseed.stages.reporting.results.measure import (
    measure,
    order_preserving,
    pooled_calibration,
)
from reseed.stages.reporting.results.settings import ReportSettings
from reseed.stages.reporting.results.summary import shared_views, summarise
from reseed.stages.reporting.setup import contradiction
from reseed.stages.reporting.table import table_files
from reseed.stages.scoring.bootstrap import speaker_draws
from reseed.store import ScoringError
from reseed.store.atomic import write_json, write_text

PAGE = "index.html"


def build(
    loaded: Loaded, runs: Sequence[RunFiles], report: Path, title: str, notes: Sequence[str], settings: ReportSettings
) -> str:
    """Measure what was loaded, write the report and return one sentence on it.

    Raises:
        ScoringError: a condition lacks a class, or lists of files do not match.
        StoreError: a store is not the one that its scores were computed from.
    """
    for run in runs:
        _check_lengths(run, loaded.systems)
    findings = _findings(loaded, runs, settings)
    warning = contradiction(findings.measurements)
    if warning:
        print(f"report: {warning}", file=sys.stderr)
    stores = {path: store for run in runs for path, store in zip(run.scores, run.stores, strict=False)}
    pictured = [(s, stores[s.path]) for s in loaded.systems if s.path in stores and findings.shown(s.system)]
    space = space_plot(pictured, findings.summaries, findings.looks, runs[0].utterances, settings)
    spreads = spreads_of(pictured, findings.looks, runs[0].utterances)
    extra_plots = [plot for plot in (space, spread_plot(spreads)) if plot]
    extra_plots += [spectrogram_plot(folder, run.name) for run in runs for folder in run.frontends]
    made = contents(findings, extra_plots)
    extra = {
        "across.json": [pair.row() for pair in findings.backbone_pairs],
        "spread.json": spread_rows({look.label: found for look, found in spreads.items()}),
    }
    _write(report, findings, extra, made, render_page(findings, made, title, notes))
    labels = {look.label for look in findings.looks.values()}
    conditions = {measurement.condition for measurement in findings.measurements}
    done = f"{counted(len(labels), 'system')} in {counted(len(conditions), 'condition')}"
    return f"{report}: {done}, see {report / PAGE}"


def _check_lengths(run: RunFiles, systems: Sequence[ScoredSystem]) -> None:
    """Check that what lacks an identification file or a store is fused or calibrated, so that it has none."""
    for name, given in (("identification files", run.identification), ("stores", run.stores)):
        bare = {s.path for s in systems if not s.system.is_calibrated} & set(run.scores[len(given) :])
        if given and (bare or len(given) > len(run.scores)):
            raise ScoringError(
                f"{len(run.scores)} score files but {len(given)} {name}; give one for each, in one order, fused "
                "systems last without"
            )


def _findings(loaded: Loaded, runs: Sequence[RunFiles], settings: ReportSettings) -> Findings:
    draws_SR = speaker_draws(len(loaded.speakers), settings.bootstrap_replicates, settings.seed)
    costs = Costs(settings.p_target, settings.c_miss, settings.c_fa)
    measurements = measure(loaded.systems, _identified(loaded.systems, runs), draws_SR, costs)
    repeats = order_preserving(loaded.systems)
    found = list(compare_pairs(summarise([m for m in measurements if m.system not in repeats]), runs))
    hidden = {*repeats, *other_seeds([scored.system for scored in loaded.systems], runs)}
    systems = [scored for scored in loaded.systems if scored.system not in hidden]
    summaries = summarise([m for m in measurements if m.system not in hidden])
    views = shared_views(measurements)
    return Findings(
        loaded.systems,
        measurements,
        summaries,
        system_looks(system_labels([scored.system for scored in systems])),
        loaded.groupings,
        list(measure_groups(systems, loaded.groupings, views)),
        found,
        list(pooled_calibration(loaded.systems, views, costs)) if views else [],
        len(loaded.speakers),
        settings.bootstrap_replicates,
    )


def _identified(systems: Sequence[ScoredSystem], runs: Sequence[RunFiles]) -> dict[tuple[System, str], Identified]:
    """Return identification by (system, condition): of vectors, hence with the first scoring of each system alone."""
    files = {path: ranks for run in runs for path, ranks in zip(run.scores, run.identification, strict=False)}
    read = {path: load_identification(ranks) for path, ranks in files.items()}
    found: dict[tuple[System, str], Identified] = {}
    done = set()
    for scored in systems:
        system, here = scored.system, read.get(scored.path, {})
        named = {name for name, _ in here}
        if named and system.name not in named:
            raise ScoringError(
                f"{files[scored.path]} identifies by {', '.join(sorted(named))}, {scored.path} scores {system.name}; "
                "give the identification files in the order of the scores"
            )
        if (system.run, system.name, system.space) not in done:
            done.add((system.run, system.name, system.space))
            found |= {(system, view): ranks for (name, view), ranks in here.items() if name == system.name}
    return found


def _write(report: Path, findings: Findings, extra: dict[str, Any], made: Contents, page: str) -> None:
    rows = [measurement.row() for measurement in findings.measurements]
    groups = [group.row() for group in findings.groups]
    write_json(report / "metrics.json", rows)
    write_text(report / "metrics.csv", _as_csv(rows))
    write_json(report / "groups.json", groups)
    write_text(report / "groups.csv", _as_csv(groups))
    for name, content in extra.items():
        if content:
            write_json(report / name, content)
        else:
            (report / name).unlink(missing_ok=True)
    write_json(report / "summary.json", [summary.row() for summary in findings.summaries])
    svgs = {f"{plot.name}.{theme}.svg": svg for plot in made.plots for theme, svg in plot.svgs.items()}
    _write_all(report / "plots", svgs)
    _write_all(report / "tables", {name: text for table in made.tables for name, text in table_files(table).items()})
    write_text(report / PAGE, page)


def _write_all(folder: Path, files: dict[str, str]) -> None:
    """Write files; remove those of an earlier report that this one does not have."""
    suffixes = {Path(name).suffix for name in files}
    for stale in folder.glob("*"):
        if stale.suffix in suffixes and stale.name not in files:
            stale.unlink()
    for name, text in files.items():
        write_text(folder / name, text)


def _as_csv(rows: Sequence[dict[str, Any]]) -> str:
    """Rows as CSV, an interval as two columns."""
    flat = []
    for row in rows:
        interval = {
            f"{name}_{end}": value
            for name in row
            if name.endswith("_ci95")
            for end, value in zip(("low", "high"), row[name] or (None, None), strict=True)
        }
        flat.append({**{name: value for name, value in row.items() if not name.endswith("_ci95")}, **interval})
    if not flat:
        return ""
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, flat[0].keys(), lineterminator="\n")
    writer.writeheader()
    writer.writerows(flat)
    return buffer.getvalue()
