"""A table of the page: what its cells show, and the same table as CSV, LaTeX, Markdown and JSON."""

import csv
import io
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from reseed.stages.reporting.metrics.base import Interval
from reseed.stages.reporting.results.styles import Style

ABSENT = "–"
FORMATS = ("csv", "tex", "md", "json")
_MARKS = {0.001: "***", 0.01: "**", 0.05: "*"}  # the least p-value that has none of the marks before
_MARKED = "* p < 0.05, ** p < 0.01, *** p < 0.001"

_TEX = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    **{character: "\\" + character for character in "&%$#_{}"},
    "<": "$<$",
    ">": "$>$",
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
        p_value: of there being no difference, corrected, where it is one that the table's unit names.
    """

    text: str = ABSENT
    small_print: str = ""
    tooltip: str = ""
    is_best: bool = False
    value: float | None = None
    interval: Interval | None = None
    p_value: float | None = None

    @property
    def mark(self) -> str:
        """Asterisks where the p-value is low."""
        p = 1.0 if self.p_value is None else self.p_value
        return next((mark for level, mark in _MARKS.items() if p < level), "")


@dataclass(frozen=True)
class Column:
    """A column: its heading, that of the columns that it belongs to, and the style of the system it is about.

    Attributes:
        is_folded: its cells are long, and unfolded by a press.
    """

    heading: str
    group: str = ""
    style: Style | None = None
    is_folded: bool = False

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
        is_folded: it is unfolded by a press.
    """

    name: str
    title: str
    unit: str
    row_heading: str
    columns: list[Column]
    rows: list[Row]
    is_folded: bool = False

    @property
    def key(self) -> str:
        """What the marks of its cells mean; empty where it has none."""
        return _MARKED if any(cell.mark for row in self.rows for cell in row.cells) else ""


def table_files(table: Table) -> dict[str, str]:
    """Return file name -> content: CSV, LaTeX (booktabs), Markdown and JSON."""
    contents = as_csv(list(_records(table))), _tex(table), _markdown(table), _json(table)
    return {f"{table.name}.{ending}": content for ending, content in zip(FORMATS, contents, strict=True)}


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
    """Yield each row as column -> unrounded number, or text; two more columns where there are intervals."""
    with_interval = {index for row in table.rows for index, cell in enumerate(row.cells) if cell.interval is not None}
    for row in table.rows:
        record: dict[str, Any] = {table.row_heading: row.heading}
        for index, (column, cell) in enumerate(zip(table.columns, row.cells, strict=True)):
            record[column.name] = cell.text if cell.value is None and cell.text != ABSENT else cell.value
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
        f"\\caption{{{_escaped('; '.join(filter(None, (f'{table.title}: {table.unit}', table.key))))}.}}",
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
    bold += f"$^{{{cell.mark}}}$" if cell.mark else ""
    return f"{bold} {{\\scriptsize ({_escaped(cell.small_print)})}}" if cell.small_print else bold


def _markdown(table: Table) -> str:
    headings = [table.row_heading, *(column.name for column in table.columns)]
    rows = [[row.heading, *map(_markdown_cell, row.cells)] for row in table.rows]
    aligned = ["---", *("---:" for _ in table.columns)]
    lines = [_markdown_row(map(_plain, headings)), _markdown_row(aligned)]
    lines += [_markdown_row([_plain(first), *cells]) for first, *cells in rows]
    told = "; ".join(filter(None, (f"{table.title}: {table.unit}", table.key)))
    return "\n".join([*lines, "", f"{_plain(told)}."]) + "\n"


def _markdown_row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _markdown_cell(cell: Cell) -> str:
    bold = f"**{_plain(cell.text)}**" if cell.is_best else _plain(cell.text)
    return f"{bold}{_plain(cell.mark)}{f' ({_plain(cell.small_print)})' if cell.small_print else ''}"


def _plain(text: str) -> str:
    """Return text that Markdown shows as it is."""
    return re.sub(r"([\\`*_|<>\[\]])", r"\\\1", text.replace("\n", " "))


def _escaped(text: str) -> str:
    return "".join(_TEX.get(character, character) for character in text)
