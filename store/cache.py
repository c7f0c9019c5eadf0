"""Files of stores that lie elsewhere, kept on this machine: each is fetched once, whoever reads it, and then mapped.

A kept file is named by the SHA-256 that store.json states of it, and its bytes were hashed when they came. It is
therefore never an old one, and stores that share files share it. RESEED_CACHE names the folder, by default `reseed` in
the user's cache folder; RESEED_CACHE_GB how much it may hold beside what was just read, by default any amount.
"""

import hashlib
import math
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import lru_cache, partial
from pathlib import Path
from typing import BinaryIO

from reseed.store import atomic
from reseed.store.errors import ConfigError, StoreError
from reseed.store.format import StoredFile
from reseed.store.lock import holding
from reseed.store.remote import ahead, fetch, fetch_whole
from reseed.store.remote_file import state_of_url
from reseed.store.url import Url

CACHE, CACHE_GB = "RESEED_CACHE", "RESEED_CACHE_GB"
COPY_AGAIN = "copy the store there again (`reseed copy`)"

_BLOCK = 8 << 20
_AT_ONCE = 8  # blocks that are asked for at the same time
_RECENT_S = 10.0


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
    if not fresh and _is_here(path, file.bytes) and not (check and _sha256_once(path) != file.sha256):
        _note_use(path)
        return path
    fetch_file(url, file, path, fresh=path.exists())
    _make_room(path.parent.parent)
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
        os.fchmod(part.fileno(), path.parent.stat().st_mode & 0o666)
        Path(part.name).replace(path)
        atomic.fsync(path.parent)


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
        found = _append_blocks(url, file, part)
    except FileNotFoundError:
        raise StoreError(f"{url} was removed while it was read; {COPY_AGAIN}") from None
    except OSError as error:
        if error.filename is not None or error.errno in atomic.OF_DISKS:
            raise
        raise StoreError(f"{url} cannot be read: {error.strerror or error}") from error
    part.flush()
    os.fsync(part.fileno())
    return found == file.sha256


def _append_blocks(url: Url, file: StoredFile, part: BinaryIO) -> str:
    """Append blocks in order; returns the SHA-256 of the whole, which is computed while further ones come."""
    name, start = Path(part.name), part.seek(0, os.SEEK_END)
    with name.open("rb") as begun:
        hasher = hashlib.file_digest(begun, "sha256")
    edges = ((place, min(place + _BLOCK, file.bytes)) for place in range(start, file.bytes, _BLOCK))
    for block in ahead((partial(fetch, str(url), *each, file.bytes) for each in edges), _AT_ONCE):
        if block is None:  # its server sends no parts of files
            fetch_whole(str(url), file.bytes, name)
            return atomic.sha256_file(name)
        part.write(block)
        hasher.update(block)
    return hasher.hexdigest()


@contextmanager
def _partial(path: Path) -> Iterator[BinaryIO]:
    """Open what has come of a file so far, alone; it is removed where it has become the file, or is not needed."""
    # not a lock of the file itself: HDF5 would not open it
    with holding(path.with_name(f".{path.stem}.lock"), f"{path} is being fetched", wait=True):
        name = path.with_name(f".{path.name}.tmp-part")
        with name.open("ab") as part:
            yield part
        if path.exists():
            name.unlink(missing_ok=True)


def _is_here(path: Path, size: int) -> bool:
    return path.exists() and path.stat().st_size == size


def _sha256_once(path: Path) -> str:
    """Return the SHA-256 of a kept file, hashed once as long as it is the same, whenever it was last read."""
    found = path.stat()
    return _sha256_of(path, found.st_ino, found.st_mtime_ns)


@lru_cache(maxsize=65_536)
def _sha256_of(path: Path, inode: int, changed_ns: int) -> str:
    return atomic.sha256_file(path)


def _note_use(path: Path) -> None:
    """Note that a file is read, so that it stays longer than those that were not."""
    found = path.stat()
    if _unused_s(found) > _RECENT_S / 2:
        with suppress(OSError):  # a cache that others fill
            os.utime(path, ns=(time.time_ns(), found.st_mtime_ns))


def _unused_s(found: os.stat_result) -> float:
    return time.time() - max(found.st_atime, found.st_mtime)


def _make_room(folder: Path) -> None:
    """Remove what was not read for longest, beyond what the cache may hold; what is mapped stays readable.

    What somebody may be about to map stays in any case, and what is being fetched.
    """
    most = _limit_bytes()
    if most == math.inf:
        return
    found = {}
    for path in folder.glob("*/[!.]*"):
        with suppress(FileNotFoundError):  # another one makes room, too
            found[path] = path.stat()
    held = sum(state.st_size for state in found.values())
    for path, state in sorted(found.items(), key=lambda each: _unused_s(each[1]), reverse=True):
        if held > most and _unused_s(state) > _RECENT_S:
            path.unlink(missing_ok=True)
            held -= state.st_size


def _limit_bytes() -> float:
    given = os.environ.get(CACHE_GB, "")
    try:
        return float(given) * 1e9 if given else math.inf
    except ValueError:
        raise ConfigError(f"{CACHE_GB} is {given!r}, not how many gigabytes the cache may hold, e.g. 50") from None
