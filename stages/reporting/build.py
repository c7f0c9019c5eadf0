"""From loaded scores to the report's files: what `report` and `compare` share."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from reseed.stages.audio.shared import read_shared
from reseed.stages.common.figures import Plot
from reseed.stages.common.prose import counted
from reseed.stages.common.terminal import log
from reseed.stages.reporting.contents import Contents, contents
from reseed.stages.reporting.folder import PAGE, check_place, check_table, page_files, remove_stale
from reseed.stages.reporting.page import concluded, render_page
from reseed.stages.reporting.plots.distances import speaker_distances
from reseed.stages.reporting.plots.projection import embedding_space
from reseed.stages.reporting.plots.spectrograms import spectrograms
from reseed.stages.reporting.results.collect import Results, collect
from reseed.stages.reporting.results.distances import SpeakerDistances, measure_distances
from reseed.stages.reporting.results.files import RunFiles
from reseed.stages.reporting.results.measure import Measurement
from reseed.stages.reporting.results.settings import ReportSettings
from reseed.stages.reporting.results.styles import Style
from reseed.stages.reporting.results.systems import Loaded
from reseed.stages.reporting.setup import contradiction
from reseed.stages.reporting.table import as_csv
from reseed.store import ScoringError
from reseed.store.atomic import atomic_files, write_json, write_text
from reseed.store.bounded import read_json
from reseed.store.outputs import check_file
from reseed.store.sealed import digests_of, write_record

DIGESTS, CONFIG = "digests.json", "config.yaml"


def build(
    loaded: Loaded,
    report: Path,
    title: str,
    notes: Sequence[str],
    settings: ReportSettings,
    config: str = "",
    terms: Mapping[str, str] | None = None,
) -> str:
    """Measure what was loaded, write the report and return one sentence on it.

    Args:
        config: of the run, as YAML; it is kept beside the page.
        terms: what the run calls things; see `reseed.stages.common.terms`.

    Raises:
        ScoringError: a condition lacks a class.
        StoreError: a store is not the one that its scores were computed from.
    """
    results = collect(loaded, settings, terms or {})
    warning = contradiction(results.measurements)
    if warning:
        log(f"report: {results.say(warning)}")
    with_store = [scored for scored in loaded.systems if scored.store and scored.system in results.styles]
    utterances = loaded.runs[0].utterances
    distances = measure_distances(with_store, results.styles, utterances)
    plots: list[Plot | None] = [
        embedding_space(with_store, results, utterances, settings),
        speaker_distances(distances, results.wording),
        *(spectrograms(folder, run.name) for run in loaded.runs for folder in run.frontends),
    ]
    shown = contents(results, [plot for plot in plots if plot], distances)
    page = render_page(results, shown, title, notes, leaks(loaded.runs))
    _write(report, results, _optional_rows(results, distances), shown, config, page)
    labels = {style.label for style in results.styles.values()}
    done = f"{counted(len(labels), 'system')} in {counted(len(results.conditions), 'condition')}"
    return f"{report}: {done}, see {report / PAGE}"


def _optional_rows(results: Results, distances: Mapping[Style, SpeakerDistances]) -> dict[str, list[dict[str, Any]]]:
    """Return the rows of the files that not every report has."""
    return {
        "across.json": [pair.row() for pair in results.backbone_pairs],
        "spread.json": [found.row(style.label) for style, found in distances.items()],
        "flips.json": [each.row() | system.row() for system, found in results.flips.items() for each in found.worse],
    }


def leaks(runs: Sequence[RunFiles]) -> list[str]:
    """Return what training and evaluation of each run share, a sentence each.

    Raises:
        ManifestError: what was found cannot be read.
    """
    found = [(run.name, each) for run in runs if run.leakage for each in read_shared(run.leakage)]
    return [f"{name}: {each}" if name else str(each) for name, each in found]


def check_replaceable(report: Path, runs: Sequence[RunFiles]) -> None:
    """Check that what is to be written takes the place of an earlier report's files alone; others stay as they are.

    Raises:
        ScoringError: something else is there, or something that the report is made from.
    """
    read = [path for run in runs for path in (*run.scores, *run.identification, *run.stores, run.utterances)]
    check_place(report, read)
    summary = report / "summary.json"
    check_file(report / "config.yaml", "that of a report", lambda _: summary.is_file(), ScoringError)
    for name in ("metrics", "groups", "summary", "across", "spread", "flips", "conclusions", "digests"):
        check_file(report / f"{name}.json", "of a report", _is_rows, ScoringError)
    for name in ("metrics", "groups"):
        check_table(report / f"{name}.csv", "of a report")


def _is_rows(path: Path) -> bool:
    rows = read_json(path)
    if path.name == DIGESTS:
        return isinstance(rows, dict) and isinstance(rows.get("files"), dict)
    return isinstance(rows, list) and all(isinstance(row, dict) for row in rows)


def _write(
    report: Path,
    results: Results,
    rows: Mapping[str, list[dict[str, Any]]],
    shown: Contents,
    config: str,
    page: str,
) -> None:
    """Write all files, the page last; of those that not every report has, remove an earlier one's."""
    measured = [_measured(results, measurement) for measurement in results.measurements]
    groups = [group.row() for group in results.groups]
    files = page_files(shown.plots, shown.tables)
    with atomic_files(report) as staged:
        write_json(staged / "metrics.json", measured)
        write_text(staged / "metrics.csv", as_csv(measured))
        write_json(staged / "groups.json", groups)
        write_text(staged / "groups.csv", as_csv(groups))
        for name, content in rows.items():
            if content:
                write_json(staged / name, content)
        write_json(staged / "summary.json", [summary.row() for summary in results.summaries])
        write_json(staged / "conclusions.json", [{"sentence": sentence} for sentence in concluded(results)])
        for name, text in files.items():
            write_text(staged / name, text)
        write_record(staged / DIGESTS, {"files": digests_of(staged)})
        if config:
            write_text(staged / CONFIG, config)
        write_text(staged / PAGE, page)
    for name in (name for name, content in {**rows, CONFIG: config}.items() if not content):
        (report / name).unlink(missing_ok=True)
    remove_stale(report, files)


def _measured(results: Results, measurement: Measurement) -> dict[str, Any]:
    """Return the row of metrics.json; where retrieval was measured of some, its columns are in all."""
    if not results.retrieval:
        return measurement.row()
    absent = dict.fromkeys(next(iter(results.retrieval.values())).row())
    found = results.retrieval.get((measurement.system, measurement.condition.view))
    return measurement.row() | (found.row() if found else absent)
