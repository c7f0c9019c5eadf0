"""Where the bytes of a recording are: in a file of their own, or in a part of another one. Nothing here opens it.

As text, which is what the column `path` of a manifest holds:

    /data/a.flac                           a file
    /data/shard-000003.tar:1536+48210      48,210 bytes of a file, from byte 1,536 on
    /data/set.zip:1536+48210,deflate       the same, compressed
    /data/train.parquet:audio.bytes[17]    a cell of a Parquet table: column, and row counted from 0
    s3://bucket/a.flac                     a file of a store; parts of it as above

A path that is a file is that file, whatever it looks like.
"""

import os
import re
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

from reseed.store.url import AnyPath, Url, is_url

_RANGE = re.compile(r"(?P<file>.+):(?P<start>\d{1,19})\+(?P<length>\d{1,19})(?P<deflated>,deflate)?", re.DOTALL)
_CELL = re.compile(r"(?P<file>.+):(?P<column>[^:/\[\]]+)\[(?P<row>\d{1,19})\]", re.DOTALL)


@dataclass(frozen=True)
class ByteRange:
    """`length` bytes of a file from `start` on, which `deflate` may have compressed.

    Attributes:
        crc32: what an archive that has just been walked says of what they hold; no part of the place.
    """

    start: int
    length: int
    is_deflated: bool = False
    crc32: int | None = field(default=None, compare=False)

    def __str__(self) -> str:
        """Return it as it stands behind the name of the file."""
        return f"{self.start}+{self.length}" + (",deflate" if self.is_deflated else "")


@dataclass(frozen=True)
class Cell:
    """One value of a column of a Parquet table; of a member of a struct the column is "audio.bytes"."""

    column: str
    row: int

    def __str__(self) -> str:
        """Return it as it stands behind the name of the file."""
        return f"{self.column}[{self.row}]"


@dataclass(frozen=True)
class Location:
    """A file, or a part of one."""

    file: str
    part: ByteRange | Cell | None = None

    @classmethod
    def of(cls, where: "AnyPath | Location") -> "Location":
        """Take a path or URL as the file that it names."""
        return where if isinstance(where, Location) else cls(str(where))

    @classmethod
    def parse(cls, text: str) -> "Location":
        """Read what `str` has written."""
        match = _RANGE.fullmatch(text) or _CELL.fullmatch(text)
        if match is None or os.path.lexists(text):
            return cls(text)
        given = match.groupdict()
        if "row" in given:
            return cls(given["file"], Cell(given["column"], int(given["row"])))
        return cls(given["file"], ByteRange(int(given["start"]), int(given["length"]), bool(given["deflated"])))

    @property
    def is_remote(self) -> bool:
        """Whether the file is one of a store, and `file` its URL."""
        return is_url(self.file)

    @cached_property
    def path(self) -> Path:
        """The file, which is one of this machine."""
        return Path(self.file)

    @property
    def suffix(self) -> str:
        """The suffix of the file, in lower case."""
        return (Url(self.file) if self.is_remote else self.path).suffix.lower()

    def resolved(self) -> "Location":
        """Return the same with the path of its file made absolute, its links followed."""
        return self if self.is_remote else replace(self, file=str(self.path.resolve()))

    def __str__(self) -> str:
        """Return it as one text."""
        return self.file if self.part is None else f"{self.file}:{self.part}"
