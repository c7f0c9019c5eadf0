"""The server of steps that a run has, once for all tests: loading torch is most of what a small command takes.

Where the environment says so (`KILLED_BEFORE`, `KILLED_AFTER_S`) the command is killed: before its n-th change of a
file or directory, or after so long.
"""

import itertools
import os
import select
import signal
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

from reseed.pipeline.warm import Server, start

ROOT = Path(__file__).resolve().parents[1]
KILLED = -signal.SIGKILL
_SERVE = (
    "from reseed.cli import main; from reseed.pipeline.warm import serve; from tests.warm import prepare; "
    "serve(main, {listener}, {life}, prepare)"
)
_CHANGES = ("os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.chmod", "os.truncate", "os.link", "os.symlink")


@cache
def server() -> Server:
    """Return the server, started once; it ends with this process."""
    return start(f"import sys; sys.path.insert(0, {str(ROOT)!r}); {_SERVE}")


def ask(*arguments: object, folder: Path, **environment: object) -> tuple[int, str]:
    """Run one command in a folder; returns its exit status, `KILLED` where it was killed, and what it printed."""
    done = subprocess.run(
        [str(server().commands / "reseed"), *map(str, arguments)],
        cwd=folder,
        env={**os.environ, **{name: str(value) for name, value in environment.items()}},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout


def prepare() -> None:
    """Have this process killed as its environment says."""
    sys.path[:0] = [path for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path not in (*sys.path, "")]
    if "KILLED_BEFORE" in os.environ:
        die_before(int(os.environ["KILLED_BEFORE"]))
    if "KILLED_AFTER_S" in os.environ:
        _die_after(float(os.environ["KILLED_AFTER_S"]))


def die_before(number: int) -> None:
    """Kill this process before its n-th change (from 1) of what its folder holds, or before it syncs a file."""
    left, folder, sync = itertools.count(number - 1, -1), Path.cwd(), os.fsync

    def count(path: str | bytes | None = None) -> None:
        if (path is None or (folder / os.fsdecode(path)).is_relative_to(folder)) and next(left) == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        writes = event == "open" and arguments[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
        if (writes or event in _CHANGES) and not isinstance(arguments[0], int):
            count(arguments[0])

    def counted_sync(descriptor: int) -> None:
        count()
        sync(descriptor)

    os.fsync = counted_sync
    sys.addaudithook(hook)


def _die_after(seconds: float) -> None:
    """Have this process killed by another one, which ends with it."""
    process = os.pidfd_open(os.getpid())
    if os.fork() == 0:
        ended, _, _ = select.select([process], [], [], seconds)
        if not ended:
            signal.pidfd_send_signal(process, signal.SIGKILL)
        os._exit(0)
    os.close(process)
