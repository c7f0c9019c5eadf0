"""`verify`: check every file of a store against what was written, and its coverage of a manifest."""

from pathlib import Path

from reseed.stages.audio.manifest import read_manifest
from reseed.store import EmbeddingStore, StoreError, problems
from reseed.store.shards import as_opened
from reseed.store.states import complete_removal, removed_files
from reseed.store.url import AnyPath


def verify(*, store: AnyPath, utterances: Path | None = None, version: int | None = None) -> str:
    """Check a store; what an edit that was interrupted had left to remove is removed.

    Args:
        utterances: manifest whose every row should be stored or rejected.
        version: number of an earlier state to check; None: the present one.

    Returns:
        One sentence where all is well.

    Raises:
        StoreError: lists every problem, one a line, each with its file.
    """
    removed = complete_removal(store)
    opened = EmbeddingStore(store, version=version)
    ids = None if utterances is None else [row.utterance_id for row in read_manifest(utterances)]
    with as_opened(store, lambda now: now == opened.header, opened.version):
        if found := list(problems(store, opened.header, ids, opened.version)):
            raise StoreError(f"{store}: {len(found)} problems", *found)
    return f"{store}: {len(opened)} vectors in {len(opened.shards)} shards, all as sealed{removed_files(removed)}"
