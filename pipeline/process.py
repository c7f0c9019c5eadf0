"""Snakemake as a process: how it is called, what it finds in its environment, how it is watched and ended."""

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from reseed.pipeline import events, layout
from reseed.pipeline.profiles import Profile
from reseed.pipeline.progress import Progress
from reseed.pipeline.view import View, view
from reseed.pipeline.warm import Server
from reseed.stages.common.terminal import log
from reseed.store import Terminated
from reseed.store.errors import ended_by

_QUESTIONS = {
    "-n",
    "--dry-run",
    "--dryrun",
    "-l",
    "--list-rules",
    "--lint",
    "-S",
    "--summary",
    "-D",
    "--detailed-summary",
}
_QUESTIONS |= {"--dag", "--rulegraph", "--filegraph", "-t", "--touch", "--unlock", "--cleanup-metadata", "-h", "--help"}
_PAUSE_S = 0.2  # between two looks at what has happened
_MOST_SAID = 40  # lines of Snakemake's own that are shown where it fails and no step has


def command_of(folder: Path, settings: Path, profile: Profile, cores: int | None) -> list[str]:
    """Return what starts Snakemake for a run.

    Args:
        cores: None: all of this machine, or what the profile says.
    """
    if not (profile.sends and "cores" in profile.settings):
        cores = cores or len(os.sched_getaffinity(0))
    return [
        *(sys.executable, "-m", "reseed.pipeline.plugins", f"--logger={events.PLUGIN}"),
        *("--snakefile", str(layout.project_file("Snakefile"))),
        *("--directory", str(folder)),
        *("--workflow-profile", str(profile.path)),
        *("--config", f"settings={settings}"),
        *(("--cores", str(cores)) if cores else ()),  # of a job that is sent: what the profile says
        "--nolock",  # Snakemake's own lock survives a kill; the run's lock does not
    ]


def environment(commands: Path | None = None) -> dict[str, str]:
    """Let rules find `reseed`, in a folder or this environment. Snakemake gives each job the threads of its rule."""
    first = [str(commands)] if commands else []
    path = os.pathsep.join([*first, str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    return {**os.environ, "PATH": path, "PYTHONUNBUFFERED": "1"}


def only_asks(extra: Sequence[str]) -> bool:
    """Whether arguments for Snakemake ask it something, so that its answer is wanted and no step is done."""
    return not _QUESTIONS.isdisjoint(word.partition("=")[0] for word in extra)


def follow(
    command: Sequence[str], folder: Path, lock: int, server: Server | None, *, as_it_is: bool
) -> tuple[int, View]:
    """Run Snakemake to its end, or until this process is interrupted or terminated, and show how far it is.

    The lock travels to Snakemake, so that it is held until the last of the two is gone, however they end, and so does
    what the server of steps lives by.

    Args:
        as_it_is: whether Snakemake's own messages are shown instead.

    Returns:
        Its exit status, and what has happened.
    """
    told, said = (folder / path for path in (layout.EVENTS, layout.SAID))
    told.parent.mkdir(exist_ok=True)
    told.unlink(missing_ok=True)
    held = [lock, server.life] if server else [lock]
    variables = {**environment(server.commands if server else None), events.FILE: str(told.resolve())}
    with said.open("wb") as output, view(Progress(folder), told, is_quiet=as_it_is) as shown:
        errors = None if as_it_is else output
        process = subprocess.Popen(command, env=variables, stderr=errors, pass_fds=held, preexec_fn=_interruptible)
        status = _watched(process, shown)
        shown.update()
    if status != 0 and not as_it_is:
        _say_why(shown, said)
    return status, shown


def _watched(process: subprocess.Popen[bytes], shown: View) -> int:
    try:
        while process.poll() is None:
            shown.update()
            with suppress(subprocess.TimeoutExpired):
                process.wait(_PAUSE_S)
        return process.wait()
    except KeyboardInterrupt as error:
        log("reseed: stopping, once what is at work has let go")
        try:  # Ctrl-C in a terminal has reached Snakemake too; a signal to this process alone has not
            process.wait(timeout=0 if isinstance(error, Terminated) else 5)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGINT)
            process.wait()
        raise type(error)(f"{ended_by(error)[1]}; run again to go on where it stopped") from None


def _say_why(shown: View, said: Path) -> None:
    """Say which steps have failed; where none has, what Snakemake said last."""
    failures = list(shown.failures())
    if not failures:
        lines = said.read_text(encoding="utf-8", errors="replace").splitlines()
        failures = [*(["..."] if len(lines) > _MOST_SAID else []), *lines[-_MOST_SAID:]]
    for line in failures:
        log(line)


def _interruptible() -> None:
    """Let Snakemake and its jobs be interrupted: what a shell script starts in the background ignores that."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
