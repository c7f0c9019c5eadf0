"""Read what somebody else may have written: regular files alone, and of text and JSON only so much, so deep.

Whatever is beyond reason is an OSError or a ValueError, as what is merely damaged is: who reads turns both into one
line that says what the file should be.
"""

import errno
import gzip
import io
import json
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, Literal, Protocol, cast

MOST_BYTES = 64 << 20  # a header of 100,000 shards
LONGEST_LINE = 1 << 20
DEEPEST = 64
_GZIP = b"\x1f\x8b"

_TOO_DEEP = f"it is nested deeper than {DEEPEST} levels"


class Readable(Protocol):
    """What is asked of a path to read a file."""

    def stat(self) -> os.stat_result:
        """Return its size, and that it is a file."""

    def open(self, mode: Literal["rb"]) -> BinaryIO:
        """Open it."""


def check_regular(path: Readable) -> int:
    """Check that a path is a file, for to open a pipe or to read a device may never end; returns its size in bytes.

    Raises:
        OSError: it is missing, or something else.
    """
    try:
        found = path.stat()
    except ValueError as error:  # a NUL in its name
        raise OSError(errno.EINVAL, f"has no name that a file can have ({error})", str(path)) from None
    if stat.S_ISDIR(found.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    if not stat.S_ISREG(found.st_mode):
        raise OSError(errno.EINVAL, "is not a regular file", str(path))
    return found.st_size


def read_text(path: Path, most: int = MOST_BYTES, encoding: str = "utf-8") -> str:
    """Return the text of a file.

    Raises:
        OSError: missing, or no regular file.
        ValueError: more than `most` bytes, or another encoding.
    """
    size = check_regular(path)
    with path.open("rb") as file:
        data = file.read(min(size, most) + 1)
    if len(data) > most:
        raise ValueError(f"it has more than {most:,} bytes")
    return data.decode(encoding)


def read_json(path: Path) -> Any:
    """Return the JSON in a file; raises as `read_text` and `parse_json` do."""
    return parse_json(read_text(path))


def parse_json(text: str | bytes) -> Any:
    """Return the value of a JSON text.

    Raises:
        ValueError: no JSON, longer than MOST_BYTES, nested deeper than DEEPEST, with a name that comes twice, or with
            text that is none.
    """
    if len(text) > MOST_BYTES:
        raise ValueError(f"it has more than {MOST_BYTES:,} bytes")
    try:
        value = json.loads(text, object_pairs_hook=_without_repeats)
    except RecursionError:
        raise ValueError(_TOO_DEEP) from None
    _check_depth(value)
    halves = "\\ud" in text.lower() if isinstance(text, str) else b"\\ud" in text.lower()
    if halves:  # half a character cannot be written again
        json.dumps(value, ensure_ascii=False).encode()
    return value


@contextmanager
def opened(path: Readable) -> Iterator[BinaryIO]:
    """Open a file to read its bytes, or those that gzip compressed into it.

    Raises:
        OSError: missing, or no regular file.
    """
    check_regular(path)
    with path.open("rb") as file:
        is_compressed = file.read(2) == _GZIP
        file.seek(0)
        if not is_compressed:
            yield file
            return
        with gzip.GzipFile(fileobj=file) as unpacked:
            yield cast(BinaryIO, unpacked)


def lines(path: Readable, encoding: str = "utf-8", newline: str | None = "\n") -> Iterator[str]:
    """Yield the lines of a text, compressed by gzip or not; `newline` is that of `open`.

    Raises:
        OSError, EOFError, zlib.error: missing, no regular file, or damaged.
        ValueError: a line of more than LONGEST_LINE characters, or another encoding.
    """
    with opened(path) as raw, io.TextIOWrapper(raw, encoding=encoding, newline=newline) as file:
        number = 0
        while line := file.readline(LONGEST_LINE + 1):
            number += 1
            if len(line) > LONGEST_LINE:
                raise ValueError(f"line {number} has more than {LONGEST_LINE:,} characters")
            yield line


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"the name {max(names, key=names.count)!r} comes twice in an object")
    return found


def _check_depth(value: Any) -> None:
    level: list[Any] = [[value]]
    for _ in range(DEEPEST + 1):
        inside = (each for outer in level for each in (outer.values() if isinstance(outer, dict) else outer))
        level = [each for each in inside if isinstance(each, dict | list)]
        if not level:
            return
    raise ValueError(_TOO_DEEP)
