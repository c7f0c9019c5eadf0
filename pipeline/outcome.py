"""What a run has come to, in a few lines: its first result, what was made, what stayed as it was, where time went."""

import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow.parquet as pq

from reseed.pipeline import layout
from reseed.pipeline.config import RunConfig
from reseed.pipeline.inputs import Inputs
from reseed.pipeline.plan import Plan
from reseed.pipeline.progress import Progress, duration
from reseed.stages.common.prose import counted, listed
from reseed.store.bounded import read_json
from reseed.store.format import REJECTS_NAME

# What the files of a run are called, by the folder that they lie in.
_NOUNS = {
    "corpus": "list",
    "backbones": "backbone",
    "frontends": "front end",
    "stores": "store",
    "models": "model",
    "scores": "score file",
}


@dataclass(frozen=True)
class Before:
    """What was there when a run began.

    Attributes:
        made: when each file that the run makes was written, in nanoseconds; those that are there.
    """

    made: Mapping[Path, int]
    begun_s: float

    @classmethod
    def of(cls, config: RunConfig, folder: Path) -> "Before":
        """Look into the folder of a run."""
        return cls(_times(Inputs(Plan(config)).targets(), folder), time.time())


def outcome(config: RunConfig, folder: Path, before: Before, progress: Progress) -> Iterator[str]:
    """Yield what a run that has ended well has come to, a line each."""
    page, plan = folder / layout.PAGE, Plan(config)
    targets = Inputs(plan).targets()
    if page.exists():
        yield from _first_sentence(folder / layout.CONCLUSIONS)
        yield f"report: {page}"
    rejected = [f"{counted(rows, 'recording')} ({path})" for path, rows in _rejects(plan, targets, folder)]
    if rejected:
        yield f"rejected: {listed(rejected)}"
    if not progress.planned:
        yield "Nothing to be done: all is up to date"
        return
    now = _times(targets, folder)
    kept = {path for path, time_ns in now.items() if before.made.get(path) == time_ns}
    if kept:
        yield f"made: {_counted(now.keys() - kept)}; as before: {_counted(kept)}"
    yield f"{progress.where_the_time_went()}; in all {duration(time.time() - before.begun_s)}"


def _first_sentence(path: Path) -> Iterator[str]:
    """Yield what a report says first; reports of earlier versions keep it to their page."""
    if path.is_file():
        yield from (row["sentence"].replace("\u202f", " ") for row in read_json(path)[:1])


def _rejects(plan: Plan, targets: Sequence[Path], folder: Path) -> Iterator[tuple[Path, int]]:
    """Yield each list of what could not be used that has something on it: those of manifests and extracted stores."""
    listed_in = [path.parent for path in targets if path.parts[0] == "corpus"]
    stored_in = [layout.store(backbone, split) for backbone, splits in plan.extracted.items() for split in splits]
    for path in (folder / place / REJECTS_NAME for place in dict.fromkeys([*listed_in, *stored_in])):
        if path.is_file() and (rows := pq.read_metadata(path).num_rows):
            yield path, rows


def _times(targets: Sequence[Path], folder: Path) -> dict[Path, int]:
    named = [path for path in targets if path.parts[0] in _NOUNS]
    files = {path for path in named if not path.parent.name.endswith(".jobs")}
    return {path: (folder / path).stat().st_mtime_ns for path in files if (folder / path).exists()}


def _counted(paths: set[Path]) -> str:
    numbers = Counter(path.parts[0] for path in paths)
    return listed([counted(numbers[each], noun) for each, noun in _NOUNS.items() if numbers[each]] or ["nothing"])
