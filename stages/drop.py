"""`drop`: remove utterances or speakers from a store."""

from collections.abc import Collection
from pathlib import Path

from reseed import store as stores


def drop(*, store: Path, utterances: Collection[str] = (), speakers: Collection[str] = ()) -> str:
    """Remove every vector and catalogue row of some utterances or speakers.

    Returns:
        One sentence on what is left.

    Raises:
        StoreError: no store, or an utterance or speaker that it does not have; nothing is changed.
    """
    header = stores.drop(store, utterances=utterances, speakers=speakers)
    return f"{store}: {header.stored} utterances left"
