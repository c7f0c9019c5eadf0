"""`extract`: utterances x crops x views -> a store, shard by shard, through the frozen backbone."""

import pickle
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from reseed.stages.common.execution import Execute, in_process
from reseed.stages.common.space import check_space
from reseed.stages.common.terminal import log
from reseed.stages.extraction.extraction import Extraction
from reseed.stages.extraction.order import ExtractOrder
from reseed.store import ConfigError, EmbeddingStore, StoreError, atomic, finalise
from reseed.store.format import Header
from reseed.store.lock import editing, remove_locks
from reseed.store.outputs import check_apart, check_store
from reseed.store.share import link_store
from reseed.store.states import complete_removal


@dataclass(frozen=True)
class Job:
    """Which shards one process renders: those whose index is `index` modulo `count`."""

    index: int
    count: int

    @classmethod
    def parse(cls, text: str) -> "Job":
        """Parse "2/8": the third of eight jobs."""
        index, _, count = text.partition("/")
        if not (index.isdecimal() and count.isdecimal() and int(index) < int(count)):
            raise ConfigError(f"job {text!r} is not INDEX/COUNT with INDEX from 0 to COUNT - 1, e.g. 0/4")
        return cls(int(index), int(count))

    def marker(self, store: Path) -> Path:
        """Return the file beside a store that says what this job made for it."""
        return store.with_name(f"{store.name}.jobs") / str(self.index)


@dataclass(frozen=True)
class ShardTask:
    """Writes a shard by its index, in any process: it travels as an order, and the extraction is opened on arrival."""

    extraction: Extraction | None
    order: bytes
    fingerprint: str
    store: Path
    plan: tuple[slice, ...]

    @classmethod
    def of(cls, extraction: Extraction, store: Path, plan: Sequence[slice]) -> "ShardTask":
        order = pickle.dumps(extraction.order.absolute())
        return cls(extraction, order, extraction.declaration.fingerprint, store.resolve(), tuple(plan))

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "extraction": None}

    def __call__(self, index: int) -> str:
        """Write a shard; returns its name.

        Raises:
            StoreError: this process sees other manifests, weights or code than the one that made the task.
        """
        extraction = self.extraction or _opened(self.order, self.fingerprint)
        return extraction.write(self.store, index, self.plan[index])


@lru_cache(maxsize=1)
def _opened(order: bytes, fingerprint: str) -> Extraction:
    """Open an extraction, once for all the shards that this process writes."""
    extraction = Extraction.open(pickle.loads(order))
    if extraction.declaration.fingerprint != fingerprint:
        raise StoreError(
            f"this worker sees other manifests, weights or code than the one who asked: "
            f"{extraction.order.utterances} and what belongs to it must be the same on every machine"
        )
    return extraction


def extract(
    *,
    order: ExtractOrder,
    store: Path,
    shards: int | None = None,
    job: Job | None = None,
    shared: Path | None = None,
    execute: Execute = in_process,
) -> str:
    """Extract a store, or with `job` only some of its shards. Shards already sealed by this recipe are kept.

    Args:
        shards: how many shards the store has; a shard is the unit of work, of resume and of loss.
        job: leaves STORE.jobs/INDEX once it is done, with the fingerprint and its shards, so that whoever waits for it
            sees that they are others than before.
        shared: a folder of stores by their fingerprints. The store is extracted there, unless it is there or another
            process is at it, and `store` gets the same files by hard links. All cut it alike, whatever `shards` says.
        execute: calls a function for each of some shards, here or on other machines, and yields as each is done.

    Returns:
        One sentence on what was done.

    Raises:
        ConfigError, ModelError: the backbone cannot be loaded.
        ManifestError: a manifest cannot be read.
        StoreError: the store cannot be written, or was edited since it was extracted.
    """
    check_apart([store], [*order.manifests.values(), order.frontend], StoreError)
    check_store(store)
    extraction = Extraction.open(order)
    place = store if shared is None else shared / extraction.declaration.fingerprint
    is_linked = _is_done(store, extraction)
    done = is_linked or (shared is not None and _is_done(place, extraction))
    plan = extraction.plan(shards if shared is None else None)
    names = extraction.names(plan)
    own = [index for index in range(len(plan)) if job is None or index % job.count == job.index]
    missing = set() if done else {*extraction.missing(place, names)}
    todo = [index for index in own if index in missing]
    utterances = sum(plan[index].stop - plan[index].start for index in todo)
    check_space(place, utterances * extraction.declaration.rows_per_utterance, extraction.declaration)
    _say(place, execute(ShardTask.of(extraction, place, plan), todo), len(todo), utterances)
    if job is not None:
        remove_locks(place, [names[index] for index in own if index not in missing])
        made = {"fingerprint": extraction.declaration.fingerprint, "shards": [names[index] for index in own]}
        atomic.write_json(job.marker(store), made)
    if is_linked or (done and job is not None):
        return f"{place}: nothing to do, all utterances are stored or rejected"
    if job is not None:
        return f"{place}: {len(todo)} shards written by job {job.index}/{job.count}"
    header = _sealed(place, extraction, names) if shared is None else _shared(place, store, extraction, names)
    retry = " (see rejects.parquet; `reseed append --retry` tries them again)" if header.rejected else ""
    return f"{store}: {header.stored} utterances stored, {header.rejected} rejected{retry}, {len(todo)} shards written"


def _say(place: Path, names: Iterable[str], shards: int, utterances: int) -> None:
    """Say of each shard that it is written, and at which rate; those that are written are of one length."""
    begun_s = time.monotonic()
    for written, name in enumerate(names, start=1):
        rate = utterances * written / shards / (time.monotonic() - begun_s)
        log(f"{place}: {rate:,.1f} utterances/s, shard {name} written ({written} of {shards})")


def _sealed(store: Path, extraction: Extraction, names: Sequence[str]) -> Header:
    return finalise(store, extraction.declaration, names, len(extraction.rows))


def _shared(place: Path, store: Path, extraction: Extraction, names: Sequence[str]) -> Header:
    """Seal a shared store unless another process has, and make `store` one of its files."""
    with editing(place, wait=True):
        if not _is_done(place, extraction):
            _sealed(place, extraction, names)
        return link_store(place, store, extraction.declaration)


def _is_done(store: Path, extraction: Extraction) -> bool:
    """Say whether the store is finished and whole, however it is cut into shards.

    Raises:
        StoreError: it was edited since it was extracted, and extracting would undo that.
    """
    try:
        complete_removal(store)
        header = EmbeddingStore(store).header
    except StoreError:
        return False
    edits = ", ".join(edit.what for edit in header.declaration.inputs.edits)
    if edits:
        raise StoreError(f"{store} was edited ({edits}), which extracting would undo; remove it or write elsewhere")
    return header.fingerprint == extraction.declaration.fingerprint
