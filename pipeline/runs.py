"""The runs of a folder: when each was made, what state it is in, which settings differ between them, what they give."""

import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from reseed.pipeline import layout
from reseed.pipeline.changes import changes, differing, value_of
from reseed.pipeline.config import RunConfig
from reseed.pipeline.loading import load_config
from reseed.pipeline.record import Record, is_running, read_record
from reseed.pipeline.results import settings_of_results
from reseed.pipeline.shared import SharedStore, find_stores
from reseed.stages.common.terminal import lines, printable
from reseed.stages.trial_scoring.origin import CENTRE, RAW
from reseed.store import ConfigError
from reseed.store.bounded import read_json

_WIDTH = 100
_NAME_WIDTH = 28
_MOST_SETTINGS = 40
_OF_NO_RESULT = ("name", "title", "note")  # differ between any two runs
_LARGEST = 1 << 28  # bytes of metrics.json


@dataclass(frozen=True)
class Figure:
    """The mean EER of a system under one scoring, over all conditions."""

    system: str
    scoring: str
    eer: float
    conditions: int


@dataclass(frozen=True)
class Run:
    """One run of a folder.

    Attributes:
        state: running; failed; unfinished: interrupted, killed, or without results; stale: its results are of other
            settings than it was last started with; finished.
        stale: how these settings differ.
        when: when it ended, or was started where it has not.
        error: why it failed.
        problem: what of it cannot be read.
        superseded: the digests of earlier results that are kept.
    """

    name: str
    state: str
    when: datetime
    config: RunConfig
    stale: list[str] = field(default_factory=list)
    figures: list[Figure] = field(default_factory=list)
    error: str = ""
    problem: str = ""
    superseded: list[str] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "state": self.state,
            "stale": self.stale,
            "when": self.when.isoformat(timespec="seconds"),
            "figures": [vars(figure) for figure in self.figures],
            "error": self.error,
            "problem": self.problem,
            "superseded": self.superseded,
        }


@dataclass(frozen=True)
class Runs:
    """What a folder of runs holds.

    Attributes:
        others: folder -> why it is no run.
        stores: the stores that runs share, where they were asked for.
    """

    folder: Path
    runs: list[Run]
    others: dict[str, str]
    stores: list[SharedStore] = field(default_factory=list)

    @property
    def differences(self) -> dict[str, dict[str, Any]]:
        found = differing({run.name: run.config for run in self.runs})
        return {key: values for key, values in found.items() if key not in _OF_NO_RESULT}

    def to_json(self) -> dict[str, Any]:
        return {
            "runs": [run.to_json() for run in self.runs],
            "differences": self.differences,
            "others": self.others,
            "stores": [store.to_json() for store in self.stores],
        }

    def summary(self) -> str:
        return lines(self._lines())

    def _lines(self) -> Iterator[str]:
        yield from _table([("run", "state", "when", "mean EER"), *map(_row, self.runs)]) if self.runs else ()
        if not self.runs:
            yield f"{self.folder} holds no run; `reseed run CONFIG --runs {self.folder}` makes one"
        for run in self.runs:
            for remark in _remarks(run):
                yield from _wrapped(f"{run.name}: {remark}", "")
        found = self.differences
        yield from ["", "Settings that differ:"] if found else ()
        for key, values in list(found.items())[:_MOST_SETTINGS]:
            yield from _wrapped(f"{key}: {_by_value(values, [run.name for run in self.runs])}", "  ")
        if len(found) > _MOST_SETTINGS:
            yield f"  and {len(found) - _MOST_SETTINGS} more; --json has all"
        yield from ["", "Shared stores:"] if self.stores else ()
        for store in self.stores:
            yield from _wrapped(store.line(), "  ")
        yield from ["", "No runs:"] if self.others else ()
        for name, reason in self.others.items():
            yield from _wrapped(f"{name}: {reason}", "  ")


def find_runs(folder: Path, stores: Path | None = None) -> Runs:
    """Look through a folder of runs; what cannot be read is named.

    Args:
        stores: the folder of the stores that they share.

    Raises:
        ConfigError: there is no such folder.
    """
    if not folder.is_dir():
        raise ConfigError(f"{folder} is no folder of runs; give the one that `reseed run --runs` was given")
    runs, others = [], {}
    for path in sorted(path for path in folder.iterdir() if path.is_dir()):
        try:
            runs.append(_run(path))
        except (ConfigError, OSError) as error:
            others[path.name] = str(error).splitlines()[0]
    shared = find_stores(stores, [folder / run.name for run in runs]) if stores else []
    return Runs(folder, sorted(runs, key=lambda run: run.when), others, shared)


