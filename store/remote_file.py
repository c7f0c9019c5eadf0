"""Files of stores, read at any place: block by block, each fetched once whoever asks, the latest kept in memory."""

import errno
import os
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from threading import Lock
from typing import Any

from reseed.store.errors import AudioError
from reseed.store.remote import ask, fetch

_BLOCK = 4 << 20  # two minutes of speech: most recordings are fetched at once
_HELD_BYTES = 96 << 20  # of all files together
_LARGEST_WHOLE = 64 << 20  # from a server that sends no parts of files
_RECENT_S = 60.0  # what a store said of a file is not asked again
_MOST_ASKED = 4096
_VERSIONS = ("ETag", "etag", "generation", "LastModified", "Last-Modified", "last_modified", "updated", "mtime")


@dataclass(frozen=True)
class FileState:
    """What a store says of a file: its size in bytes (None: it does not say), and what changes when the file does."""

    size: int | None
    version: str

    @classmethod
    def of(cls, described: Mapping[str, Any]) -> "FileState":
        """Take it from fsspec's description of a file."""
        size, version = described.get("size"), next((described[key] for key in _VERSIONS if described.get(key)), "")
        return cls(None if size is None else int(size), str(version).strip('"'))


def state_of_url(url: str, is_fresh: bool = False) -> FileState:
    """Return what the store says of a file, or said within the last minute; `is_fresh`: now.

    Raises:
        OSError: it does not exist, is a folder, or cannot be asked for; `strerror` says so.
    """
    with _lock:
        state, asked_s = _asked.get(url, (None, 0.0))
    if state is None or is_fresh or time.monotonic() - asked_s > _RECENT_S:
        described = ask(url, lambda system: system.info(url))
        if described.get("type") == "directory":
            raise IsADirectoryError(errno.EISDIR, "is a folder")
        state = FileState.of(described)
        with _lock:
            _asked[url] = state, time.monotonic()
            _asked.move_to_end(url)
            while len(_asked) > _MOST_ASKED:
                _asked.popitem(last=False)
    return state


class RemoteFile:
    """A file of a store, read at any place by several threads.

    Raises:
        OSError: as `state_of_url`.
        AudioError: its server does not say how long it is.
    """

    def __init__(self, url: str) -> None:
        found = state_of_url(url)
        if found.size is None:
            raise AudioError("is of a length that its server does not say; copy it to a file")
        self.url, self.size = url, found.size
        self.state: Hashable = found  # changes when the file does
        self._block = _BLOCK

    def read_at(self, start: int, count: int) -> bytes:
        """Return `count` bytes from `start` on; fewer where the file ends.

        Raises:
            OSError: they cannot be read.
            AudioError: the file has changed.
        """
        end = min(start + count, self.size)
        pieces = []
        while start < end:
            block, inside = self._block_of(start)
            pieces.append(block[inside : inside + end - start])
            start += len(pieces[-1])
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def check_same(self, count: int) -> None:
        """Check that so many bytes are of one version, where several requests have fetched them.

        Raises:
            AudioError: the file has changed since it was opened.
            OSError: its store cannot be asked.
        """
        if count > _BLOCK and state_of_url(self.url, is_fresh=True) != self.state:
            raise AudioError("has changed while it was read")

    def _block_of(self, place: int) -> tuple[bytes, int]:
        """Return the block that holds a place, and where it is in there."""
        start = place // self._block * self._block
        end = min(start + self._block, self.size)
        try:
            block = _blocks.get((self.url, self.state, start, end), end - start, lambda: self._fetch(start, end))
        except _NoPartsError:
            if self.size > _LARGEST_WHOLE:
                text = f"is of {self.size:,} bytes, of which its server sends no parts; copy it to a file"
                raise AudioError(text) from None
            self._block = self.size
            return self._block_of(place)
        except OSError:
            if state_of_url(self.url, is_fresh=True) != self.state:
                raise AudioError("has changed while it was read") from None
            raise
        return block, place - start

    def _fetch(self, start: int, end: int) -> bytes:
        found = fetch(self.url, start, end, self.size)
        if found is None:
            raise _NoPartsError
        return found


class _NoPartsError(Exception):
    """A server sends no parts of files."""


class _Blocks:
    """Those that were fetched last, up to `most` bytes, each once, whoever asks for it at the same time."""

    def __init__(self, most: int) -> None:
        self._most, self._held = most, 0
        self._fetched: OrderedDict[Hashable, tuple[Future[bytes], int]] = OrderedDict()
        self._lock = Lock()

    def get(self, key: Hashable, size: int, fetch: Callable[[], bytes]) -> bytes:
        """Return a block, fetched now if it is not there."""
        fresh: Future[bytes] = Future()
        with self._lock:
            future, _ = self._fetched.setdefault(key, (fresh, size))
            self._fetched.move_to_end(key)
            if future is fresh:
                self._held += size
            while self._held > self._most and len(self._fetched) > 1:
                self._held -= self._fetched.popitem(last=False)[1][1]
        if future is fresh:
            try:
                future.set_result(fetch())
            except BaseException as error:
                self._drop(key, future)
                future.set_exception(error)
        return future.result()

    def _drop(self, key: Hashable, future: "Future[bytes]") -> None:
        with self._lock:
            kept, size = self._fetched.get(key, (None, 0))
            if kept is future:
                del self._fetched[key]
                self._held -= size


def _forget() -> None:
    """Begin anew: another thread of the process that was forked may hold a lock."""
    global _blocks, _asked, _lock
    _blocks, _asked, _lock = _Blocks(_HELD_BYTES), OrderedDict(), Lock()


_blocks: _Blocks
_asked: OrderedDict[str, tuple[FileState, float]]
_lock: Lock
_forget()
os.register_at_fork(after_in_child=_forget)
