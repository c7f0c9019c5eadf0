"""A server for the steps of a run on this machine: it has loaded what they need, and forks for each command.

A run is forty commands, and loading torch is most of what a small one takes. In the place of `reseed` a client of a few
milliseconds hands over arguments, folder, environment and streams, passes on the signals that it is sent, and ends as
the command does. The server ends with the last process that holds its descriptor, however that ends; nothing has begun
a thread or touched a GPU before it forks.
"""

import atexit
import ctypes
import gc
import marshal
import os
import selectors
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import NoReturn

OFF = "RESEED_WARM"  # 0: each step is a process of its own
# What the steps of a run load. A job that needs more of it loads that itself.
LOADED = (
    *("torch", "torchaudio", "soundfile", "sklearn.linear_model", "matplotlib.pyplot", "reseed.pipeline.plan"),
    *(f"reseed.stages.{verb}" for verb in ("calibrate", "enhance", "extract", "leakage", "prepare", "report", "score")),
    *(f"reseed.stages.{verb}" for verb in ("synthesise", "train", "trials")),
)
_SERVE = "from reseed.cli import main; from reseed.pipeline.warm import serve; serve(main, {listener}, {life})"
_CLIENT = """#!{python} -IS
import marshal, os, signal, socket, sys
server = socket.socket(socket.AF_UNIX)
try:
    server.connect({address!r})
except OSError:
    pass
heard = [number for number in {signals} if signal.getsignal(number) is not signal.SIG_IGN]
for number in heard:
    signal.signal(number, signal.SIG_DFL)
asked = os.memfd_create("reseed")
with open(asked, "wb", closefd=False) as file:
    marshal.dump((sys.argv[1:], os.getcwd(), dict(os.environ)), file)
try:
    socket.send_fds(server, [b"."], [0, 1, 2, asked])
    for number in heard:
        signal.signal(number, lambda number, _: server.send(bytes([number])))
    has_begun = server.recv(1)
except OSError:
    has_begun = b""
if not has_begun:
    os.execv({python!r}, [{python!r}, "-c", "from reseed.cli import main; main(prog_name='reseed')", *sys.argv[1:]])
status = server.recv(4)
if not status:
    sys.exit("reseed: the process that the steps come from was killed; run again to go on where it stopped")
if int(status) < 0:
    if -int(status) in {signals}:
        signal.signal(-int(status), signal.SIG_DFL)
    os.kill(os.getpid(), -int(status))
sys.exit(int(status))
"""
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
# No thread is begun by what is loaded: those of libraries that compute, and that of Arrow's jemalloc.
_ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
_ONE_THREAD |= {"JE_ARROW_MALLOC_CONF": "background_thread:false"}
_PR_SET_PDEATHSIG, _PR_SET_NAME = 1, 15
_GOING_S = 5.0

Main = Callable[..., object]


@dataclass(frozen=True)
class Server:
    """A server that was started.

    Attributes:
        commands: a folder with the client, `reseed`; it is to be first in PATH.
        life: a descriptor; the server ends once no process holds it.
        process: the server.
    """

    commands: Path
    life: int
    process: subprocess.Popen[bytes]


@contextmanager
def warm(is_wanted: bool = True) -> Iterator[Server | None]:
    """Have a server for as long as this lasts, and whoever inherits its descriptor; None: none is wanted, or can be."""
    try:
        server = start(_SERVE) if is_wanted and os.environ.get(OFF) != "0" else None
    except OSError:  # e.g. the folder for temporary files has too long a name for a socket
        server = None
    try:
        yield server
    finally:
        if server:
            os.close(server.life)
            server.process.terminate()
            with suppress(subprocess.TimeoutExpired):  # a step whose Snakemake was killed is not waited for
                server.process.wait(_GOING_S)
            shutil.rmtree(server.commands, ignore_errors=True)


def start(serve: str) -> Server:
    """Start a server; it takes commands at once, and begins them once all is loaded.

    Args:
        serve: Python that serves, with {listener} and {life}.

    Raises:
        OSError: there is no room for a socket.
    """
    folder = Path(tempfile.mkdtemp(prefix="reseed-"))
    address, client = folder / "socket", folder / "reseed"
    ours, life = os.pipe()
    try:
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(address))
            listener.listen(64)
            numbers = tuple(map(int, _SIGNALS))
            client.write_text(_CLIENT.format(python=sys.executable, address=str(address), signals=numbers))
            client.chmod(0o755)
            command = serve.format(listener=listener.fileno(), life=ours)
            process = subprocess.Popen(
                [sys.executable, "-c", command, "(steps)"],
                env={**os.environ, **_ONE_THREAD},
                pass_fds=[listener.fileno(), ours],
            )
    except OSError:
        os.close(life)
        shutil.rmtree(folder)
        raise
    finally:
        os.close(ours)
    return Server(folder, life, process)


