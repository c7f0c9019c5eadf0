"""The bytes of a recording, wherever they are, as one file that is sought in.

Of a file that recordings are parts of, a handle is kept open over all of them, whichever thread reads; what was read
last is kept, so that what hashes a recording and what decodes it read it once.
"""

import errno
import hashlib
import io
import os
import stat
import zlib
from collections import OrderedDict
from collections.abc import Hashable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import lru_cache
from pathlib import Path
from tempfile import SpooledTemporaryFile
from threading import Lock
from typing import IO, Protocol

from reseed.stages.audio.cells import CellReader
from reseed.stages.audio.containers.layout import Seekable, Source, Stitched
from reseed.stages.audio.location import ByteRange, Cell, Location
from reseed.store import AudioError
from reseed.store.atomic import sha256_once, state_of_stat
from reseed.store.bounded import check_regular
from reseed.store.remote_file import RemoteFile
from reseed.store.url import Url

_MISSING = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP)
_HANDLES = 64  # files that are kept open
_TABLES = 2  # of these, tables of Parquet
_HELD_BYTES = 32 << 20  # of recordings that were read last
_LARGEST_HELD = 8 << 20  # a larger one is read piece by piece
_MOST_INFLATED = 1 << 30
_PIECE = 1 << 20


class Handle(Protocol):
    """A file that is read at any place, by several threads at once.

    Attributes:
        state: changes when the file does.
    """

    size: int
    state: Hashable

    def read_at(self, start: int, count: int) -> bytes:
        """Return `count` bytes from `start` on; fewer where the file ends."""


def whole_file(location: Location) -> Source:
    """Return the file that a recording lies in; it is kept open.

    Raises:
        AudioError, OSError: as `opened_bytes`.
    """
    handle = _handle(location)
    return Source(_Cursor(handle), handle.size)


@contextmanager
def opened_bytes(location: Location) -> Iterator[Seekable]:
    """Open a recording.

    Raises:
        AudioError: there is no such file, or no such part of it.
        OSError: it cannot be read.
    """
    if location.is_remote:
        remote = _remote(location)
        try:
            with _part(location, location.part or ByteRange(0, remote.size), remote) as part:
                yield part
            remote.check_same(location.part.length if isinstance(location.part, ByteRange) else remote.size)
        except FileNotFoundError as error:  # it was there a moment ago
            raise AudioError(str(error.strerror)) from error
        return
    if location.part is None:
        state_of_file(location)
        with location.path.open("rb") as file:
            yield file
        return
    with _part(location, location.part, _handle(location)) as part:
        yield part


def state_of_file(location: Location) -> Hashable:
    """Return what changes when the file of a recording does, as far as can be known without reading it.

    Raises:
        AudioError: it does not exist, is no file, or is empty.
    """
    if location.is_remote:
        return _remote(location).state
    try:
        found = location.path.stat()
    except (OSError, ValueError) as error:
        if isinstance(error, OSError) and error.errno not in _MISSING:
            raise
        raise AudioError("does not exist") from None
    if not stat.S_ISREG(found.st_mode):
        raise AudioError("is not a file")
    if not found.st_size:
        raise AudioError("is empty (0 bytes)")
    return state_of_stat(found)


def sha256_of(location: Location) -> str:
    """Return the SHA-256 of a recording's bytes as hex, computed once as long as its file is the same.

    Raises:
        AudioError: as `opened_bytes`, or the bytes have another CRC-32 than their place says.
        OSError: as `opened_bytes`.
    """
    if location.part is None and not location.is_remote:
        state_of_file(location)
        return sha256_once(location.path)
    return _sha256_of(location, state_of_file(location))


@lru_cache(maxsize=65_536)
def _sha256_of(location: Location, state: Hashable) -> str:
    hasher, found = hashlib.sha256(), 0
    announced = location.part.crc32 if isinstance(location.part, ByteRange) else None
    with opened_bytes(location) as file:
        while data := file.read(_PIECE):
            hasher.update(data)
            found = found if announced is None else zlib.crc32(data, found)
    if announced not in (None, found):
        raise AudioError("is damaged: its checksum (CRC-32) is another than the archive says")
    return hasher.hexdigest()


def _handle(location: Location) -> Handle:
    return _remote(location) if location.is_remote else _local(location.path, state_of_file(location))


def _remote(location: Location) -> RemoteFile:
    try:
        found = RemoteFile(str(Url(location.file)))
    except ValueError as error:
        raise AudioError(str(error)) from None
    except (FileNotFoundError, IsADirectoryError) as error:
        raise AudioError(str(error.strerror)) from error
    if not found.size:
        raise AudioError("is empty (0 bytes)")
    return found


