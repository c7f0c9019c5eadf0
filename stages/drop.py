"""`drop`: remove utterances or speakers from a store."""

from collections.abc import Collection
from pathlib import Path

from reseed import store as stores
from reseed.store.header import read_header
from reseed.store.share import is_linked
from reseed.store.writer import complete_removal, removed_files


def drop(*, store: Path, utterances: Collection[str] = (), speakers: Collection[str] = ()) -> str:
    """Remove every vector and catalogue row of some utterances or speakers.

    Returns:
        One sentence on what is left, and on what an edit that was interrupted had left to remove.

    Raises:
        StoreError: no store, an utterance or speaker that it does not have, or another edit is under way; nothing is
            changed.
    """
    removed = complete_removal(store)
    shared = is_linked(store, read_header(store))
    header = stores.drop(store, utterances=utterances, speakers=speakers)
    elsewhere = "; other stores share its files and still hold what was dropped: drop it there too" if shared else ""
    return f"{store}: {header.stored} utterances left{removed_files(removed)}{elsewhere}"
