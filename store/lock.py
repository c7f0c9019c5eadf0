"""One lock for a store: who changes what it is holds it from reading the header to replacing it.

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

from reseed.store.errors import StoreError

LOCK_NAME = ".lock"

_held: set[tuple[Path, int]] = set()  # (store, thread): an edit that is made of edits takes the lock once


@contextmanager
def editing(store: Path) -> Iterator[None]:
    """Hold the lock of a store.

    Raises:
        StoreError: another process or thread holds it; says which.
    """
    key = (store.resolve(), threading.get_ident())
    if key in _held:
        yield
        return
    store.mkdir(parents=True, exist_ok=True)
    path = store / LOCK_NAME
    with _locked(path) as file:
        file.write(f"process {os.getpid()} on {socket.gethostname()}\n")
        file.flush()
        _held.add(key)
        try:
            yield
        finally:
            _held.discard(key)
            path.unlink(missing_ok=True)


def _locked(path: Path) -> TextIO:
    """Open and lock a file, which its last holder may have removed in between: then it is made anew."""
    while True:
        file = path.open("a+", encoding="utf-8")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if path.exists() and path.stat().st_ino == os.fstat(file.fileno()).st_ino:
                file.truncate(0)
                return file
        except BlockingIOError:
            file.seek(0)
            holder = file.read().strip() or "another process"
            file.close()
            raise StoreError(
                f"{path.parent} is being changed by {holder}; wait until that is done and run again"
            ) from None
        except FileNotFoundError:
            pass
        file.close()
