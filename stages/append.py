"""`append`: utterances that a finished store lacks, or its rejects once more, into new shards of that store."""

from dataclasses import replace
from pathlib import Path

from reseed.stages.audio.manifest import Utterance, digest_of, digest_rows
from reseed.stages.extraction.declaration import check_same_recipe
from reseed.stages.extraction.extraction import Extraction
from reseed.stages.extraction.order import ExtractOrder
from reseed.store import EmbeddingStore, Reject, append_shards, edited
from reseed.store.lock import editing
from reseed.store.states import complete_removal


def append(*, order: ExtractOrder, store: Path, shards: int = 1, retry: bool = False) -> str:
    """Extract what a store lacks into new shards; no shard that it has is touched. An interrupted one is resumed.

    Nobody else may change the store meanwhile.

    Args:
        order: as the store was made by. Of its utterances those that the store neither holds nor rejected are taken;
            where its views hold babble, its sources hold the babble manifest too (the old utterances).
        shards: how many new shards.
        retry: extract the store's rejects instead, as far as the manifest lists them.

    Returns:
        One sentence on what was done.

    Raises:
        StoreError: no store, one that another recipe has made, or one that somebody else is changing; says what
            differs, or who.
        ConfigError, ManifestError: as `extract`.
    """
    EmbeddingStore(store)  # the lock would make a folder
    with editing(store):
        return _append(order, store, shards, retry)


def _append(order: ExtractOrder, store: Path, shards: int, retry: bool) -> str:
    complete_removal(store)
    before, extraction = EmbeddingStore(store), Extraction.open(order)
    check_same_recipe(store, before.header.declaration, extraction.declaration)
    rejects = before.rejects()
    chosen = _chosen(extraction, before, rejects, retry)
    if not chosen:
        return f"{store}: nothing to {'retry' if retry else 'append'}"
    row_digests = digest_rows(chosen)
    declaration = edited(before.header.declaration, "retry" if retry else "append", digest_of(row_digests))
    addition = replace(extraction, rows=chosen, row_digests=row_digests, declaration=declaration)
    first = max((shard.index for shard in before.shards), default=-1) + 1
    plan = addition.plan(min(shards, len(chosen)))
    names = addition.names(plan, first)
    for place in addition.missing(store, names):
        addition.write(store, first + place, plan[place])
    tried = {row.utterance_id for row in chosen}  # in an append they are none of the rejects
    left = [reject for reject in rejects if reject.utterance_id not in tried]
    expected = before.header.expected + (0 if retry else len(chosen))
    header = append_shards(store, names, declaration, expected, left)
    return f"{store}: {header.stored - before.header.stored} utterances added, {header.rejected} rejected in all"


def _chosen(extraction: Extraction, before: EmbeddingStore, rejects: list[Reject], retry: bool) -> list[Utterance]:
    """Return the utterances to extract: those that the store rejected, or those that it has not met."""
    rejected = {reject.utterance_id for reject in rejects}
    if retry:
        return [row for row in extraction.rows if row.utterance_id in rejected]
    known = rejected.union(before.utterance_ids())
    return [row for row in extraction.rows if row.utterance_id not in known]
