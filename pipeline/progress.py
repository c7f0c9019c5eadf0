"""How far the steps of a run are: from the events that Snakemake tells, and from what the steps say in their logs."""

import os
import re
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from reseed.pipeline.events import Event
from reseed.stages.common.prose import counted, listed

# Stages as they are shown, in order, and the rules of each.
_STAGES = {
    "corpus": ("synthesise", "prepare", "vectors", "leakage", "divide", "trials", "held_out_trials"),
    "backbones": ("train_backbone", "train_frontend"),
    "extract": ("extract", "seal"),
    "train": ("train", "align"),
    "enhance": ("enhance", "map"),
    "score": ("score", "score_pair", "score_held_out", "quality", "calibrate"),
    "report": ("report", "audit"),
}
_STAGE_OF = {rule: stage for stage, rules in _STAGES.items() for rule in rules}
_SHARE = re.compile(
    r"\((\d+) of (\d+)\)$|^epoch (\d+)/(\d+)"
)  # `reseed extract` of its shards, a training of its epochs
_TAIL = 4096  # bytes of a log that hold its last line
_WARNING = "WARNING: "
_OF_RUN = re.compile(r"\s+--usage \S+|\s+(?:>\S+\s+)?2>&1.*", re.DOTALL)  # where a rule's command leaves what it says


@dataclass
class Step:
    """A step of a run: one command.

    Attributes:
        log: what it says, below the folder of the run.
        begun_s, ended_s: seconds since 1970.
    """

    rule: str = ""
    message: str = ""
    log: str | None = None
    command: str | None = None
    begun_s: float | None = None
    ended_s: float | None = None
    has_failed: bool = False

    @property
    def stage(self) -> str:
        return _STAGE_OF.get(self.rule, self.rule)

    @property
    def seconds(self) -> float:
        """How long it took, or has taken until now."""
        return 0.0 if self.begun_s is None else (self.ended_s or time.time()) - self.begun_s


@dataclass
class Progress:
    """The steps of the run in `folder`, as far as is known."""

    folder: Path
    planned: dict[str, int] = field(default_factory=dict)
    _steps: dict[int, Step] = field(default_factory=dict)

    def take(self, event: Event) -> Step | None:
        """Take up an event; returns the step that has ended by it."""
        if event["event"] == "plan":
            self.planned = {rule: int(number) for rule, number in event["steps"].items()}
            return None
        step = self._steps.setdefault(event["id"], Step())
        match event["event"]:
            case "step":
                step.rule, step.message, step.log, step.command = (
                    event[name] for name in ("rule", "message", "log", "command")
                )
            case "begun":
                step.begun_s, step.ended_s, step.has_failed = event["at_s"], None, False
            case "done" | "failed":
                step.ended_s, step.has_failed = event["at_s"], event["event"] == "failed"
                return step if step in self.steps else None
        return None

    @property
    def steps(self) -> list[Step]:
        """Those that have begun. A step begins before it is described; `all` does nothing."""
        return [step for step in self._steps.values() if step.begun_s is not None and step.rule not in ("", "all")]

    @property
    def running(self) -> list[Step]:
        return [step for step in self.steps if step.ended_s is None]

    @property
    def failed(self) -> list[Step]:
        return [step for step in self.steps if step.has_failed]

    @property
    def done(self) -> list[Step]:
        return [step for step in self.steps if step.ended_s is not None and not step.has_failed]

    @property
    def total(self) -> int:
        return sum(self.planned.values())

    def stages(self) -> Iterator[tuple[str, int, int]]:
        """Yield each stage that has steps to do: its name, how many are done, and how many there are."""
        planned: Counter[str] = Counter()
        for rule, number in self.planned.items():
            planned[_STAGE_OF.get(rule, rule)] += number
        done = Counter(step.stage for step in self.done)
        for stage in sorted(planned, key=[*_STAGES, *planned].index):
            yield stage, done[stage], planned[stage]

    def says(self, step: Step) -> str:
        """Return what a step says last, and how long it will take by that."""
        if step.log is None:
            return ""
        path = self.folder / step.log
        line = last_line(path)
        share = _SHARE.search(line)
        if share is None or step.begun_s is None or (written_s := _changed_s(path)) < step.begun_s:
            return line
        done, total = (int(number) for number in share.groups() if number)
        left_s = (written_s - step.begun_s) / max(done, 1) * (total - done) - (time.time() - written_s)
        return f"{duration(max(left_s, 0))} left; {line}" if done < total else line

    def warnings(self, step: Step) -> list[str]:
        """Return the warnings that a step has left in its log."""
        if step.log is None or not (self.folder / step.log).is_file():
            return []
        text = (self.folder / step.log).read_text(encoding="utf-8", errors="replace")
        return [line.removeprefix(_WARNING) for line in text.splitlines() if line.startswith(_WARNING)]

    def alone(self, step: Step) -> str | None:
        """Return the command that does a step alone, for a shell."""
        return None if step.command is None else _OF_RUN.sub("", step.command)

    def where_the_time_went(self) -> str:
        """Return how long the steps of each stage took, one after the other, the longest first."""
        took: dict[str, float] = {}
        for step in self.done:
            took[step.stage] = took.get(step.stage, 0.0) + step.seconds
        told = [f"{stage} {duration(seconds)}" for stage, seconds in sorted(took.items(), key=lambda each: -each[1])]
        return f"{counted(len(self.done), 'step')}: {listed(told or ['no time'])}"


def last_line(path: Path) -> str:
    """Return the last line of a file that says something; empty where there is none."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - _TAIL))
            text = file.read().decode("utf-8", "replace")
    except OSError:
        return ""
    return next((line.strip() for line in reversed(text.splitlines()) if line.strip()), "")


def duration(seconds: float) -> str:
    """Return a time in words: 8 s, 3 min 20 s, 2 h 5 min."""
    whole = round(seconds)
    if whole < 60:
        return f"{seconds:.1f} s" if seconds < 9.95 else f"{whole} s"
    minutes, rest = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60} h {minutes % 60} min"


def _changed_s(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0
