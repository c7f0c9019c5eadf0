"""How far a run is: its state, its stores shard by shard, and what its steps failed of. Read from its files alone."""

import re
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from reseed.pipeline import layout
from reseed.pipeline.ended import failures
from reseed.pipeline.events import Reader
from reseed.pipeline.inputs import Inputs
from reseed.pipeline.loading import load_config
from reseed.pipeline.plan import Plan
from reseed.pipeline.progress import Progress, duration
from reseed.pipeline.record import is_running, read_record
from reseed.stages.common.terminal import lines

_WRITTEN = re.compile(r"\((\d+) of (\d+)\)$", re.MULTILINE)  # what `reseed extract` says of each shard
_MOST_FAILURES = 8


@dataclass(frozen=True)
class StoreProgress:
    """How far the extraction of a store is.

    Attributes:
        shards: those that are sealed.
        left: those that are to come, as far as the logs of its jobs say; None: nobody says.
        rate_per_h: shards an hour since the run was last started; None: fewer than two were sealed since.
    """

    name: str
    is_sealed: bool
    shards: int
    left: int | None
    rate_per_h: float | None

    @property
    def hours_left(self) -> float | None:
        return self.left / self.rate_per_h if self.left is not None and self.rate_per_h else None

    def line(self) -> str:
        if self.is_sealed:
            return f"{self.name}: sealed, {self.shards} shards"
        total = "" if self.left is None else f" of about {self.shards + self.left}"
        rate = "" if self.rate_per_h is None else f", {self.rate_per_h:.3g} an hour"
        end = "" if self.hours_left is None else f", about {self.hours_left:.2g} h to go"
        return f"{self.name}: {self.shards}{total} shards{rate}{end}"


@dataclass(frozen=True)
class Status:
    """How far a run is.

    Attributes:
        state: running; finished, failed or interrupted, as it last ended; killed: it could not say so.
        made: how many of the files of the run are there, of `files`.
        failures: what steps said last, or what became of jobs of Slurm, since the run was last started.
        at_work: the steps of a run that is running, how long each takes, and what it said last.
    """

    folder: Path
    state: str
    since: str
    host: str
    made: int
    files: int
    stores: list[StoreProgress]
    failures: list[str]
    at_work: list[str]

    def to_json(self) -> dict[str, Any]:
        return asdict(self) | {"folder": str(self.folder)}

    def summary(self) -> str:
        return lines(self._lines())

    def _lines(self) -> Iterator[str]:
        yield f"{self.folder}: {self.state} since {self.since} ({self.host}); {self.made} of {self.files} files made"
        yield from (f"  {store.line()}" for store in self.stores)
        yield from (f"  at work: {step}" for step in self.at_work)
        yield from (f"  failed: {failure}" for failure in self.failures)


def status(folder: Path) -> Status:
    """Return how far the run in a folder is.

    Raises:
        ConfigError: it is no run.
    """
    layout.check_run(folder)
    plan, record = Plan(load_config(folder / layout.CONFIG, as_written=True)), read_record(folder)
    started_s = datetime.fromisoformat(record.started).timestamp() if record else 0.0
    targets = list(dict.fromkeys(Inputs(plan).targets()))
    stores = [(name, split) for name, splits in plan.extracted.items() for split in splits]
    ended = record.outcome or "killed" if record else "of an older version"
    state = "running" if is_running(folder) else ended
    return Status(
        folder=folder,
        state=state,
        since=(record.ended or record.started) if record else "an unknown time",
        host=record.host if record else "an unknown host",
        made=sum((folder / target).exists() for target in targets),
        files=len(targets),
        stores=[_store(folder, *store, plan.run.extract.jobs, started_s) for store in stores],
        failures=failures(folder, int(started_s * 1e9))[:_MOST_FAILURES],
        at_work=list(_at_work(folder)) if state == "running" else [],
    )


def _at_work(folder: Path) -> Iterator[str]:
    progress = Progress(folder)
    for event in Reader(folder / layout.EVENTS).new():
        progress.take(event)
    for step in progress.running:
        says = progress.says(step)
        yield f"{step.message} ({duration(step.seconds)}){f': {says}' if says else ''}"


def _store(folder: Path, backbone: str, split: str, jobs: int, started_s: float) -> StoreProgress:
    times = sorted(path.stat().st_mtime for path in (folder / layout.store(backbone, split)).glob("shards/*.parquet"))
    recent = [each for each in times if each >= started_s]
    is_sealed = (folder / layout.store_json(backbone, split)).exists()
    return StoreProgress(
        name=f"{backbone}/{split}",
        is_sealed=is_sealed,
        shards=len(times),
        left=0 if is_sealed else _left(folder, backbone, split, jobs),
        rate_per_h=3600 * (len(recent) - 1) / max(time.time() - recent[0], 1) if len(recent) > 1 else None,
    )


def _left(folder: Path, backbone: str, split: str, jobs: int) -> int | None:
    """Return how many shards its jobs still have to write; of those that have said nothing yet as many as of others."""
    totals, left = [], 0
    for job in range(jobs):
        log = folder / layout.log("extract", backbone, split, str(job))
        said = _WRITTEN.findall(log.read_text(encoding="utf-8", errors="replace")) if log.exists() else []
        if said:
            done, total = map(int, said[-1])
            totals.append(total)
            left += total - done
    silent = jobs - len(totals)
    return left + round(silent * sum(totals) / len(totals)) if totals else None
