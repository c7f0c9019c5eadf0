"""Tables of text: the delimiter, quotes and row ends are told from the file, row by row.

A row is one line, unless its text is properly quoted over several. A quotation mark that is never closed is text.
"""

import csv
import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from itertools import islice
from pathlib import Path

from reseed.stages.audio.listing import AUDIO_SUFFIXES
from reseed.stages.audio.lists.columns import has_path, no_path, path_column, repeated_column
from reseed.stages.audio.lists.row import Row
from reseed.stages.audio.lists.text import numbered_lines
from reseed.store import ManifestError
from reseed.store.url import AnyPath

_DELIMITERS = {",": "comma", "\t": "tab", ";": "semicolon", "|": "bar"}
_LONGEST = 100  # lines of one row

Numbered = tuple[int, str]


def delimited_rows(source: AnyPath, encoding: str) -> Iterator[Row]:
    """Yield each row of a table with a header, the unreadable with their reason.

    Raises:
        ManifestError: it cannot be read, or its header names a column twice that is read.
    """
    numbered = (each for each in numbered_lines(source, encoding) if each[1].strip())
    header = next((line for _, line in numbered if not _is_before_header(line)), None)
    if header is None:
        return
    delimiter, names = _dialect(source, header)
    table = _Table(delimiter, names)
    waiting: list[Numbered] = []
    while True:
        if not waiting:
            waiting.extend(islice(numbered, 1))
        if not waiting:
            return
        number, line = waiting.pop(0)
        fields = table.quoted(line)
        if fields is None and '"' in line:
            fields = table.joined(line, waiting, numbered)
        if fields is None:
            fields = table.literal(line)
        if fields is None:
            yield Row(f"line {number}", problem=table.problem(line))
        elif fields == names:
            yield Row(f"line {number}", problem="is the header once more: of lists that are joined one is enough")
        else:
            yield Row(f"line {number}", dict(zip(names, fields, strict=True)))


class _Table:
    """How the rows of a table are divided."""

    def __init__(self, delimiter: str, names: Sequence[str]) -> None:
        self._delimiter, self._width, self._path_at = delimiter, len(names), names.index(path_column(names))
        self._named = max(number for number, name in enumerate(names, start=1) if name)

    def quoted(self, line: str) -> list[str] | None:
        """Return the fields of a row whose quotes are closed; None: it has none, or other than the header."""
        if self._width == 1 and '"' not in line:
            return [line.strip()]
        for text in dict.fromkeys((line, line.replace('\\"', '""'))):  # a quote in a text is "" or \"
            try:
                is_spaced = self._delimiter != "\t"
                (fields,) = csv.reader([text], delimiter=self._delimiter, strict=True, skipinitialspace=is_spaced)
            except (csv.Error, ValueError):
                continue
            if fitting := self._fitting(fields):
                return fitting
        return None

    def literal(self, line: str) -> list[str] | None:
        """Return the fields of a row in which a quotation mark is text."""
        return self._fitting(line.split(self._delimiter) if self._width > 1 else [line])

    def joined(self, line: str, waiting: list[Numbered], rest: Iterator[Numbered]) -> list[str] | None:
        """Return the fields of a row that is quoted over several lines, and take these from what follows."""
        text = line
        for taken in range(1, _LONGEST):
            if len(waiting) < taken:
                waiting.extend(islice(rest, 1))
            if len(waiting) < taken:
                return None
            following = waiting[taken - 1][1]
            if self._is_row(following, line):
                return None
            text = f"{text}\n{following}"
            if '"' in following and (fields := self.quoted(text)):
                del waiting[:taken]
                return fields
        return None

    def _is_row(self, line: str, before: str) -> bool:
        """Whether a line is a row by itself, and no part of a text that the row before it leaves open."""
        fits = (self.quoted(line) or self.literal(line)) is not None
        names_file = self._names_file(line)
        if line.count('"') % 2 == 0:
            return fits or names_file
        if names_file or self._names_file(before):
            return names_file and self._names_file(before)
        return fits and self._has_path(before)

    def _names_file(self, line: str) -> bool:
        fields = (field.strip(' "') for field in line.split(self._delimiter))
        return any(Path(field).suffix.lower() in AUDIO_SUFFIXES for field in fields)

    def _has_path(self, line: str) -> bool:
        """Whether the path of a row stands before the quote that it leaves open."""
        with suppress(csv.Error, ValueError):
            (fields,) = csv.reader([line], delimiter=self._delimiter, skipinitialspace=self._delimiter != "\t")
            return self._path_at < len(fields) - 1
        return False

    def problem(self, line: str) -> str:
        """Return why a row cannot be read."""
        if "\0" in line:
            return "holds a NUL: the list is damaged"
        found = len(line.split(self._delimiter))
        word = _DELIMITERS[self._delimiter]
        if line.count('"') % 2:
            return f'has a quotation mark that is never closed: write "" for one that is text (header: {self._width})'
        return f"has {found} fields, and the header {self._width}: quote a text that holds a {word}"

    def _fitting(self, fields: Sequence[str]) -> list[str] | None:
        """Return as many fields as the header has; those without a name may be left out."""
        if not self._named <= len(fields) <= self._width or any("\0" in field for field in fields):
            return None
        return [*(field.strip() for field in fields), *[""] * (self._width - len(fields))]


def _is_before_header(line: str) -> bool:
    """Whether a line is Excel's word on the delimiter, or a comment and no header behind a #."""
    if re.fullmatch(r'"?sep=.?"?', line.strip()):
        return True
    return line.startswith("#") and not any(has_path(_names(line, each)) for each in _DELIMITERS)


def _dialect(source: AnyPath, header: str) -> tuple[str, list[str]]:
    """Return the delimiter that gives a column for the path, else the one that gives most columns; and the names."""
    likely = "\t" if ".tsv" in source.name.lower() else ","
    delimiters = sorted(_DELIMITERS, key=lambda each: each != likely)
    divided = {each: _names(header, each) for each in delimiters}
    found = max(delimiters, key=lambda each: (has_path(divided[each]), len(divided[each])))
    names = divided[found]
    if not has_path(names):
        raise no_path(str(source), names)
    if twice := repeated_column(names):
        raise ManifestError(f"{source} has the column {twice} twice; rename one")
    return found, names


def _names(header: str, delimiter: str) -> list[str]:
    try:
        (names,) = csv.reader([header], delimiter=delimiter, strict=True, skipinitialspace=delimiter != "\t")
    except (csv.Error, ValueError):
        names = header.split(delimiter)
    return [name.strip("# ") if not number else name.strip() for number, name in enumerate(names)]
