"""Places in stores, by their URLs: s3://bucket/folder/a.flac, gs://..., https://host/list.csv.

Only what is asked of lists and folders here of `pathlib.Path` can be asked of a URL.
"""

import io
import os
import re
import stat
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO, Literal, cast
from urllib.parse import quote, unquote

from reseed.store.remote import PACKAGES, ask
from reseed.store.remote_file import RemoteFile, state_of_url

_URL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+)://(.*)", re.DOTALL)  # a letter alone is a drive of Windows
_UNQUOTED = "!$&'()*+,;=:@~"  # in a name
_BUFFER = 1 << 16
_SIGNED = re.compile(r"([?&](?:X-(?:Amz|Goog)-Signature|Signature|sig|(?:access_)?token)=)[^&]*", re.IGNORECASE)


def is_url(text: str) -> bool:
    """Whether a text is a URL, rather than the path of a file."""
    return "://" in text and _URL.fullmatch(text) is not None


def without_secrets(text: str) -> str:
    """Return a URL to be shown or written down."""
    return re.sub(r"(?<=://)[^/@]*@", "...@", _SIGNED.sub(r"\1...", text)) if is_url(text) else text


def path_or_url(text: str) -> "AnyPath":
    """Return what a text names: a file or folder of this machine, or of a store.

    Raises:
        ValueError: a URL that is none of a store; says so, to be read after the URL.
    """
    return Url(text) if is_url(text) else Path(text)


@dataclass(frozen=True)
class Url:
    """A place in a store, such as "s3://bucket/speech".

    Raises:
        ValueError: no store has such a place, or it holds a secret; says so, to be read after the URL.
    """

    text: str

    def __post_init__(self) -> None:
        match = _URL.fullmatch(self.text)
        protocol, place = match.groups() if match else ("", "")
        host, path = place.partition("/")[::2]
        if protocol not in PACKAGES:
            raise ValueError(
                f"is an address of a kind that is not read ({protocol}); http, https, s3, gs and others are"
            )
        if not host or "\0" in place or "\\" in host:
            raise ValueError("is an address without a bucket or host")
        if "@" in host and (":" in host.partition("@")[0] or self._is_web):
            raise ValueError("is an address with a password, which would be written down: put it into ~/.netrc")
        if _SIGNED.search(place):
            raise ValueError("is an address with a signature, which would be written down: give the store's own")
        if ".." in unquote(path).replace("\\", "/").split("/"):
            raise ValueError("is an address that leads upwards (..)")

    def __str__(self) -> str:
        """Return it as it is written."""
        return self.text

    def __truediv__(self, relative: str) -> "Url":
        """Return what lies below, or beside by "../"; names are those of files, which HTTP writes in another way."""
        host, *found = self._path.rstrip("/").split("/")[2:]
        for name in relative.split("/"):
            if name == ".." and found:
                found.pop()
            elif name not in ("", "."):
                found.append(quote(name, safe=_UNQUOTED) if self._is_web else name)
        return Url("/".join([self.protocol + ":/", host, *found]))

    def resolve(self) -> "Url":
        """Return it as it is: nothing here is a link."""
        return self

    @property
    def protocol(self) -> str:
        """What it begins with: "s3"."""
        return self.text.partition("://")[0]

    @property
    def name(self) -> str:
        """The name of the file or folder."""
        return self._plain(self._path.rstrip("/").rpartition("/")[2])

    @property
    def suffix(self) -> str:
        """The suffix of that name."""
        return PurePosixPath(self.name).suffix

    @property
    def parent(self) -> "Url":
        """The folder that holds it."""
        return self / ".."

    def with_name(self, name: str) -> "Url":
        """Return a file beside it."""
        return self.parent / name

    def holds(self, url: "Url") -> bool:
        """Whether a file is this one, or lies below."""
        folder, path = (each._plain(each._path).rstrip("/") for each in (self, url))
        return self.text.split("/")[:3] == url.text.split("/")[:3] and (path + "/").startswith(folder + "/")

    def relative(self, url: str) -> str:
        """Return the path of a file below, from here on."""
        return self._plain(url.removeprefix(self._path.rstrip("/")).lstrip("/"))

    def exists(self) -> bool:
        """Whether there is such a file or folder.

        Raises:
            OSError: its store cannot be asked.
        """
        try:
            return bool(ask(self.text, lambda system: system.info(self.text)))
        except FileNotFoundError:
            return False

    def is_dir(self) -> bool:
        """Whether it is a folder: on a web server by its name, which ends in / or has no suffix."""
        if self._is_web:
            return self._path.endswith("/") or "." not in self.name
        try:
            return bool(ask(self.text, lambda system: system.info(self.text)).get("type") == "directory")
        except FileNotFoundError:
            return False

    def is_file(self) -> bool:
        """Whether there is such a file.

        Raises:
            OSError: its store cannot be asked.
        """
        try:
            state_of_url(self.text)
        except (FileNotFoundError, IsADirectoryError, PermissionError):  # a store may hide so what is not there
            return False
        return True

    def stat(self) -> os.stat_result:
        """Return its size, as that of a regular file.

        Raises:
            OSError: there is none, or its store cannot be asked.
        """
        return os.stat_result((stat.S_IFREG, 0, 0, 1, 0, 0, state_of_url(self.text).size or 0, 0, 0, 0))

    def open(self, mode: Literal["rb"] = "rb") -> BinaryIO:
        """Open the file for reading.

        Raises:
            OSError: as `stat`.
        """
        return cast(BinaryIO, io.BufferedReader(_Reader(RemoteFile(self.text)), _BUFFER))

    @property
    def _is_web(self) -> bool:
        return self.text.startswith("http")

    @property
    def _path(self) -> str:
        return re.split("[?#]", self.text)[0] if self._is_web else self.text

    def _plain(self, path: str) -> str:
        return unquote(path) if self._is_web else path


AnyPath = Path | Url


class _Reader(io.RawIOBase):
    def __init__(self, file: RemoteFile) -> None:
        self._file, self._place = file, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._place = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._place, io.SEEK_END: self._file.size}[whence]
        return self._place

    def tell(self) -> int:
        return self._place

    def readinto(self, buffer: Any) -> int:
        found = self._file.read_at(self._place, len(buffer))
        buffer[: len(found)] = found
        self._place += len(found)
        return len(found)
