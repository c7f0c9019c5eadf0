"""Files that are either whole or absent: write beside, fsync, rename, fsync the directory."""

import errno
import glob
import hashlib
import json
import os
import re
import resource
import shutil
import socket
import stat
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import lru_cache
from pathlib import Path
from threading import Lock
from typing import Any

from reseed.store.bounded import check_regular
from reseed.store.errors import WriteError

FileState = tuple[int, ...]

_TEMPORARY_MARK = ".tmp-"
_HOST = re.sub(r"[^A-Za-z0-9.]", "_", socket.gethostname())
_A_DAY_S = 86_400.0
_HASHING = [Lock() for _ in range(64)]
OF_DISKS = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS}  # no reading fails so


@contextmanager
def atomic_paths(*paths: Path) -> Iterator[list[Path]]:
    """Yield a temporary path beside each of `paths`; on success they replace these, on failure all is as it was.

    What killed writers left behind is removed. The files are readable for whom their directory is, whatever the umask
    of the process that happens to write them.

    Raises:
        WriteError: the disk is full or read-only, or the directory cannot be written.
    """
    temporaries = [_temporary(path) for path in paths]
    with writing(*paths), ExitStack() as undone:
        for path, temporary in zip(paths, temporaries, strict=True):
            undone.enter_context(directory_of(path))
            remove_temporaries(path)
            undone.callback(temporary.unlink, missing_ok=True)
        yield temporaries
        for path, temporary in zip(paths, temporaries, strict=True):
            temporary.chmod(path.parent.stat().st_mode & 0o666)
            fsync(temporary)
        for path, temporary in zip(paths, temporaries, strict=True):
            temporary.replace(path)
            fsync(path.parent)


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`, as `atomic_paths` does for several files that belong together.

    Of those that `atomic_paths` has yielded each is itself what is yielded.
    """
    if path.name.endswith(_own_mark()):
        yield path
        return
    with atomic_paths(path) as (temporary,):
        yield temporary


@contextmanager
def writing(*paths: Path) -> Iterator[None]:
    """Raise what prevents files from being written as a WriteError: which, why, how much is free, what to do.

    What is written into something that is itself temporary is left to whoever writes that.
    """
    try:
        yield
    except OSError as error:
        named = [path for path in paths if error.filename and _concerns(Path(os.fsdecode(error.filename)), path)]
        if any(_own_mark() in str(path) for path in paths) or not (named or error.errno in OF_DISKS):
            raise
        path = (named or paths)[0]
        raise WriteError(f"{path} cannot be written{_reason(error, path)} and run again") from error


def _concerns(named: Path, path: Path) -> bool:
    """Whether a file that an error names is `path`, what is written in its place, or a directory above."""
    return named in (path, _temporary(path), *path.parents) or _temporary(path) in named.parents


def _reason(error: OSError, path: Path) -> str:
    if error.errno == errno.ENOSPC:
        place = os.statvfs(next(folder for folder in (path, *path.parents) if folder.exists()))
        if place.f_files and not place.f_favail:
            return ": the disk holds as many files as it can (no inode is free); remove some"
        return f": it needs more than the {_size(place.f_bavail * place.f_frsize)} that are free on the disk; make room"
    if error.errno == errno.EDQUOT:
        return ": the quota on this disk is used up; make room, or have it raised,"
    if error.errno == errno.EFBIG:
        most, _ = resource.getrlimit(resource.RLIMIT_FSIZE)
        limited = f" (ulimit -f: {_size(most)})" if most != resource.RLIM_INFINITY else ""
        return f": it grows larger than a file may be here{limited}; raise that"
    return f" ({os.strerror(error.errno or 0)}); give a place that can be"


def _size(size: int) -> str:
    return f"{size / 1e6:,.1f} MB" if size >= 100_000 else f"{size:,} bytes"


@contextmanager
def atomic_directory(path: Path) -> Iterator[Path]:
    """Yield a temporary directory beside `path`; on success it takes the place of `path`, on failure it is removed.

    A directory cannot be renamed over one that is not empty: an old one is moved aside first, so that for an instant
    neither is in place. What killed writers left behind is removed.
    """
    path = path.resolve()
    temporary = _temporary(path)
    replaced = path.with_name(f"{temporary.name}-old")
    with writing(path), directory_of(path):
        remove_temporaries(path)
        try:
            make_directory(temporary)
            yield temporary
            if path.exists():
                path.rename(replaced)
            temporary.rename(path)
            fsync(path.parent)
            shutil.rmtree(replaced, ignore_errors=True)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)


@contextmanager
def atomic_files(folder: Path) -> Iterator[Path]:
    """Yield a temporary directory; on success its files take their places in `folder`, on failure none of them does.

    They do so in the order in which they were written. What else is in `folder` stays.
    """
    folder = folder.resolve()
    staged = _temporary(folder / "files")
    with writing(folder), directory_of(staged):
        remove_temporaries(folder / "files")
        try:
            make_directory(staged)
            yield staged
            files = [path for path in staged.rglob("*") if path.is_file()]
            for file in sorted(files, key=lambda path: path.stat().st_mtime_ns):
                place = folder / file.relative_to(staged)
                make_directory(place.parent)
                file.replace(place)
                fsync(place.parent)
        finally:
            shutil.rmtree(staged, ignore_errors=True)


def write_bytes(path: Path, data: bytes | memoryview) -> None:
    """Write `data` to `path` atomically."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(data)


def link(source: Path, path: Path) -> None:
    """Make `path` another name of the file `source`, atomically; what it was the name of keeps its other names."""
    temporary = _temporary(path)
    with writing(path), directory_of(path):
        remove_temporaries(path)
        try:
            temporary.hardlink_to(source)
            temporary.replace(path)
            fsync(path.parent)
        finally:
            temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write `text` to `path` atomically."""
    write_bytes(path, text.encode())


def write_json(path: Path, value: Any) -> None:
    """Write `value` as indented JSON with sorted keys, atomically."""
    write_text(path, json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n")


def make_directory(path: Path) -> None:
    """Make a directory and those above it, open for whom the one that is there already is open."""
    missing = [folder for folder in (path, *path.parents) if not folder.exists()]
    for folder in reversed(missing):
        folder.mkdir(exist_ok=True)
        folder.chmod(folder.parent.stat().st_mode & 0o7777 & ~stat.S_ISVTX)


@contextmanager
def directory_of(path: Path) -> Iterator[None]:
    """Make the directory of a file to come; where that fails, or the file does, no new directory is left."""
    missing = [folder for folder in path.parents if not folder.exists()]
    try:
        make_directory(path.parent)
        yield
    except BaseException:
        for folder in missing:
            with suppress(OSError):  # another writer may have put a file there
                folder.rmdir()
        raise


def remove_temporaries(path: Path) -> None:
    """Remove what killed writers of a file or directory left beside it: those of this machine that live no more.

    Of other machines only what is older than a day, for nobody here can tell whether its writer lives.
    """
    for leftover in path.parent.glob(f".{glob.escape(path.name)}{_TEMPORARY_MARK}*"):
        host, _, process = leftover.name.rpartition(_TEMPORARY_MARK)[2].removesuffix("-old").rpartition("-")
        if host == _HOST and process.isdecimal():
            gone = int(process) == os.getpid() or not Path(f"/proc/{process}").exists()
        else:
            gone = time.time() - leftover.stat().st_mtime > _A_DAY_S
        if gone and leftover.is_dir():
            shutil.rmtree(leftover, ignore_errors=True)
        elif gone:
            leftover.unlink(missing_ok=True)


def _temporary(path: Path) -> Path:
    return path.with_name(f".{path.name}{_own_mark()}")


def _own_mark() -> str:
    return f"{_TEMPORARY_MARK}{_HOST}-{os.getpid()}"


def sha256_file(path: Path) -> str:
    """Return the SHA-256 of a file as hex, reading 1 MiB at a time; OSError where it is no regular file."""
    check_regular(path)
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def state_of(path: Path) -> FileState:
    """Return what changes when a file does, as far as can be known without reading it."""
    return state_of_stat(path.stat())


def state_of_stat(found: os.stat_result) -> FileState:
    """Return the same of a file whose `stat` is known."""
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns


def sha256_once(path: Path) -> str:
    """Return the SHA-256 of a file as hex, hashed once as long as it is the same file, whichever thread comes first."""
    with _HASHING[hash(path) % len(_HASHING)]:
        return _sha256_of(path, state_of(path))


@lru_cache(maxsize=65_536)
def _sha256_of(path: Path, state: FileState) -> str:
    return sha256_file(path)


def digest(value: Any) -> str:
    """Return the SHA-256 of a JSON-like value in canonical form (sorted keys, no spaces)."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def fsync(path: Path) -> None:
    """Have the disk write what was written to a file, or which names a directory holds."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:  # it does not say of which file
        raise OSError(error.errno, error.strerror, str(path)) from error
    finally:
        os.close(descriptor)
