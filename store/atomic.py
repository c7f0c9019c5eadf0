"""Files that are either whole or absent: write beside, fsync, rename, fsync the directory."""

import glob
import hashlib
import json
import os
import re
import shutil
import socket
import stat
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from threading import Lock
from typing import Any

FileState = tuple[int, ...]

_TEMPORARY_MARK = ".tmp-"
_HOST = re.sub(r"[^A-Za-z0-9.]", "_", socket.gethostname())
_A_DAY_S = 86_400.0
_HASHING = [Lock() for _ in range(64)]


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; on success it replaces `path`, on failure it is removed.

    What killed writers of `path` left behind is removed. The file is readable for whom its directory is, whatever the
    umask of the process that happens to write it.
    """
    make_directory(path.parent)
    remove_temporaries(path)
    temporary = _temporary(path)
    try:
        yield temporary
        temporary.chmod(path.parent.stat().st_mode & 0o666)
        _fsync(temporary)
        temporary.replace(path)
        _fsync(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def holds_only(path: Path, names: Collection[str]) -> bool:
    """Whether there is nothing at `path`, or a directory of no other files than these.

    Snakemake removes a rule's declared output before it repeats it, and leaves the rest of its directory.
    """
    return not path.exists() or (path.is_dir() and {file.name for file in path.iterdir()} <= set(names))


@contextmanager
def atomic_directory(path: Path) -> Iterator[Path]:
    """Yield a temporary directory beside `path`; on success it takes the place of `path`, on failure it is removed.

    A directory cannot be renamed over one that is not empty: an old one is moved aside first, so that for an instant
    neither is in place. What killed writers left behind is removed.
    """
    path = path.resolve()
    make_directory(path.parent)
    remove_temporaries(path)
    temporary = _temporary(path)
    replaced = path.with_name(f"{temporary.name}-old")
    make_directory(temporary)
    try:
        yield temporary
        if path.exists():
            path.rename(replaced)
        temporary.rename(path)
        _fsync(path.parent)
        shutil.rmtree(replaced, ignore_errors=True)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def link(source: Path, path: Path) -> None:
    """Make `path` another name of the file `source`, atomically; what it was the name of keeps its other names."""
    make_directory(path.parent)
    remove_temporaries(path)
    temporary = _temporary(path)
    try:
        temporary.hardlink_to(source)
        temporary.replace(path)
        _fsync(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write `text` to `path` atomically."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, value: Any) -> None:
    """Write `value` as indented JSON with sorted keys, atomically."""
    write_text(path, json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n")


def make_directory(path: Path) -> None:
    """Make a directory and those above it, open for whom the one that is there already is open."""
    missing = [folder for folder in (path, *path.parents) if not folder.exists()]
    for folder in reversed(missing):
        folder.mkdir(exist_ok=True)
        folder.chmod(folder.parent.stat().st_mode & 0o7777 & ~stat.S_ISVTX)


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
    return path.with_name(f".{path.name}{_TEMPORARY_MARK}{_HOST}-{os.getpid()}")


def sha256_file(path: Path) -> str:
    """Return the SHA-256 of a file as hex, reading 1 MiB at a time."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def state_of(path: Path) -> FileState:
    """Return what changes when a file does, as far as can be known without reading it."""
    found = path.stat()
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


def _fsync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
