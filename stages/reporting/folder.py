"""The folder that a page lies in: what may be replaced there, and the page's figures and tables as files."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from reseed.stages.common.figures import Plot
from reseed.stages.common.pages import check_page
from reseed.stages.common.theme import THEMES
from reseed.stages.reporting.table import Table, as_csv, table_files
from reseed.store import ScoringError
from reseed.store.bounded import read_text
from reseed.store.outputs import check_apart, check_file
from reseed.store.url import AnyPath

PAGE = "index.html"
_PLOTS, _TABLES = "plots", "tables"
# Of an earlier page some of these are left whatever happens: the first is put there before all else, and Snakemake
# takes it away before a report is made anew.
_MARKS = ("metrics.json", "summary.json", "conclusions.json", "differences.json")


def check_place(report: Path, read: Sequence[AnyPath]) -> None:
    """Check that a page may be put into a folder: a new one, an empty one or that of an earlier page, and none of what
    is read.

    Raises:
        ScoringError: it holds something else, or a file or link is there.
    """
    check_apart([report], read, ScoringError)
    if report.is_symlink() or (report.exists() and not report.is_dir()):
        raise ScoringError(f"{report} is no folder but a file or link, which is not replaced; choose another path")
    check_page(report / PAGE, ScoringError)
    others = [path.name for path in report.iterdir() if not path.name.startswith(".")] if report.exists() else []
    if others and not any((report / name).exists() for name in _MARKS):
        held = f"{report} holds {min(others)!r} and no report"
        raise ScoringError(f"{held}, so nothing is put there; choose another path")


def check_table(path: Path, noun: str) -> None:
    """Check that a CSV of rows by system may be written at `path`.

    Raises:
        ScoringError: something else is there.
    """
    check_file(path, noun, _is_table, ScoringError)


def page_files(plots: Iterable[Plot], tables: Iterable[Table]) -> dict[str, str]:
    """Return figures and tables by their places in the folder: SVG by theme, and what they show as CSV; tables as
    `table_files` has them.
    """
    plots = list(plots)
    pictures = {f"{_PLOTS}/{plot.name}.{theme}.svg": svg for plot in plots for theme, svg in plot.svgs.items()}
    data = {f"{_PLOTS}/{plot.name}.csv": as_csv([_rounded(row) for row in plot.data]) for plot in plots if plot.data}
    shown = {f"{_TABLES}/{name}": text for table in tables for name, text in table_files(table).items()}
    return pictures | data | shown


def remove_stale(report: Path, files: Mapping[str, str]) -> None:
    """Remove figures and tables of an earlier page that are not among those of this one."""
    _remove(report / _PLOTS, files, [f".{theme.name}.svg" for theme in THEMES], [".csv"])
    _remove(report / _TABLES, files, [".csv", ".tex", ".json"], [".md"])


def _remove(folder: Path, files: Mapping[str, str], endings: Sequence[str], later: Sequence[str] = ()) -> None:
    """Remove what is not among `files`, of which there is a file for each ending; not every page has those `later`."""
    for first in folder.glob(f"*{endings[0]}"):
        earlier = [first.with_name(first.name.removesuffix(endings[0]) + ending) for ending in endings]
        if f"{folder.name}/{first.name}" not in files and all(path.is_file() for path in earlier):
            for path in (*earlier, *(first.with_name(first.name.removesuffix(endings[0]) + end) for end in later)):
                path.unlink(missing_ok=True)


def _rounded(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return a row whose numbers have the six digits that a figure shows at most."""

    def rounded(value: Any) -> Any:
        if isinstance(value, tuple):
            return tuple(map(rounded, value))
        return float(f"{value:.6g}") if isinstance(value, float) else value

    return {name: rounded(value) for name, value in row.items()}


def _is_table(path: Path) -> bool:
    return "system" in read_text(path).partition("\n")[0].split(",")[:2]  # of several runs, the run comes first
