"""One lock for a store: who changes what it is holds it from reading the header to replacing it. One for each shard.

The lock is the operating system's (flock on STORE/.lock), so that it goes with its process, however that ends. The file
is there while it is held, and says by whom. Readers need no lock: they see the old state or the new one.
"""

import fcntl
import os
import socket
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from reseed.store import atomic
from reseed.store.errors import StoreBusyError
from reseed.store.format import shard_path

LOCK_NAME = ".lock"

_held: set[tuple[Path, int]] = set()  # (lock, thread): an edit that is made of edits takes the lock once


@contextmanager
def editing(store: Path, *, wait: bool = False) -> Iterator[None]:
    """Hold the lock of a store.

    Args:
        wait: until whoever holds it lets it go.

    Raises:
        StoreBusyError: another process or thread holds it; says which.
        WriteError: the store cannot be written.
    """
    with holding(store / LOCK_NAME, f"{store} is being changed", wait):
        yield


@contextmanager
def only_writer(store: Path, name: str, *, wait: bool = False) -> Iterator[None]:
    """Be the only one who writes a shard.

    Args:
        wait: until whoever is at it has written it, or is gone.

    Raises:
        StoreBusyError: another process or thread is at it; says which.
        WriteError: the store cannot be written.
    """
    with holding(shard_path(store, f".{name}", "lock"), f"{store}: shard {name} is being written", wait):
        yield


def remove_locks(store: Path, names: Iterable[str]) -> None:
    """Remove the locks of shards whose writers were killed once the shard was sealed; what is held stays."""
    for name in names:
        if shard_path(store, f".{name}", "lock").exists():
            with suppress(StoreBusyError), only_writer(store, name):
                pass


@contextmanager
def holding(path: Path, busy: str, wait: bool) -> Iterator[None]:
    """Hold a lock by its file; raises StoreBusyError, which says what is `busy`, where another one does."""
    key = (path.resolve(), threading.get_ident())
    if key in _held:
        yield
        return
    with atomic.writing(path), atomic.directory_of(path):
        descriptor = _locked(path, busy, wait)
        _held.add(key)
        try:
            with suppress(OSError):  # a full disk has no room for a name, and an edit may be what makes room
                os.write(descriptor, f"process {os.getpid()} on {socket.gethostname()}\n".encode())
            yield
        finally:
            _held.discard(key)
            path.unlink(missing_ok=True)
            os.close(descriptor)


def _locked(path: Path, busy: str, wait: bool) -> int:
    """Open and lock a file, which its last holder may have removed in between: then it is made anew."""
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
            if path.exists() and path.stat().st_ino == os.fstat(descriptor).st_ino:
                os.truncate(descriptor, 0)
                return descriptor
        except BlockingIOError:
            holder = os.read(descriptor, 200).decode(errors="replace").strip() or "another process"
            os.close(descriptor)
            raise StoreBusyError(f"{busy} by {holder}; wait until that is done and run again") from None
        except FileNotFoundError:
            pass
        os.close(descriptor)
