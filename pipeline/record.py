"""What the file .lock of a run says: who is at work in its folder, and how the last to be at work there ended.

The lock itself is the operating system's (flock), so that it goes with the processes that hold it, however they end.
"""

import fcntl
import json
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import IO, Literal

from reseed.pipeline import layout
from reseed.store import ReseedError
from reseed.store.bounded import read_json

Outcome = Literal["finished", "failed", "interrupted"]
_TRIES, _PAUSE_S = 20, 0.05  # whoever asks whether the lock is held, holds it for an instant


@dataclass(frozen=True)
class Record:
    """A `reseed run`.

    Attributes:
        started, ended: in ISO 8601; not ended: it is at work, or was killed.
        error: why it failed, in one line.
    """

    process: int
    host: str
    started: str
    ended: str | None = None
    outcome: Outcome | None = None
    error: str = ""


@contextmanager
def at_work(folder: Path, *, recorded: bool = True) -> Iterator[int]:
    """Hold the lock of a run, and record who held it and how that ended; yields the descriptor of the lock.

    Args:
        recorded: whether that is to be known later.

    Raises:
        ReseedError: another process holds it; says which.
    """
    with (folder / layout.LOCK).open("a+", encoding="utf-8") as file:
        if not _taken(file):
            holder = read_record(folder)
            named = f" (process {holder.process} on {holder.host})" if holder and holder.ended is None else ""
            raise ReseedError(f"{folder} is in use by another `reseed run`{named}; wait for it or stop it")
        if not recorded:
            yield file.fileno()
            return
        record = Record(os.getpid(), socket.gethostname(), _now())
        _write(file, record)
        outcome: Outcome = "finished"
        error = ""
        try:
            yield file.fileno()
        except KeyboardInterrupt:
            outcome = "interrupted"
            raise
        except BaseException as raised:
            outcome, error = "failed", " ".join(str(raised).split())
            raise
        finally:
            _write(file, replace(record, ended=_now(), outcome=outcome, error=error))


def read_record(folder: Path) -> Record | None:
    """Return who was at work in a folder last; None where nobody, an older version, or a cut file says."""
    try:
        return Record(**read_json(folder / layout.LOCK))
    except (OSError, TypeError, ValueError):
        return None


def is_running(folder: Path) -> bool:
    """Whether a `reseed run`, or Snakemake on its behalf, is at work in a folder."""
    try:
        with (folder / layout.LOCK).open() as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


def _taken(file: IO[str]) -> bool:
    for left in reversed(range(_TRIES)):
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            time.sleep(_PAUSE_S if left else 0)
    return False


def _write(file: IO[str], record: Record) -> None:
    file.seek(0)
    file.truncate()
    json.dump(asdict(record), file)
    file.flush()


def _now() -> str:
    return datetime.now().astimezone().isoformat(timespec="seconds")
