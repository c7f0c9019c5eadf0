"""`drop`: remove utterances, speakers or views from a store."""

from collections.abc import Collection
from pathlib import Path

from reseed import store as stores
from reseed.stages.common.space import tell_of_versions
from reseed.stages.extraction.views import without_views
from reseed.store.header import read_header
from reseed.store.share import is_linked
from reseed.store.states import complete_removal, removed_files


def drop(
    *, store: Path, utterances: Collection[str] = (), speakers: Collection[str] = (), views: Collection[str] = ()
) -> str:
    """Remove every vector and catalogue row of some utterances, speakers or views.

    A store that was extracted comes out without a view as if it had been extracted without it, and its fingerprint says
    so; what was rejected stays so.

    Returns:
        One sentence on what is left, and on what an edit that was interrupted had left to remove.

    Raises:
        StoreError: no store, an utterance, speaker or view that it does not have, no view left, or another edit is
            under way; nothing is changed.
    """
    removed = complete_removal(store)
    header = read_header(store)
    shared = is_linked(store)
    there = header.declaration.view_names
    unknown = [name for name in views if name not in there]
    if unknown or (views and set(views) == set(there)):
        what = f"has no view {unknown[0]!r}" if unknown else "would have no view left"
        raise stores.StoreError(f"{store} {what}; it has {', '.join(there)}; nothing was dropped")
    if utterances or speakers:
        header = stores.drop(store, utterances=utterances, speakers=speakers)
    if views:
        header = stores.convert(
            store, f"drop view {', '.join(views)}", lambda declaration: without_views(declaration, views)
        )
    tell_of_versions(store)
    left = f"{header.stored} utterances" + (f" in {', '.join(header.declaration.views)}" if views else "")
    elsewhere = "; other stores share its files and still hold what was dropped: drop it there too" if shared else ""
    return f"{store}: {left} left{removed_files(removed)}{elsewhere}"
