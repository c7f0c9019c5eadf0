"""What walking a file has shown, and pieces of a file read as one."""

import io
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, Protocol

from reseed.store import AudioError

Piece = bytes | range  # bytes put in, or places of the file


class Seekable(Protocol):
    """What is asked of a file."""

    def seek(self, offset: int, whence: int = 0, /) -> int:
        """Go to a place."""

    def read(self, size: int = -1, /) -> bytes:
        """Return up to so many bytes."""


@dataclass(frozen=True)
class Source:
    """A file of a known size."""

    file: Seekable
    size: int

    @classmethod
    def of(cls, file: Seekable) -> "Source":
        """Take a file from its beginning to its end."""
        return cls(file, file.seek(0, io.SEEK_END))

    def at(self, offset: int, count: int) -> bytes:
        """Return up to `count` bytes from `offset` on."""
        self.file.seek(offset)
        return self.file.read(count)


@dataclass(frozen=True)
class Layout:
    """How a file is to be decoded.

    Attributes:
        container: its name, such as "WAV".
        samples: how many of each channel it holds, as its frames or sizes have it; None: decoding tells.
        recordings: each is made of pieces that decode as one, for where the file as it is does not lead to `samples`;
            empty: it does.
        most_trimmed: of `samples`, how many a decoder may leave out at the ends, where an encoder says it added them.
        raw: what the pieces are (soundfile's arguments) if they have no header.
        ffmpeg: FFmpeg's demuxer where soundfile is not to be asked.
        md5: of the samples as they were before encoding, little-endian, `bits` each.
        offset: where it begins, behind tags; pieces count from there.
    """

    container: str
    samples: int | None = None
    recordings: tuple[tuple[Piece, ...], ...] = ()
    most_trimmed: int = 0
    raw: Mapping[str, Any] | None = None
    ffmpeg: str | None = None
    md5: bytes | None = None
    bits: int = 16
    offset: int = 0


class Stitched(io.RawIOBase):
    """Pieces of a file as one file, for reading."""

    def __init__(self, file: Seekable, pieces: Sequence[Piece]) -> None:
        self._file, self._pieces = file, pieces
        self.name = getattr(file, "name", "a piece of a file")  # for messages of decoders
        self._ends = list(accumulate(map(len, pieces)))
        self._place = 0

    def readable(self) -> bool:
        """Return that it can be read."""
        return True

    def seekable(self) -> bool:
        """Return that it can be sought in."""
        return True

    def tell(self) -> int:
        """Return the place of the next byte."""
        return self._place

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Go to a place, which may lie behind the end."""
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._place, io.SEEK_END: self._ends[-1] if self._ends else 0}[whence]
        self._place = max(0, start + offset)
        return self._place

    def read(self, size: int = -1) -> bytes:
        """Return up to so many bytes, or all."""
        left = max(0, (self._ends[-1] if self._ends else 0) - self._place)
        found = bytearray(left if size < 0 else min(size, left))
        del found[self.readinto(found) :]
        return bytes(found)

    def readinto(self, buffer: Any) -> int:
        """Fill a buffer, across pieces: decoders take a short read for the end of the file."""
        view = memoryview(buffer).cast("B")
        filled = 0
        while filled < len(view):
            index = bisect_right(self._ends, self._place)
            if index == len(self._pieces):
                break
            piece = self._pieces[index]
            inside = self._place - (self._ends[index] - len(piece))
            found = self._bytes(piece, inside, len(view) - filled)
            if not found:
                break
            view[filled : filled + len(found)] = found
            filled += len(found)
            self._place += len(found)
        return filled

    def _bytes(self, piece: Piece, inside: int, count: int) -> bytes:
        if isinstance(piece, bytes):
            return piece[inside : inside + count]
        self._file.seek(piece.start + inside)
        return self._file.read(min(count, len(piece) - inside))


def cut_short(found: int, announced: int, unit: str = "bytes of audio") -> AudioError:
    """Return the error that a file ends before what it announces."""
    return AudioError(f"is cut short: {found} of {announced} {unit} are there")
