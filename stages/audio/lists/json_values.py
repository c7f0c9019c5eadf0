"""Lists in JSON: an object a line, an array, an object of objects (id -> row), printed on one line or over many."""

import json
from collections.abc import Iterator
from itertools import islice
from typing import Any

from reseed.stages.audio.lists.columns import has_path
from reseed.stages.audio.lists.row import Row
from reseed.stages.audio.lists.text import numbered_lines, pieces
from reseed.store import ManifestError
from reseed.store.bounded import LONGEST_LINE, MOST_BYTES, parse_json
from reseed.store.url import AnyPath

_ADVICE = "one object per line, an array of objects, or an object of objects by their ids"


def is_json(source: AnyPath, encoding: str) -> bool:
    """Whether a text begins as JSON does."""
    return _first_character(source, encoding) in ("{", "[")


def json_rows(source: AnyPath, encoding: str) -> Iterator[Row]:
    """Yield each row.

    Raises:
        ManifestError: a line or value is not JSON or no object.
    """
    first = _first_character(source, encoding)
    if first not in ("{", "["):
        if first:
            raise ManifestError(f"{source}, line 1: not JSON; {_ADVICE}")
        return
    if first == "{" and _is_of_lines(source, encoding):
        for number, line in numbered_lines(source, encoding):
            if line.strip():
                yield _row(source, number, _parsed(source, number, line))
        return
    values = _Values(source, pieces(source, encoding))
    if first == "[":
        found: Iterator[tuple[int, Any]] = values.array()
    elif _is_of_ids(_Values(source, pieces(source, encoding))):
        found = values.members()
    else:
        found = values.each()
    for number, value in found:
        yield _row(source, number, value)


def _first_character(source: AnyPath, encoding: str) -> str:
    for piece in pieces(source, encoding):
        if piece.strip():
            return piece.strip()[0]
    return ""


def _is_of_lines(source: AnyPath, encoding: str) -> bool:
    """Whether the first line is a whole object, and a row by itself."""
    text = "".join(islice(pieces(source, encoding), LONGEST_LINE >> 16)).lstrip()
    line, end, rest = text.partition("\n")
    try:
        value, length = json.JSONDecoder().raw_decode(line)
    except (ValueError, RecursionError):
        # broken, or the first of many lines
        return bool(end) and rest.lstrip().startswith("{") and line.rstrip().endswith("}")
    if line[length:].strip():
        return False  # of several objects
    return not _is_mapping_of_rows(value)


def _is_mapping_of_rows(value: object) -> bool:
    if not isinstance(value, dict) or not value or has_path(value):
        return False
    return all(isinstance(each, dict) and has_path(each) for each in value.values())


def _is_of_ids(values: "_Values") -> bool:
    """Whether the first member of an object is a row."""
    try:
        _, value = next(values.members(), (0, None))
    except ManifestError:
        return False
    return isinstance(value, dict) and not has_path([value["utterance_id"]]) and has_path(value)


def _parsed(source: AnyPath, number: int, text: str) -> Any:
    try:
        return parse_json(text)
    except ValueError as error:
        raise ManifestError(f"{source}, line {number}: not JSON ({error}); {_ADVICE}") from error


def _row(source: AnyPath, number: int, value: Any) -> Row:
    if not isinstance(value, dict):
        raise ManifestError(f"{source}, line {number}: not a JSON object; {_ADVICE}")
    return Row(f"line {number}", value)


class _Values:
    """The values of a JSON text, one at a time: only one is ever held."""

    def __init__(self, source: AnyPath, text: Iterator[str]) -> None:
        self._source, self._text = source, text
        self._held, self._at, self._line = "", 0, 1
        self._decoder = json.JSONDecoder()

    def array(self) -> Iterator[tuple[int, Any]]:
        """Yield (line, value) of each value of an array."""
        self._take("[")
        if self._next() == "]":
            return
        while True:
            yield self._value()
            if self._take(",]") == "]":
                return self._end()

    def members(self) -> Iterator[tuple[int, Any]]:
        """Yield (line, value) of each member of an object; the name of a row becomes its id."""
        self._take("{")
        if self._next() == "}":
            return
        while True:
            line, name = self._value()
            self._take(":")
            _, value = self._value()
            yield line, {**value, "utterance_id": name} if isinstance(value, dict) else value
            if self._take(",}") == "}":
                return self._end()

    def each(self) -> Iterator[tuple[int, Any]]:
        """Yield (line, value) of values that follow each other."""
        while self._next():
            yield self._value()

    def _end(self) -> None:
        if self._next():
            raise ManifestError(f"{self._source}, line {self._line}: there is more behind the end; {_ADVICE}")

    def _next(self) -> str:
        """Skip blanks, and return the character there; "" at the end."""
        while True:
            end = self._at
            while end < len(self._held) and self._held[end].isspace():
                end += 1
            self._line += self._held.count("\n", self._at, end)
            self._at = end
            if end < len(self._held):
                return self._held[end]
            if not self._more():
                return ""

    def _more(self, pieces: int = 1) -> bool:
        """Read so many pieces; what is behind is let go."""
        found = "".join(islice(filter(None, self._text), pieces))
        self._held, self._at = self._held[self._at :] + found, 0
        return bool(found)

    def _take(self, expected: str) -> str:
        found = self._next()
        if not found or found not in expected:
            wanted = " or ".join(expected)
            raise ManifestError(f"{self._source}, line {self._line}: not JSON ({wanted} is expected); {_ADVICE}")
        self._at += 1
        return found

    def _value(self) -> tuple[int, Any]:
        self._next()
        line, wanted = self._line, 1
        while True:
            try:
                _, end = self._decoder.raw_decode(self._held, self._at)
                if end < len(self._held) or not self._more():
                    break
            except RecursionError:
                raise ManifestError(f"{self._source}, line {line}: it is nested too deep; {_ADVICE}") from None
            except ValueError as error:
                if len(self._held) >= MOST_BYTES or not self._more(wanted):
                    raise ManifestError(f"{self._source}, line {line}: not JSON ({error}); {_ADVICE}") from error
                wanted *= 2
        text = self._held[self._at : end]
        self._line += text.count("\n")
        self._at = end
        return line, _parsed(self._source, line, text)
