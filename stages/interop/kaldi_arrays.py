"""Vectors and matrices of Kaldi archives: binary, compressed or text, plain or gzipped, and ranges of them.

They are read forwards alone, so that a gzipped archive is read as fast as another. kaldiio's own loaders would execute
a pickle and a command, and take text whose first number has no point for whole numbers.
"""

import gzip
import re
import struct
import zlib
from pathlib import Path
from typing import Any, BinaryIO, cast

import numpy as np
from kaldiio.matio import read_int32vector, read_matrix_or_vector
from numpy.typing import NDArray

_MOST_BYTES = 64 << 20  # of the text of one array
_RANGE = re.compile(r"(\d+):(\d+)|(\d+)|:?")
_FAULTS = (
    *(OSError, EOFError, zlib.error),
    *(ValueError, RuntimeError, AssertionError, OverflowError, MemoryError, struct.error),
)


def open_archive(path: Path) -> BinaryIO:
    """Open an archive, gzipped or not, whatever its name."""
    file = path.open("rb")
    is_gzipped = file.read(2) == b"\x1f\x8b"
    file.seek(0)
    if not is_gzipped:
        return file
    file.close()
    return cast(BinaryIO, gzip.open(path, "rb"))


def read_array(file: BinaryIO, ranges: str = "") -> NDArray[Any]:
    """Return the array that begins where `file` stands, behind its key.

    Args:
        ranges: what is taken of it, as in an index: "0:3", or of a matrix "0:3,0:5"; both ends are included.

    Raises:
        ValueError: it is cut short or no array, or has no such range.
    """
    try:
        beginning = file.read(2)
        array = _read_binary(file) if beginning == b"\0B" else _read_text(beginning, file)
    except _FAULTS as error:
        raise ValueError(str(error)[:200] or "not an array") from error
    if ranges:
        array = _cut(array, ranges)
    if not array.size:
        raise ValueError("it is empty")
    return array


class _Whole:
    """What kaldiio reads from: never less than it asks for, and never more memory than there are bytes."""

    def __init__(self, file: BinaryIO, beginning: bytes) -> None:
        self._file, self._beginning = file, beginning

    def read(self, count: int) -> bytes:
        data = bytearray(self._beginning[:count])
        self._beginning = self._beginning[count:]
        while len(data) < count:
            part = self._file.read(min(count - len(data), 1 << 20))
            if not part:
                raise ValueError("cut short")
            data += part
        if count < 0:
            raise ValueError("it has a size below zero")
        return bytes(data)


def _read_binary(file: BinaryIO) -> NDArray[Any]:
    kind = file.read(1)
    read = read_int32vector if kind == b"\4" else read_matrix_or_vector
    array: NDArray[Any] = read(_Whole(file, b"\0B" + kind))
    return array


def _read_text(beginning: bytes, file: BinaryIO) -> NDArray[np.float32]:
    """Read "[ 1 2 3 ]", rows on lines of their own, or numbers to the end of the line."""
    parts = [beginning if beginning.endswith(b"\n") else beginning + file.readline(_MOST_BYTES)]
    is_bracketed = parts[0].lstrip().startswith(b"[")
    size = len(parts[0])
    while is_bracketed and b"]" not in parts[-1]:
        parts.append(file.readline(_MOST_BYTES))
        size += len(parts[-1])
        if not parts[-1] or size > _MOST_BYTES:
            raise ValueError("cut short: there is no ] behind its [")
    body, _, rest = b"".join(parts).strip().removeprefix(b"[").partition(b"]")
    rows = [line.split() for line in body.split(b"\n") if line.strip()]
    if rest.strip() or b"_" in body:
        raise ValueError("not numbers alone")
    if len({len(row) for row in rows}) > 1:
        raise ValueError("its rows have unlike lengths")
    return np.array(rows[0] if len(rows) == 1 else rows, np.bytes_).astype(np.float64).astype(np.float32)


def _cut(array: NDArray[Any], ranges: str) -> NDArray[Any]:
    """Return the part of an array that lies within Kaldi's ranges, which include their ends."""
    parts = ranges.split(",")
    if len(parts) > array.ndim:
        raise ValueError(f"the range [{ranges}] is of {len(parts)} axes, the array has {array.ndim}")
    slices = []
    for part, size in zip(parts, array.shape, strict=False):
        found = _RANGE.fullmatch(part)
        if found is None:
            raise ValueError(f"the range [{ranges}] is not FIRST:LAST or FIRST:LAST,FIRST:LAST")
        first = int(found[1] or found[3] or 0)
        last = int(found[2] or found[3] or size - 1)
        if not first <= last < size:
            raise ValueError(f"the range [{ranges}] is not within {list(array.shape)}")
        slices.append(slice(first, last + 1))
    return array[tuple(slices)]
