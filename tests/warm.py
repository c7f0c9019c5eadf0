"""A server that has loaded torch and forks for each command: a whole run starts twenty, and loading is most of them.

What runs is `reseed` as it is; a client in its place hands over arguments, folder, environment and streams.
"""

import atexit
import gc
import marshal
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from contextlib import suppress
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
_CLIENT = """#!{python} -IS
import marshal, os, socket, sys
server = socket.socket(socket.AF_UNIX)
server.connect({address!r})
socket.send_fds(server, [b"."], [0, 1, 2])
server.sendall(marshal.dumps((sys.argv[1:], os.getcwd(), dict(os.environ))))
server.shutdown(socket.SHUT_WR)
sys.exit(int(server.recv(3) or 1))
"""


@cache
def commands() -> Path:
    """Return a folder with a command `reseed`; the server behind it is started once and ends with this process."""
    folder = Path(tempfile.mkdtemp())
    address = str(folder / "socket")
    (folder / "reseed").write_text(_CLIENT.format(python=sys.executable, address=address))
    (folder / "reseed").chmod(0o755)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(address)
        listener.listen(64)
        serve = f"from tests.warm import _serve; _serve({listener.fileno()})"
        server = subprocess.Popen([sys.executable, "-c", serve], cwd=ROOT, pass_fds=[listener.fileno()])
    atexit.register(shutil.rmtree, folder)
    atexit.register(server.kill)
    return folder


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
    torch.set_num_threads(int(environment.get("OMP_NUM_THREADS", os.cpu_count())))
    try:
        main(arguments, prog_name="reseed")
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    return 0
