"""One lock for a store: who changes what it is holds it from reading the header to replacing it. One for each shard.

The lock is the operating system's (flock on STORE/.lock), so that it goes with its process, however that ends. The file
is there while it is held, and says by whom. Readers need no lock: they see the old state or the new one.
"""

import fcntl
import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from reseed.store.errors import StoreBusyError
from reseed.store.format import shard_path

LOCK_NAME = ".lock"

_held: set[tuple[Path, int]] = set()  # (store or shard, thread): an edit that is made of edits takes the lock once


@contextmanager
def editing(store: Path, *, wait: bool = False) -> Iterator[None]:
    """Hold the lock of a store.

    Args:
        wait: until whoever holds it lets it go.

    Raises:
        StoreBusyError: another process or thread holds it; says which.
    """
    key = (store.resolve(), threading.get_ident())
    if key in _held:
        yield
        return
    store.mkdir(parents=True, exist_ok=True)
    path = store / LOCK_NAME
    with _locked(path, wait) as file:
        file.write(f"process {os.getpid()} on {socket.gethostname()}\n")
        file.flush()
        _held.add(key)
        try:
            yield
        finally:
            _held.discard(key)
            path.unlink(missing_ok=True)


@contextmanager
def writing(store: Path, name: str, *, wait: bool = False) -> Iterator[None]:
    """Be the only one who writes a shard.

    Args:
        wait: until whoever is at it has written it, or is gone.

    Raises:
        StoreBusyError: another process or thread is at it.
    """
    path = shard_path(store, f".{name}", "lock")
    key = (path.resolve(), threading.get_ident())
    if key in _held:
        yield
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            raise StoreBusyError(f"{store}: shard {name} is being written by another process; wait for it") from None
        _held.add(key)
        try:
            yield
        finally:
            _held.discard(key)


def _locked(path: Path, wait: bool) -> TextIO:
    """Open and lock a file, which its last holder may have removed in between: then it is made anew."""
    while True:
        file = path.open("a+", encoding="utf-8")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
            if path.exists() and path.stat().st_ino == os.fstat(file.fileno()).st_ino:
                file.truncate(0)
                return file
        except BlockingIOError:
            file.seek(0)
            holder = file.read().strip() or "another process"
            file.close()
            raise StoreBusyError(
                f"{path.parent} is being changed by {holder}; wait until that is done and run again"
            ) from None
        except FileNotFoundError:
            pass
        file.close()
