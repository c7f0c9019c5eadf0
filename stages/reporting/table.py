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
        text, small, title: the number, the small print under it, and what hovering says.
        value, interval: the same unrounded, in the unit shown; by the value the table is sorted.
    """

    text: str = ABSENT
    small: str = ""
    title: str = ""
    is_best: bool = False
    value: float | None = None
    interval: Interval | None = None


@dataclass(frozen=True)
class Column:
    """A column: its heading, what stands small above it, and the style of the system it is about."""

    heading: str
    above: str = ""
    style: Style | None = None

    @property
    def name(self) -> str:
        """Its heading in one line."""
        return f"{self.above}, {self.heading}" if self.above else self.heading


@dataclass(frozen=True)
class Row:
    """One row: its heading, a key (the view's name), cells in the order of the columns, and its kind for styling."""

    heading: str
    key: str
    cells: list[Cell]
    kind: str = ""
    style: Style | None = None


@dataclass(frozen=True)
class Table:
    """A table. `name` is its id on the page and its file name under tables/; `unit` says what its numbers are."""

    name: str
    title: str
    unit: str
    corner: str
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
    with_interval = {place for row in table.rows for place, cell in enumerate(row.cells) if cell.interval is not None}
    for row in table.rows:
        record: dict[str, Any] = {table.corner: row.heading}
        for place, (column, cell) in enumerate(zip(table.columns, row.cells, strict=True)):
            record[column.name] = cell.value
            if place in with_interval:
                low, high = cell.interval or (None, None)
                record[f"{column.name}, 95 % low"], record[f"{column.name}, 95 % high"] = low, high
        yield record


def _json(table: Table) -> str:
    content = {"title": table.title, "unit": table.unit, "rows": list(_records(table))}
    return json.dumps(content, indent=1, ensure_ascii=False) + "\n"


def _tex(table: Table) -> str:
    headings = [table.corner, *(column.name for column in table.columns)]
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
    return f"{bold} {{\\scriptsize ({_escaped(cell.small)})}}" if cell.small else bold


def _escaped(text: str) -> str:
    return "".join(_TEX.get(character, character) for character in text)
