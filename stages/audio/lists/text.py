"""The text of a list, whatever it is encoded in, compressed by gzip or not."""

import codecs
import re
from collections.abc import Iterator

from reseed.stages.audio.listed import file_errors
from reseed.store import ManifestError
from reseed.store.bounded import lines, opened
from reseed.store.url import AnyPath

_ZIP = b"PK\3\4"
_HEAD_BYTES = 4096
_PIECE = 1 << 16
_MARKS = (  # the longer first: one begins with another
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_MARK = "\ufeff"  # at the beginning of a text, and of each of several that were joined
_RUN = re.compile(rb"[\x80-\xff]{2,}")


def encoding_of(path: AnyPath, notes: list[str]) -> str:
    """Tell in what a text is encoded; `notes` gets a word where it is neither marked nor UTF-8.

    Raises:
        ManifestError: it cannot be read, or its encoding cannot be told.
    """
    with file_errors(path), opened(path) as file:
        head = file.read(_HEAD_BYTES)
        if head.startswith(_ZIP):
            raise ManifestError(f"{path} is a spreadsheet or another zip file; save it as .csv")
        if found := _told_by(head):
            return found
        valid, invalid, first, high, in_runs = 0, 0, 0, 0, 0
        number = 1
        pending = head
        while piece := pending:
            pending = file.read(_PIECE)
            if not piece.endswith(b"\n") and pending:  # a line is looked at whole
                cut = piece.rfind(b"\n") + 1
                piece, pending = (piece[:cut], piece[cut:] + pending) if cut else (piece + pending, file.read(_PIECE))
            if not piece.isascii():
                for offset, line in enumerate(piece.split(b"\n")):
                    if line.isascii():
                        continue
                    try:
                        line.decode()
                        valid += 1
                    except UnicodeDecodeError:
                        invalid, first = invalid + 1, first or number + offset
                        high += sum(byte >= 0x80 for byte in line)
                        in_runs += sum(map(len, _RUN.findall(line)))
            number += piece.count(b"\n")
    if not invalid:
        return "utf-8"
    if valid or 2 * in_runs > high:
        also = "though other lines are" if valid else "nor Latin-1"
        raise ManifestError(f"{path} cannot be read: line {first} is not UTF-8 text, {also}; save the list as UTF-8")
    notes.append(f"{path.name} is not UTF-8 and was read as Latin-1")
    return "latin-1"


def _told_by(head: bytes) -> str | None:
    """Return the encoding that a mark at the beginning tells, or every second byte being 0."""
    for mark, name in _MARKS:
        if head.startswith(mark):
            return name
    if len(head) > 3 and b"\0" in head:
        even, odd = head[::2].count(0), head[1::2].count(0)
        if max(even, odd) > len(head) / 4 > 4 * min(even, odd):
            return "utf-16-le" if odd > even else "utf-16-be"
    return None


def numbered_lines(path: AnyPath, encoding: str) -> Iterator[tuple[int, str]]:
    """Yield (number, line without its end) of each line.

    Raises:
        ManifestError: it cannot be read.
    """
    with file_errors(path):
        for number, line in enumerate(lines(path, encoding, newline=None), start=1):
            yield number, line.rstrip("\n").lstrip(_MARK)


def pieces(path: AnyPath, encoding: str) -> Iterator[str]:
    """Yield a text a piece at a time.

    Raises:
        ManifestError: it cannot be read.
    """
    with file_errors(path), opened(path) as file:
        decoder = codecs.getincrementaldecoder(encoding)()
        while data := file.read(_PIECE):
            yield decoder.decode(data)
        yield decoder.decode(b"", final=True)
