"""`extract`: utterances x crops x views -> a store, shard by shard, through the frozen backbone."""

import sys
from dataclasses import dataclass
from pathlib import Path

from stages.audio.recipe import ExtractSettings
from stages.backbones import Backbone
from stages.extraction import Extraction, plan_shards
from store import ConfigError, EmbeddingStore, StoreError, finalise


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


def extract(
    *,
    utterances: Path,
    store: Path,
    backbone: Backbone,
    settings: ExtractSettings,
    seed: int,
    shards: int,
    sources: dict[str, Path] | None = None,
    job: Job | None = None,
    device: str = "cpu",
) -> str:
    """Extract a store, or with `job` only some of its shards. Shards already sealed by this recipe are kept.

    Args:
        utterances: corpus manifest; every row not rejected gives crops x views vectors.
        sources: "noise", "music", "rir", "babble" -> manifest of the recordings that views draw from; babble comes
            from `utterances` by default.
        shards: how many shards the store has; a shard is the unit of work, of resume and of loss.

    Returns:
        One sentence on what was done.

    Raises:
        ConfigError: a view asks for a source that is not given.
        ManifestError: a manifest cannot be read.
        StoreError: the store cannot be written, or was edited since it was extracted.
    """
    extraction = Extraction.of(utterances, sources or {}, backbone, settings, seed, device)
    if _is_done(store, extraction):
        return f"{store}: nothing to do, all utterances are stored or rejected"
    plan = plan_shards(len(extraction.rows), shards)
    names = [extraction.name(index, stretch) for index, stretch in enumerate(plan)]
    todo = [index for index in extraction.missing(store, names) if job is None or index % job.count == job.index]
    for done, index in enumerate(todo, start=1):
        extraction.write(store, index, plan[index])
        print(f"{store}: shard {index} written ({done} of {len(todo)})", file=sys.stderr, flush=True)
    if job is not None:
        return f"{store}: {len(todo)} shards written by job {job.index}/{job.count}"
    header = finalise(store, extraction.declaration, names, len(extraction.rows))
    retry = " (see rejects.parquet; `reseed append --retry` tries them again)" if header.rejected else ""
    return f"{store}: {header.stored} utterances stored, {header.rejected} rejected{retry}, {len(todo)} shards written"


def _is_done(store: Path, extraction: Extraction) -> bool:
    """Say whether the store is finished and whole, however it is cut into shards.

    Raises:
        StoreError: it was edited since it was extracted, and extracting would undo that.
    """
    try:
        header = EmbeddingStore(store).header
    except StoreError:
        return False
    edits = ", ".join(edit["what"] for edit in header.declaration.inputs.get("edits", []))
    if edits:
        raise StoreError(f"{store} was edited ({edits}), which extracting would undo; remove it or write elsewhere")
    return header.fingerprint == extraction.declaration.fingerprint
