"""Files of stores that lie elsewhere, kept on this machine: each is fetched once, whoever reads it, and then mapped.

A kept file is named by the SHA-256 that store.json states of it, and its bytes were hashed when they came. It is
therefore never an old one, and stores that share files share it. RESEED_CACHE names the folder, by default `reseed` in
the user's cache folder; RESEED_CACHE_GB how much it may hold, by default any amount.
"""

import fcntl
import math
import os
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import BinaryIO

from reseed.store import atomic
from reseed.store.errors import ConfigError, StoreError
from reseed.store.format import StoredFile
from reseed.store.remote import fetch, fetch_whole
from reseed.store.remote_file import state_of_url
from reseed.store.url import Url

CACHE, CACHE_GB = "RESEED_CACHE", "RESEED_CACHE_GB"
COPY_AGAIN = "copy the store there again (`reseed copy`)"

_BLOCK = 8 << 20
_AT_ONCE = 8  # blocks that are asked for at the same time
_AN_HOUR_S = 3600.0


def cache_folder() -> Path:
    """Return where files of other places are kept."""
    if given := os.environ.get(CACHE):
        return Path(given)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "reseed"


def kept(url: Url, file: StoredFile, *, check: bool = False, fresh: bool = False) -> Path:
    """Return where the bytes of a file lie on this machine; they are fetched where they do not yet.

    Args:
        check: hash what lies here, once as long as it is the same file, and fetch it again if it was damaged here.
        fresh: fetch it in any case, to know what lies there now.

    Raises:
        StoreError: it is missing there, of another size, or not what store.json says; names the URL.
        WriteError: the disk is full or read-only.
    """
    path = cache_folder() / "files" / file.sha256[:2] / f"{file.sha256}{url.suffix}"
    if not fresh and _is_here(path, file.bytes) and not (check and atomic.sha256_once(path) != file.sha256):
        _used(path)
        return path
    fetch_file(url, file, path, fresh=path.exists())
    _make_room(path)
    return path


def fetch_file(url: Url, file: StoredFile, path: Path, *, fresh: bool = False) -> None:
    """Fetch a file to `path`, which is whole or absent; one that was interrupted goes on where it was.

    Of several processes that want the same one fetches it, and the others wait.

    Args:
        fresh: what is at `path` is replaced.

    Raises:
        StoreError, WriteError: as `kept`.
    """
    check_there(url, file)
    with atomic.writing(path), atomic.directory_of(path), _partial(path) as part:
        if not fresh and _is_here(path, file.bytes):
            return
        begun = part.seek(0, os.SEEK_END) > 0
        is_sound = _fetch_rest(url, file, part)
        if begun and not is_sound:  # what had come before may be of another file
            part.truncate(0)
            is_sound = _fetch_rest(url, file, part)
        if not is_sound:
            Path(part.name).unlink()
            raise StoreError(f"{url} is damaged: its SHA-256 is another; {COPY_AGAIN}")
        Path(part.name).replace(path)


def check_there(url: Url, file: StoredFile) -> None:
    """Compare the size of a file with what store.json says of it, without fetching it.

    Raises:
        StoreError: it is missing or of another size, or cannot be asked for; names it.
    """
    try:
        found = state_of_url(str(url), is_fresh=True).size
    except FileNotFoundError:
        raise StoreError(f"{url} is missing; {COPY_AGAIN}") from None
    except OSError as error:
        raise StoreError(f"{url} cannot be read: {error.strerror or error}") from error
    if found not in (None, file.bytes):
        raise StoreError(f"{url} has {found} bytes, store.json says {file.bytes}; {COPY_AGAIN}")


def _fetch_rest(url: Url, file: StoredFile, part: BinaryIO) -> bool:
    """Append to a file what it lacks of one that lies elsewhere; returns whether it is then what it should be."""
    try:
        _append_blocks(url, file, part)
    except FileNotFoundError:
        raise StoreError(f"{url} was removed while it was read; {COPY_AGAIN}") from None
    except OSError as error:
        if error.filename is not None or error.errno in atomic.OF_DISKS:
            raise
        raise StoreError(f"{url} cannot be read: {error.strerror or error}") from error
    part.flush()
    os.fsync(part.fileno())
    return atomic.sha256_file(Path(part.name)) == file.sha256


def _append_blocks(url: Url, file: StoredFile, part: BinaryIO) -> None:
    """Append some blocks at a time, in order; each is tried again by itself."""
    start = part.seek(0, os.SEEK_END)
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        while start < file.bytes:
            end = min(start + _AT_ONCE * _BLOCK, file.bytes)
            for block in pool.map(partial(_block, url, file, end), range(start, end, _BLOCK)):
                if block is None:  # its server sends no parts of files
                    fetch_whole(str(url), file.bytes, Path(part.name))
                    return
                part.write(block)
            start = end


def _block(url: Url, file: StoredFile, end: int, start: int) -> bytes | None:
    return fetch(str(url), start, min(start + _BLOCK, end), file.bytes)


@contextmanager
def _partial(path: Path) -> Iterator[BinaryIO]:
    """Open and lock what has come of a file so far; it is removed where it has become the file, or is not needed."""
    name = path.with_name(f".{path.name}.tmp-part")
    while True:
        with name.open("ab") as part:
            fcntl.flock(part, fcntl.LOCK_EX)
            if not name.exists() or name.stat().st_ino != os.fstat(part.fileno()).st_ino:
                continue  # whoever held it has finished
            yield part
            if path.exists():
                name.unlink(missing_ok=True)
            return


def _is_here(path: Path, size: int) -> bool:
    return path.exists() and path.stat().st_size == size


def _used(path: Path) -> None:
    """Note that a file was read, so that it stays longer than those that were not."""
    found = path.stat()
    if time.time() - found.st_atime > _AN_HOUR_S:
        with suppress(OSError):  # a cache that others fill
            os.utime(path, ns=(time.time_ns(), found.st_mtime_ns))


def _make_room(newest: Path) -> None:
    """Remove those that were not read for longest, beyond what the cache may hold; what is mapped stays readable."""
    most = _limit_bytes()
    if most == math.inf:
        return
    found = [(path, path.stat()) for path in newest.parent.parent.glob("*/*") if path != newest]
    held = newest.stat().st_size + sum(state.st_size for _, state in found)
    for path, state in sorted(found, key=lambda each: each[1].st_atime):
        if held > most:
            path.unlink(missing_ok=True)
            held -= state.st_size


def _limit_bytes() -> float:
    given = os.environ.get(CACHE_GB, "")
    try:
        return float(given) * 1e9 if given else math.inf
    except ValueError:
        raise ConfigError(f"{CACHE_GB} is {given!r}, not how many gigabytes the cache may hold, e.g. 50") from None
