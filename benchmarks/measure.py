"""Time contenders side by side, and watch the memory of fresh processes. Nothing here knows what a store is.

Contenders take turns within a round, each round starting with another one, so that a neighbour on the same machine
slows all alike. A ratio is taken within each round; the median of the rounds is reported with its quartiles.
"""

import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
_POLL_S = 0.002

Contender = Callable[[], float]
Rounds = dict[str, list[float]]


@dataclass(frozen=True)
class Ratio:
    """How many times the speed of a peer: median over the rounds and its quartiles."""

    median: float
    low: float
    high: float

    def __str__(self) -> str:
        digits = 3 if self.median < 0.1 else 2 if self.median < 10 else 0
        return f"{self.median:.{digits}f} ({self.low:.{digits}f}-{self.high:.{digits}f})"


@dataclass(frozen=True)
class Watched:
    """What a fresh process answered, its peak resident memory and the part of it that is anonymous, in MB."""

    answer: dict[str, Any]
    peak_rss_mb: float
    peak_anonymous_mb: float


def take_turns(
    contenders: Mapping[str, Contender], rounds: int, clock: Callable[[], float] = time.perf_counter
) -> Rounds:
    """Return seconds per contender and round, by a clock: `time.process_time` leaves out what others take of the cores.

    At its turn a contender runs twice and the second run is timed. In a virtual machine fresh memory can cost more than
    reading; without the first run that would be charged to whoever comes after one that freed a lot of it.

    Raises:
        AssertionError: contenders that do not return the same number: they did not read the same vectors.
    """
    names = list(contenders)
    seconds: Rounds = {name: [] for name in names}
    _check_alike({name: run() for name, run in contenders.items()})
    for number in range(rounds):
        first = number % len(names)
        for name in names[first:] + names[:first]:
            contenders[name]()
            start_s = clock()
            contenders[name]()
            seconds[name].append(clock() - start_s)
    return seconds


def speed_ratio(seconds: Rounds, ours: str, peer: str) -> Ratio:
    """Return the speed of `ours` in units of that of `peer`: above 1 is faster."""
    ratios = [theirs_s / ours_s for ours_s, theirs_s in zip(seconds[ours], seconds[peer], strict=True)]
    quartiles = statistics.quantiles(ratios, n=4) if len(ratios) > 1 else ratios * 3
    return Ratio(statistics.median(ratios), quartiles[0], quartiles[2])


def watch(module: str, *arguments: object) -> Watched:
    """Run `python -m module arguments`, which prints one line of JSON, and watch its memory from outside.

    Peak resident memory is VmHWM, which the process reads of itself as it ends: `ru_maxrss` would start at the size of
    the parent. The anonymous part (not backed by a file) has no high-water mark, so it is sampled.
    """
    command = [sys.executable, "-m", module, *map(str, arguments)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        anonymous_kb = 0
        while process.poll() is None:
            anonymous_kb = max(anonymous_kb, memory_kb(process.pid).get("RssAnon", 0))
            time.sleep(_POLL_S)
        assert process.stdout is not None
        printed = process.stdout.read()
    if process.returncode:
        raise RuntimeError(f"{' '.join(command)} failed with {process.returncode}")
    answer = json.loads(printed)
    return Watched(answer, answer.pop("peak_rss_kb") / 1e3, anonymous_kb / 1e3)


def memory_kb(pid: int | str = "self") -> dict[str, int]:
    """Return the memory lines of /proc/PID/status, e.g. VmHWM and RssAnon; none where the process has ended."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return {}
    return {line.split(":")[0]: int(line.split()[1]) for line in lines if line.endswith(" kB")}


def _check_alike(answers: Mapping[str, float]) -> None:
    first, expected = next(iter(answers.items()))
    for name, answer in answers.items():
        assert abs(answer - expected) <= 1.0 + 1e-6 * abs(expected), f"{name} gave {answer}, {first} {expected}"
