"""A server that has loaded torch and forks for each command: a whole run starts twenty, and loading is most of them.

What runs is `reseed` as it is; a client in its place hands over arguments, folder, environment and streams. Where the
environment says so (`KILLED_BEFORE`, `KILLED_AFTER_S`) the command is killed: before its n-th change of a file or
directory, or after so long.
"""

import atexit
import gc
import itertools
import marshal
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
_CLIENT = """#!{python} -IS
import marshal, os, socket, sys
server = socket.socket(socket.AF_UNIX)
server.connect({address!r})
socket.send_fds(server, [b"."], [0, 1, 2])
server.sendall(marshal.dumps((sys.argv[1:], os.getcwd(), dict(os.environ))))
server.shutdown(socket.SHUT_WR)
sys.exit(int(server.recv(3) or {killed}))
"""
KILLED = 128 + signal.SIGKILL
_CHANGES = ("os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.chmod", "os.truncate", "os.link", "os.symlink")


@cache
def commands() -> Path:
    """Return a folder with a command `reseed`; the server behind it is started once and ends with this process."""
    folder = Path(tempfile.mkdtemp())
    address = str(folder / "socket")
    (folder / "reseed").write_text(_CLIENT.format(python=sys.executable, address=address, killed=KILLED))
    (folder / "reseed").chmod(0o755)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(address)
        listener.listen(64)
        serve = f"from tests.warm import _serve; _serve({listener.fileno()})"
        server = subprocess.Popen([sys.executable, "-c", serve], cwd=ROOT, pass_fds=[listener.fileno()])
    atexit.register(shutil.rmtree, folder)
    atexit.register(server.kill)
    return folder


def ask(*arguments: object, folder: Path, **environment: object) -> tuple[int, str]:
    """Run one command in a folder; returns its exit status, `KILLED` where it was killed, and what it printed."""
    given = {**os.environ, **{name: str(value) for name, value in environment.items()}}
    with socket.socket(socket.AF_UNIX) as server, tempfile.TemporaryFile("w+") as printed:
        server.connect(str(commands() / "socket"))
        socket.send_fds(server, [b"."], [0, printed.fileno(), printed.fileno()])
        server.sendall(marshal.dumps(([str(argument) for argument in arguments], str(folder), given)))
        server.shutdown(socket.SHUT_WR)
        status = int(server.recv(3) or KILLED)
        printed.seek(0)
        return status, printed.read()


def _serve(listening: int) -> None:
    import torch  # noqa: F401

    from reseed.stages import enhance, extract, report, score, train  # noqa: F401

    listener, tests = socket.socket(fileno=listening), os.getppid()
    listener.settimeout(5)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    gc.freeze()
    while os.getppid() == tests:  # they may have been killed
        with suppress(TimeoutError):
            client, _ = listener.accept()
            if os.fork() == 0:
                _answer(client)
            client.close()


def _answer(client: socket.socket) -> None:
    """Run the command that a client asks for, tell it the exit status, and end."""
    status = 1
    try:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        status = _run(client)
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        client.sendall(str(status).encode())
        os._exit(status)


def _run(client: socket.socket) -> int:
    import torch

    from reseed.cli import main

    _, streams, _, _ = socket.recv_fds(client, 1, 3)
    for stream, given in enumerate(streams):
        os.dup2(given, stream)
        os.close(given)
    with client.makefile("rb") as asked:
        arguments, folder, environment = marshal.load(asked)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    sys.path[:0] = [path for path in environment.get("PYTHONPATH", "").split(os.pathsep) if path not in (*sys.path, "")]
    torch.set_num_threads(int(environment.get("OMP_NUM_THREADS", os.cpu_count())))
    if "KILLED_BEFORE" in environment:
        die_before(int(environment["KILLED_BEFORE"]))
    if "KILLED_AFTER_S" in environment:
        _die_after(float(environment["KILLED_AFTER_S"]))
    try:
        main(arguments, prog_name="reseed")
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    return 0


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
