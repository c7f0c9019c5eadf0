"""Why a run stopped, in one line: from the logs of its steps, or from what Snakemake said of the jobs it had sent."""

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

from reseed.pipeline import layout

_HARDLY_ANY = 1 << 20  # bytes
_REFUSED = re.compile(r"sbatch failed.*?The error message was '(.*?)'\.?$", re.DOTALL | re.MULTILINE)
_SLURM_SAID = re.compile(r"^(?:slurmstepd|srun)[^:]*: error: (.*)$", re.MULTILINE)
_KILLED = re.compile(r"returned non-zero exit status 137\b|died with <Signals.SIGKILL")
_ENDED = re.compile(r"SLURM-job '(\S+)' failed.*?SLURM status is: '(\w+)'")


def why_it_stopped(folder: Path, since_ns: int) -> str:
    """Return why the run in a folder stopped.

    Args:
        since_ns: when it was started; what is older tells of earlier starts.
    """
    for path, line in _said_by_steps(folder, since_ns):
        return f"{line} ({path})"
    for reason in _said_of_jobs(folder, since_ns):
        return reason
    said = folder / layout.SAID
    if said.is_file() and _KILLED.search("\n".join(_lines(said))):
        return f"a step was killed, for want of memory most likely: see the messages above and {folder / 'logs'}"
    free = shutil.disk_usage(folder).free
    if free < _HARDLY_ANY:  # neither Snakemake nor a log has room to say so
        return f"the disk of {folder} has {free:,} bytes left; make room and run again"
    return f"see the messages above and {folder / 'logs'}"


def failures(folder: Path, since_ns: int) -> list[str]:
    """Return what steps that failed said last, and how jobs of Slurm ended that failed."""
    said = [f"{line} ({path})" for path, line in _said_by_steps(folder, since_ns)]
    return list(dict.fromkeys([*said, *_said_of_jobs(folder, since_ns)]))


def _said_by_steps(folder: Path, since_ns: int) -> Iterator[tuple[Path, str]]:
    """Yield the one line that each failed step has left in its log, the last first."""
    for path in _newest((folder / "logs").rglob("*.log"), since_ns):
        for line in reversed(_lines(path)):
            if line.startswith("reseed: "):
                yield path, line.removeprefix("reseed: ")
                break


def _said_of_jobs(folder: Path, since_ns: int) -> Iterator[str]:
    """Yield what Slurm refused, or how its jobs ended, the last first."""
    logs = folder / layout.SLURM_LOGS
    for path in _newest((folder / ".snakemake" / "log").glob("*.log"), since_ns):
        text = "\n".join(_lines(path))
        for said in reversed(_REFUSED.findall(text)):
            reasons = [line.split("error: ", 1)[-1].strip() for line in said.splitlines()]
            yield f"Slurm refused a job: {'; '.join(reasons)} (docs/clusters.md)"
        for job, state in reversed(_ENDED.findall(text)):
            words = "".join(f": {said}" for path in logs.rglob(f"{job}.log") if (said := _words(path)))
            yield f"Slurm job {job} ended as {state}{words}; Slurm's own logs: {logs}"
    for path in _newest(logs.rglob("*.log"), since_ns):  # of jobs that several steps share Snakemake says nothing
        if words := _words(path):
            yield f"Slurm job {path.stem}: {words} ({path})"


def _words(path: Path) -> str:
    """Return the first error in Slurm's log of a job: of its memory, its time, its node."""
    found = _SLURM_SAID.search("\n".join(_lines(path)))
    return found.group(1).strip("* ") if found else ""


def _newest(paths: Iterator[Path], since_ns: int) -> list[Path]:
    recent = [(path.stat().st_mtime_ns, path) for path in paths]
    return [path for time_ns, path in sorted(recent, reverse=True) if time_ns >= since_ns]


def _lines(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8", errors="replace").splitlines()
