"""A table of the page: what its cells show, and the same table as CSV, LaTeX and JSON."""

import csv
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from reseed.stages.reporting.metrics.base import Interval
from reseed.stages.reporting.results.styles import Style

ABSENT = "–"

_TEX = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    **{character: "\\" + character for character in "&%$#_{}"},
    "\u202f": r"\,",
    "–": "--",
    "−": "$-$",
    "·": r"$\cdot$",
}


@dataclass(frozen=True)
class Cell:
    """What a cell shows.

    Attributes:
        text, small_print, tooltip: the number, what is written under it, and what appears on hovering.
        value, interval: the same unrounded, in the unit shown; the table is sorted by the value.
    """

    text: str = ABSENT
    small_print: str = ""
    tooltip: str = ""
    is_best: bool = False
    value: float | None = None
    interval: Interval | None = None


@dataclass(frozen=True)
class Column:
    """A column: its heading, that of the columns that it belongs to, and the style of the system it is about."""

    heading: str
    group: str = ""
    style: Style | None = None

    @property
    def name(self) -> str:
        """Its heading in one line."""
        return f"{self.group}, {self.heading}" if self.group else self.heading


@dataclass(frozen=True)
class Row:
    """One row: its heading, what identifies it (the view's name), a cell per column, and its CSS class."""

    heading: str
    key: str
    cells: list[Cell]
    css_class: str = ""
    style: Style | None = None


@dataclass(frozen=True)
class Table:
    """A table.

    Attributes:
        name: its id on the page and its file name under tables/.
        unit: what its numbers are.
        row_heading: the heading of the column of row headings.
    """

    name: str
    title: str
    unit: str
    row_heading: str
    columns: list[Column]
    rows: list[Row]


def table_files(table: Table) -> dict[str, str]:
    """Return file name -> content: CSV, LaTeX (booktabs) and JSON."""
    return {
        f"{table.name}.csv": as_csv(list(_records(table))),
        f"{table.name}.tex": _tex(table),
        f"{table.name}.json": _json(table),
    }


def as_csv(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return rows as CSV, an interval ("..._ci95") as two columns."""
    flat: list[dict[str, Any]] = []
    for row in rows:
        ends = {
            f"{name}_{end}": value
            for name in row
            if name.endswith("_ci95")
            for end, value in zip(("low", "high"), row[name] or (None, None), strict=True)
        }
        flat.append({**{name: value for name, value in row.items() if not name.endswith("_ci95")}, **ends})
    buffer = io.StringIO()
    if flat:
        writer = csv.DictWriter(buffer, flat[0].keys(), lineterminator="\n")
        writer.writeheader()
        writer.writerows(flat)
    return buffer.getvalue()


def _records(table: Table) -> Iterator[dict[str, Any]]:
    """Yield each row as column -> unrounded number; two more columns where there are intervals."""
    with_interval = {index for row in table.rows for index, cell in enumerate(row.cells) if cell.interval is not None}
    for row in table.rows:
        record: dict[str, Any] = {table.row_heading: row.heading}
        for index, (column, cell) in enumerate(zip(table.columns, row.cells, strict=True)):
            record[column.name] = cell.value
            if index in with_interval:
                low, high = cell.interval or (None, None)
                record[f"{column.name}, 95 % low"], record[f"{column.name}, 95 % high"] = low, high
        yield record


def _json(table: Table) -> str:
    content = {"title": table.title, "unit": table.unit, "rows": list(_records(table))}
    return json.dumps(content, indent=1, ensure_ascii=False) + "\n"


def _tex(table: Table) -> str:
    headings = [table.row_heading, *(column.name for column in table.columns)]
    lines = [
        "% \\usepackage{booktabs}",
        "\\begin{table}",
        "\\centering",
        f"\\caption{{{_escaped(table.title)}: {_escaped(table.unit)}.}}",
        f"\\begin{{tabular}}{{l{'r' * len(table.columns)}}}",
        "\\toprule",
        _tex_row(map(_escaped, headings)),
        "\\midrule",
        *(_tex_row([_escaped(row.heading), *map(_tex_cell, row.cells)]) for row in table.rows),
        "\\bottomrule",
        "\\end{tabular}",
        "\\end{table}",
    ]
    return "\n".join(lines) + "\n"


def _tex_row(cells: Any) -> str:
    return " & ".join(cells) + " \\\\"


def _tex_cell(cell: Cell) -> str:
    text = _escaped(cell.text)
    bold = f"\\textbf{{{text}}}" if cell.is_best else text
    return f"{bold} {{\\scriptsize ({_escaped(cell.small_print)})}}" if cell.small_print else bold


def _escaped(text: str) -> str:
    return "".join(_TEX.get(character, character) for character in text)