@lru_cache(maxsize=_HANDLES)
def _local(path: Path, state: Hashable) -> "_LocalFile":
    return _LocalFile(path, state)


class _LocalFile:
    """A file of this machine; closed when nobody refers to it any more."""

    def __init__(self, path: Path, state: Hashable) -> None:
        self._descriptor: int | None = None
        self.size, self.state = check_regular(path), state
        self._descriptor = os.open(path, os.O_RDONLY)

    def read_at(self, start: int, count: int) -> bytes:
        assert self._descriptor is not None
        found = os.pread(self._descriptor, count, start)
        while len(found) < count and (more := os.pread(self._descriptor, count - len(found), start + len(found))):
            found += more
        return found

    def __del__(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)


def _part(location: Location, part: ByteRange | Cell, handle: Handle) -> AbstractContextManager[Seekable]:
    key = location, handle.state
    data = _RECENT.get(key)
    if data is None:
        if isinstance(part, Cell):
            data = _cells(location.file, handle.state).read(part.column, part.row)
            return _kept(key, data)
        if part.start + part.length > handle.size:
            raise AudioError(f"is cut short: its file ends at byte {handle.size} of {part.start + part.length}")
        if part.is_deflated:
            file = _inflated(handle, part)
            if file.seek(0, io.SEEK_END) > _LARGEST_HELD:
                return file
            file.seek(0)
            with file:
                data = file.read()
        elif part.length > _LARGEST_HELD:
            return nullcontext(Stitched(_Cursor(handle), (range(part.start, part.start + part.length),)))
        else:
            data = handle.read_at(part.start, part.length)
    return _kept(key, data)


def _kept(key: Hashable, data: bytes) -> io.BytesIO:
    if not data:
        raise AudioError("is empty (0 bytes)")
    if len(data) <= _LARGEST_HELD:
        _RECENT.put(key, data)
    return io.BytesIO(data)


@lru_cache(maxsize=_TABLES)
def _cells(file: str, state: Hashable) -> CellReader:
    handle = _handle(Location(file))
    return CellReader(Stitched(_Cursor(handle), (range(handle.size),)))


def _inflated(handle: Handle, part: ByteRange) -> IO[bytes]:
    """Return what deflate compressed into a range, on disk where it is large.

    Raises:
        AudioError: it is cut short or damaged, or far larger than recordings are.
    """
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    file = SpooledTemporaryFile(_LARGEST_HELD)  # noqa: SIM115  (closed by who asks for it)
    try:
        for place in range(part.start, part.start + part.length, _PIECE):
            data = handle.read_at(place, min(_PIECE, part.start + part.length - place))
            while data:
                file.write(inflater.decompress(data, _PIECE))
                data = inflater.unconsumed_tail
                if file.tell() > _MOST_INFLATED:
                    raise AudioError(f"has more than {_MOST_INFLATED >> 20} MiB once inflated; unpack it first")
        if not inflater.eof:
            raise AudioError("is cut short or damaged: what deflate compressed does not end")
    except zlib.error as error:
        file.close()
        raise AudioError(f"is damaged: what deflate compressed cannot be read ({error})") from error
    except BaseException:
        file.close()
        raise
    return file


class _Cursor:
    """A place in a file that others read, too."""

    def __init__(self, handle: Handle) -> None:
        self._handle, self._place = handle, 0

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._place, io.SEEK_END: self._handle.size}[whence]
        self._place = start + offset
        return self._place

    def read(self, size: int = -1, /) -> bytes:
        left = max(0, self._handle.size - self._place)
        found = self._handle.read_at(self._place, left if size < 0 else min(size, left))
        self._place += len(found)
        return found


class _Recent:
    """The bytes of recordings that were read last, up to `most` together."""

    def __init__(self, most: int) -> None:
        self._most, self._held = most, 0
        self._data: OrderedDict[Hashable, bytes] = OrderedDict()
        self._lock = Lock()

    def get(self, key: Hashable) -> bytes | None:
        with self._lock:
            if key in self._data:
                self._data.move_to_end(key)
            return self._data.get(key)

    def put(self, key: Hashable, data: bytes) -> None:
        with self._lock:
            if key not in self._data:
                self._data[key] = data
                self._held += len(data)
            while self._held > self._most:
                self._held -= len(self._data.popitem(last=False)[1])


_RECENT = _Recent(_HELD_BYTES)
