"""`extend`: views that a finished store lacks; only these are rendered and embedded."""

from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path

from reseed.stages.common.space import check_space, tell_of_versions
from reseed.stages.common.terminal import log
from reseed.stages.extraction.extension import Extension, ShardToBe
from reseed.stages.extraction.extraction import Extraction
from reseed.stages.extraction.order import ExtractOrder
from reseed.store import ConfigError, EmbeddingStore, Reject, StoreError, finalise, read_seal
from reseed.store.format import Header
from reseed.store.lock import editing
from reseed.store.states import complete_removal
from reseed.store.versions import Change


def extend(*, order: ExtractOrder, store: Path, views: Collection[str] = ()) -> str:
    """Add views to a store. It comes out as if it had been extracted with all of them, byte for byte.

    New shards are written beside the old ones, which stay until all are there: the store is what it was until then,
    whatever happens, and the same call goes on where an interrupted one was. Nobody else may change it meanwhile.

    Args:
        order: as the store was made by, with more views; their order is that of the store to come.
        views: which of these to add; none: all that the store lacks.

    Returns:
        One sentence on what was done.

    Raises:
        StoreError: no store, one that another recipe or other recordings have made, or one that somebody else is
            changing; says what differs, or who.
        ConfigError: no such view; else as `extract`.
        ManifestError, ModelError: as `extract`.
    """
    if unknown := [name for name in views if name not in order.settings.views]:
        raise ConfigError(f"no view {unknown[0]!r} is configured; there are {', '.join(order.settings.views)}")
    EmbeddingStore(store)  # the lock would make a folder
    with editing(store):
        complete_removal(store)
        before = EmbeddingStore(store)
        chosen = {n: view for n, view in order.settings.views.items() if n in before.views or n in views or not views}
        settings = order.settings.model_copy(update={"views": chosen})
        return _extend(Extension.open(before, Extraction.open(replace(order, settings=settings))))


def _extend(extension: Extension) -> str:
    before, store = extension.before, extension.before.folder
    if not extension.new_views:
        return f"{store}: nothing to add, it has the views {', '.join(before.views)}"
    plan = extension.plan()
    todo = [to_be for to_be in plan if read_seal(store, to_be.name, to_be.declaration.vectors) is None]
    rows = sum(to_be.shard.utterances for to_be in todo) * extension.declaration().rows_per_utterance
    check_space(store, rows, extension.declaration())
    for written, to_be in enumerate(todo, start=1):
        extension.write(to_be)
        log(f"{store}: shard {to_be.name} written ({written} of {len(todo)})")
    header = _finalised(extension, plan)
    tell_of_versions(store)
    added, lost = ", ".join(extension.new_views), before.header.stored - header.stored
    rejected = f", {lost} rejected for a vector that is not finite" if lost else ""
    return f"{store}: {added} added to {header.stored} utterances{rejected}, {len(todo)} shards written"


def _finalised(extension: Extension, plan: Sequence[ShardToBe]) -> Header:
    before, store, declaration = extension.before, extension.before.folder, extension.declaration()
    stored, rejects = set(before.utterance_ids()), dict[str, Reject]()
    for to_be in plan:
        seal = read_seal(store, to_be.name, declaration.vectors)
        if seal is None:
            raise StoreError(f"{store}: shard {to_be.name} is gone; run the same command again")
        for reject in seal.rejects:
            rejects.pop(reject.utterance_id, None)  # one that was retried in vain is of the later shard
            rejects[reject.utterance_id] = reject
            if reject.utterance_id in to_be.reader.utterances:
                stored.discard(reject.utterance_id)
    left = [reject for name, reject in rejects.items() if name not in stored]
    names = [to_be.name for to_be in plan]
    change = Change(f"extend by {', '.join(extension.new_views)}")
    return finalise(store, declaration, names, before.header.expected, left, change=change)
