"""`append`: utterances that a finished store lacks, or its rejects once more, into new shards of that store."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from reseed.stages.audio.manifest import digest_of, digest_rows
from reseed.stages.extraction.extraction import Extraction, Order
from reseed.store import Declaration, EmbeddingStore, StoreError, append_shards, grown, read_rejects
from reseed.store.format import REJECTS_NAME
from reseed.store.lock import editing
from reseed.store.writer import complete_removal


def append(
    *,
    order: Order,
    store: Path,
    shards: int = 1,
    retry: bool = False,
) -> str:
    """Extract what a store lacks into new shards; no shard that it has is touched. An interrupted one is resumed.

    Args:
        order: as the store was made by. Of its utterances those that the store neither holds nor rejected are taken;
            where its views hold babble, its sources hold the babble manifest too (the old utterances).
        shards: how many new shards.
        retry: extract the store's rejects instead, as far as the manifest lists them.

    Returns:
        One sentence on what was done.

    Raises:
        StoreError: no store, or one that another recipe has made; names what differs.
        ConfigError, ManifestError: as `extract`.
    """
    with editing(store):  # from reading what is there to sealing what is added
        complete_removal(store)
        return _append(order, store, shards, retry)


def _append(order: Order, store: Path, shards: int, retry: bool) -> str:
    old = EmbeddingStore(store)
    extraction = Extraction.of(order)
    _check_same_recipe(store, old.header.declaration, extraction.declaration)
    rejects = {reject.utterance_id: reject for reject in read_rejects(store / REJECTS_NAME)}
    known = {*old.utterance_ids(), *rejects}
    chosen = [
        row for row in extraction.rows if (row.utterance_id in rejects if retry else row.utterance_id not in known)
    ]
    if not chosen:
        return f"{store}: nothing to {'retry' if retry else 'append'}"
    row_digests = digest_rows(chosen)
    declaration = grown(old.header.declaration, "retry" if retry else "append", digest_of(row_digests))
    growth = replace(extraction, rows=chosen, row_digests=row_digests, declaration=declaration)
    first = max((shard.index for shard in old.shards), default=-1) + 1
    plan = growth.plan(min(shards, len(chosen)))
    names = growth.names(plan, first)
    for place in growth.missing(store, names):
        growth.write(store, first + place, plan[place])
    retried = {row.utterance_id for row in chosen}  # in an append they are none of the rejects
    left = [reject for name, reject in rejects.items() if name not in retried]
    expected = old.header.expected + (0 if retry else len(chosen))
    header = append_shards(store, names, declaration, expected, left)
    return f"{store}: {header.stored - old.header.stored} utterances added, {header.rejected} rejected in all"


def _check_same_recipe(store: Path, old: Declaration, new: Declaration) -> None:
    ours, theirs = _recipe(old), _recipe(new)
    differing = sorted(key for key in ours.keys() | theirs.keys() if ours.get(key) != theirs.get(key))
    if differing:
        shown = "; ".join(f"{key}: {ours.get(key)} in the store, {theirs.get(key)} now" for key in differing)
        raise StoreError(f"{store} was made by another recipe, so nothing can be appended ({shown})")


def _recipe(declaration: Declaration) -> dict[str, Any]:
    """Return all that decides a vector, given its utterance, flat and without the utterances themselves."""
    inputs = {key: value for key, value in declaration.inputs.items() if key not in ("edits", "manifests")}
    manifests = {f"{key} manifest": value for key, value in declaration.inputs["manifests"].items()}
    manifests.pop("utterances manifest")
    fixed = ("dim", "dtype", "views", "crops", "space", "vectors")
    return {**{key: getattr(declaration, key) for key in fixed}, **inputs, **manifests}