def _run(folder: Path) -> Run:
    if not (folder / layout.CONFIG).is_file():
        raise ConfigError(f"it has no {layout.CONFIG}")
    config = load_config(folder / layout.CONFIG, as_written=True)
    record, results = read_record(folder), settings_of_results(folder)
    stale = changes(load_config(results, as_written=True), config) if results else []
    try:
        figures, problem = _figures(folder / layout.METRICS) if results else [], ""
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, OSError) as error:
        figures, problem = [], f"{folder / layout.METRICS} cannot be read ({type(error).__name__}); run it again"
    return Run(
        name=folder.name,
        state=_state(folder, record, "stale" if stale else "finished" if results else "unfinished"),
        when=_when(folder, record),
        config=config,
        stale=stale,
        figures=figures,
        error=record.error if record else "",
        problem=problem,
        superseded=sorted(path.name for path in (folder / layout.SUPERSEDED).glob("[!.]*")),
    )


def _state(folder: Path, record: Record | None, state_of_results: str) -> str:
    if is_running(folder):
        return "running"
    if record is None or record.outcome == "finished":
        return state_of_results
    return "failed" if record.outcome == "failed" else "unfinished"  # interrupted, or killed before it could say so


def _when(folder: Path, record: Record | None) -> datetime:
    if record is not None:
        return datetime.fromisoformat(record.ended or record.started)
    made = [path.stat().st_mtime for path in (folder / layout.CONFIG, folder / layout.PAGE) if path.exists()]
    return datetime.fromtimestamp(max(made)).astimezone()


def _figures(path: Path) -> list[Figure]:
    if path.stat().st_size > _LARGEST:
        raise ValueError
    found: dict[tuple[str, str], list[float]] = {}
    for row in read_json(path):
        if row["eer"] is not None:
            found.setdefault((str(row["system"]), str(row["scoring"])), []).append(float(row["eer"]))
    return [Figure(*names, sum(eers) / len(eers), len(eers)) for names, eers in found.items()]


def _row(run: Run) -> tuple[str, str, str, str]:
    return run.name, run.state, f"{run.when:%Y-%m-%d %H:%M}", _main_figures(run.figures)


def _main_figures(figures: Sequence[Figure]) -> str:
    """Say what embeddings give as they are and centred, and the best system, under the first scoring."""
    first = [figure for figure in figures if figure.scoring == figures[0].scoring]
    shown = [figure for figure in first if figure.system in (RAW, CENTRE)]
    others = [figure for figure in first if figure.system not in (RAW, CENTRE)]
    shown += [min(others, key=lambda figure: figure.eer)] if others else []
    return ", ".join(f"{figure.system} {100 * figure.eer:.1f} %" for figure in shown)


def _remarks(run: Run) -> Iterator[str]:
    if run.error:
        yield f"failed: {run.error}"
    if run.problem:
        yield run.problem
    if run.stale:
        yield f"its results are of other settings: {'; '.join(run.stale)}"
    if run.superseded:
        yield f"earlier results are kept in {layout.SUPERSEDED}/: {', '.join(run.superseded)}"


def _by_value(values: dict[str, Any], names: Sequence[str]) -> str:
    """Return "10 (a, b); 20 (c); not set (d)"."""
    holders: dict[str, list[str]] = {}
    for name in names:
        holders.setdefault(value_of(name, values), []).append(name)
    return "; ".join(f"{value} ({', '.join(runs)})" for value, runs in holders.items())


def _table(rows: Sequence[tuple[str, ...]]) -> Iterator[str]:
    cells = [[_cut(printable(cell), _NAME_WIDTH) for cell in row[:-1]] + [printable(row[-1])] for row in rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    for row in cells:
        yield _cut("  ".join(map(str.ljust, row, widths)).rstrip(), _WIDTH)


def _wrapped(text: str, indent: str) -> list[str]:
    return textwrap.wrap(
        printable(text),
        _WIDTH,
        initial_indent=indent,
        subsequent_indent=f"{indent}  ",
        break_on_hyphens=False,
    )


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else f"{text[: width - 1]}…"