def serve(
    main: Main,
    listener: int,
    life: int,
    prepare: Callable[[], None] = lambda: None,
    loaded: Sequence[str] = LOADED,
) -> None:
    """Serve until nobody holds the other end of `life` and the last command has ended.

    Args:
        main: the command line, called as click calls it.
        listener: descriptor of a socket that listens.
        life: descriptor of the end of a pipe.
        prepare: called before each command, in its process.
        loaded: modules to load before any.
    """
    heard = {number: signal.getsignal(number) for number in _SIGNALS}
    for number in (signal.SIGINT, signal.SIGHUP):  # they are for the steps; a terminal sends them to all
        signal.signal(number, signal.SIG_IGN)
    for module in loaded:
        with suppress(ImportError):  # the command that needs it says so
            import_module(module)
    gc.collect()
    gc.freeze()
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # until now whoever does not need the server any more can end it
    asked = _Serving(socket.socket(fileno=listener), life).next_command()
    if asked is None:
        return
    for number, handler in heard.items():
        signal.signal(number, handler)
    _begin(main, asked, prepare)


class _Serving:
    """The clients of a server and their commands."""

    def __init__(self, listener: socket.socket, life: int) -> None:
        self._selector = selectors.DefaultSelector()
        self._selector.register(listener, selectors.EVENT_READ, partial(self._meet, listener))
        self._selector.register(life, selectors.EVENT_READ, partial(self._stop, listener, life))
        self._address = listener.getsockname()
        self._commands: dict[socket.socket, int] = {}  # their processes
        self._is_stopping = False

    def next_command(self) -> int | None:
        """Serve; returns what is asked, a descriptor, in the process that has forked for it, and None in the end."""
        while not self._is_stopping or self._commands:
            for key, _ in self._selector.select():
                if key in self._selector.get_map().values() and (asked := key.data()) is not None:
                    return int(asked)
        shutil.rmtree(Path(self._address).parent, ignore_errors=True)
        return None

    def _meet(self, listener: socket.socket) -> None:
        client, _ = listener.accept()
        self._selector.register(client, selectors.EVENT_READ, partial(self._hear, client))

    def _stop(self, listener: socket.socket, life: int) -> None:
        self._is_stopping = True
        for each in (listener, life):
            self._selector.unregister(each)
        listener.close()

    def _hear(self, client: socket.socket) -> int | None:
        """Begin the command that a client asks for, pass on a signal, or kill the command of one that was killed."""
        if client not in self._commands:
            return self._fork(client)
        numbers = b""
        with suppress(OSError):
            numbers = client.recv(64)
        if not numbers:
            self._selector.unregister(client)
            numbers = bytes([signal.SIGKILL])
        for number in numbers:
            with suppress(ProcessLookupError):
                os.kill(self._commands[client], number)
        return None

    def _fork(self, client: socket.socket) -> int | None:
        given: list[int] = []
        try:
            _, given, _, _ = socket.recv_fds(client, 1, 4)
            process = os.fork() if given else -1
        except OSError:
            process = -1
        if process == -1:  # a client that is still there starts the command itself
            for descriptor in given:
                os.close(descriptor)
            self._selector.unregister(client)
            client.close()
            return None
        if process == 0:
            self._let_go()
            _end_with_parent()
            for stream in range(3):
                os.dup2(given[stream], stream)
                os.close(given[stream])
            return given[3]
        for descriptor in given:
            os.close(descriptor)
        self._commands[client] = process
        with suppress(OSError):
            client.send(b".")
        ended = os.pidfd_open(process)
        self._selector.register(ended, selectors.EVENT_READ, partial(self._tell, client, ended))
        return None

    def _tell(self, client: socket.socket, ended: int) -> None:
        """Tell a client how its command has ended."""
        self._selector.unregister(ended)
        os.close(ended)
        _, status = os.waitpid(self._commands.pop(client), 0)
        with suppress(KeyError):
            self._selector.unregister(client)
        with suppress(OSError), client:
            client.sendall(str(os.waitstatus_to_exitcode(status)).encode())

    def _let_go(self) -> None:
        """Close all that is the server's."""
        for key in [*self._selector.get_map().values()]:
            os.close(key.fd)
            if isinstance(key.fileobj, socket.socket):
                key.fileobj.detach()
        self._selector.close()


def _end_with_parent() -> None:
    """Have this process killed when the server is, for nobody would hear how it ends."""
    library = ctypes.CDLL(None)
    library.prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL))
    library.prctl(_PR_SET_NAME, b"reseed")


def _begin(main: Main, asked: int, prepare: Callable[[], None]) -> NoReturn:
    """Run a command, as if this process had been started for it."""
    with open(asked, "rb") as file:
        file.seek(0)
        arguments, folder, environment = marshal.load(file)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    tempfile.tempdir = None  # the environment says where
    sys.argv = ["reseed", *arguments]
    prepare()
    status = _status_of(main, arguments)
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):
            stream.flush()
    os._exit(status)  # to take apart all that was loaded takes longer than many commands


def _status_of(main: Main, arguments: list[str]) -> int:
    """Return the exit status of a command; what it raises is printed."""
    try:
        main(arguments, prog_name="reseed")
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    except BaseException:
        sys.excepthook(*sys.exc_info())
        return 1
    return 0
