"""Vectors and matrices of Kaldi archives: binary, compressed or text, plain or gzipped, and ranges of them.

They are read forwards alone, so that a gzipped archive is read as fast as another, and nothing in them is executed. The
formats are those of Kaldi's matrix/kaldi-matrix.cc, kaldi-vector.cc and compressed-matrix.cc.
"""

import gzip
import math
import re
import struct
import zlib
from pathlib import Path
from typing import Any, BinaryIO, cast

import numpy as np
from numpy.typing import NDArray

_MOST_BYTES = 64 << 20  # of the text of one array
_LONGEST_TOKEN = 8
_INTEGER = np.dtype([("bytes", "i1"), ("number", "<i4")])  # Kaldi writes 4 before each
_PLAIN = {b"FV ": ("<f4", 1), b"DV ": ("<f8", 1), b"FM ": ("<f4", 2), b"DM ": ("<f8", 2)}
_COMPRESSED = {b"CM ": "", b"CM2 ": "<u2", b"CM3 ": "u1"}
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


def write_vector(file: BinaryIO, key: str, vector: NDArray[np.float32]) -> int:
    """Append a key and its vector, binary; returns the offset that an index gives for it."""
    file.write(f"{key} ".encode())
    offset = file.tell()
    file.write(b"\0BFV \4" + struct.pack("<i", len(vector)) + vector.astype("<f4").tobytes())
    return offset


def _read_binary(file: BinaryIO) -> NDArray[Any]:
    kind = file.read(1)
    if kind == b"\4":  # a vector of int32: its length, and each number behind the count of its bytes
        (size,) = _numbers(file, "<i4", 1).tolist()
        return _numbers(file, _INTEGER, size)["number"]
    while not kind.endswith(b" ") and len(kind) < _LONGEST_TOKEN:
        kind += _exactly(file, 1)
    if kind in _COMPRESSED:
        return _read_compressed(file, _COMPRESSED[kind])
    if kind not in _PLAIN:
        raise ValueError(f"it begins with {kind!r}, which is no array of Kaldi")
    number, axes = _PLAIN[kind]
    shape = _numbers(file, _INTEGER, axes)["number"].tolist()
    return _numbers(file, number, *shape)


def _read_compressed(file: BinaryIO, number: str) -> NDArray[np.float32]:
    """Read a matrix of 1 or 2 bytes a number, between a least number and that plus a range."""
    least, span = _numbers(file, "<f4", 2)
    rows, columns = _numbers(file, "<i4", 2).tolist()
    if number:
        stored = _numbers(file, number, rows, columns)
        return least + np.float32(span / np.iinfo(number).max) * stored.astype(np.float32)
    # A byte between the quartiles of its column, which are given in 16 bits; column by column, rounded as Kaldi does.
    quartiles = _numbers(file, "<u2", columns, 4).astype(np.float32)
    low, quarter, three, high = (least + span * np.float32(1 / 65_535) * quartiles).T[..., None]
    stored = _numbers(file, "u1", columns, rows).astype(np.float32)
    below = low + (quarter - low) * stored * (1 / np.float64(64))
    between = quarter + (three - quarter) * (stored - 64) * (1 / np.float64(128))
    above = three + (high - three) * (stored - 192) * (1 / np.float64(63))
    return np.where(stored <= 64, below, np.where(stored <= 192, between, above)).T.astype(np.float32)


def _numbers(file: BinaryIO, number: Any, *shape: int) -> NDArray[Any]:
    """Read an array of a shape."""
    if min(shape) < 0:
        raise ValueError("it has a size below zero")
    kind = np.dtype(number)
    return np.frombuffer(_exactly(file, kind.itemsize * math.prod(shape)), kind).reshape(shape)


def _exactly(file: BinaryIO, count: int) -> bytes:
    """Read so many bytes, and never take more memory than there are."""
    data = bytearray()
    while len(data) < count:
        part = file.read(min(count - len(data), 1 << 20))
        if not part:
            raise ValueError("cut short")
        data += part
    return bytes(data)


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
