"""How one state of a store takes the place of another: store.json first, then what the old state had for itself.

What is to be moved and removed is written down before store.json is replaced, so that an edit that dies in between is
completed by the next command: what was dropped must not stay on the disk.
"""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from reseed.store import atomic
from reseed.store.bounded import read_json
from reseed.store.cache import kept
from reseed.store.checks import check_digest
from reseed.store.errors import StoreBusyError, StoreError, WriteError
from reseed.store.format import OF_SHARDS, REJECTS_NAME, VERSIONS, Header
from reseed.store.header import header_text, read_header, read_text_of, write_header
from reseed.store.lock import LOCK_NAME, editing
from reseed.store.url import AnyPath, Url
from reseed.store.versions import Change, files_of_versions, is_of_versions, log_change, rejects_path

Used = TypeVar("Used")

REMOVAL_NAME = ".removal.json"
NEXT_REJECTS_NAME = ".next.rejects.parquet"


def replace_header(store: Path, header: Header, text: str | None = None, change: Change | None = None) -> None:
    """Write store.json; then what it does not list is moved to the earlier states that list it, or removed.

    New rejects take their place after store.json, for the old ones are the old state's; `use_rejects` finds them
    meanwhile.

    Args:
        text: of store.json, as in `write_header`.
        change: what is done to the present store, which stays readable; None: another store takes its place, and its
            earlier states go.
    """
    try:
        note = _noted(store, header, header_text(header) if text is None else text, change)
        if note["remove"] or note["retire"]:
            atomic.write_json(store / REMOVAL_NAME, note)
        write_header(store, header, text)
    except WriteError:
        _forget_next(store)
        raise
    complete_removal(store)


def remove_versions(store: Path, names: list[str]) -> int:
    """Remove files of earlier states of a store; returns how many there were."""
    header = read_header(store)
    atomic.write_json(store / REMOVAL_NAME, _note(header, names, []))
    return complete_removal(store)


def _noted(store: Path, header: Header, text: str, change: Change | None) -> dict[str, list[str]]:
    """Log a change, and return what is to be removed and what is to be kept of the present state."""
    listed = {file.name for shard in header.shards for file in shard.files}
    found = {f"shards/{path.name}" for path in (store / "shards").glob("*") if OF_SHARDS.fullmatch(path.name)}
    strays = found - listed
    try:
        before, present = read_text_of(store), read_header(store)
    except StoreError:  # nothing was there, or nothing of use
        return _note(header, strays.union(files_of_versions(store, log=True)), set())
    left = _planned(store / REMOVAL_NAME, present)["remove"]  # by an edit that was interrupted, whose note goes now
    strays.update(filter(is_of_versions, left))
    if text == before:
        return _note(header, strays, set())
    if change is None:
        return _note(header, strays.union(files_of_versions(store, log=True)), set())
    log_change(store, text, use_rejects(store, present, Path), change)
    if change.forgets:
        return _note(header, strays.union(files_of_versions(store)), set())
    retired = strays & {file.name for shard in present.shards for file in shard.files}
    return _note(header, strays - retired, retired)


def _note(header: Header, removed: Any, retired: Any) -> dict[str, list[str]]:
    names = [shard.name for shard in header.shards]
    return {"shards": names, "remove": sorted(removed), "retire": sorted(retired)}


def _forget_next(store: Path) -> None:
    """Remove what was written ahead of a header that could not be: the old state stands."""
    try:
        complete_removal(store)
    except StoreError:  # there is no old state
        for name in (REMOVAL_NAME, NEXT_REJECTS_NAME):
            (store / name).unlink(missing_ok=True)


def complete_removal(store: AnyPath) -> int:
    """Remove what an edit was to remove when it was interrupted; returns how many files that were.

    Nothing is removed where the edit had not come to replace store.json: the old state stands. Whoever is at an edit
    completes it himself.
    """
    if isinstance(store, Url):  # it is changed here and copied there
        return 0
    left = (REMOVAL_NAME, NEXT_REJECTS_NAME, LOCK_NAME)
    if not any((store / name).exists() for name in left):
        return 0
    try:
        with editing(store):
            return _complete_removal(store)
    except StoreBusyError:
        return 0


def _complete_removal(store: Path) -> int:
    note, rejects = store / REMOVAL_NAME, store / NEXT_REJECTS_NAME
    header = read_header(store)
    if rejects.exists() and atomic.sha256_file(rejects) == header.rejects.sha256:
        rejects.replace(store / REJECTS_NAME)
    planned = _planned(note, header)
    for name in filter(lambda name: (store / name).exists(), planned["retire"]):
        place = store / VERSIONS / name
        atomic.make_directory(place.parent)
        (store / name).replace(place)
    found = [path for name in planned["remove"] if (path := store / name).exists()]
    for path in (*found, note, rejects):
        path.unlink(missing_ok=True)
    for folder in (store / VERSIONS / "shards", store / VERSIONS):
        with suppress(OSError):  # it is not empty, or not there
            folder.rmdir()
    return len(found)


def _planned(note: Path, header: Header) -> dict[str, list[str]]:
    """Return what an edit has noted, where it came to replace store.json: names of files that are a store's own."""
    listed = {file.name for shard in header.shards for file in shard.files}
    try:
        planned = read_json(note)
        if planned["shards"] != [shard.name for shard in header.shards]:
            raise ValueError
        named = {key: [str(name) for name in planned[key] if name not in listed] for key in ("remove", "retire")}
    except (OSError, ValueError, KeyError, TypeError):
        return {"remove": [], "retire": []}
    return {
        "remove": [name for name in named["remove"] if _is_of_shards(name) or is_of_versions(name)],
        "retire": [name for name in named["retire"] if _is_of_shards(name)],
    }


def _is_of_shards(name: str) -> bool:
    folder, _, file = name.rpartition("/")
    return folder == "shards" and OF_SHARDS.fullmatch(file) is not None


def use_rejects(store: AnyPath, header: Header, use: Callable[[Path], Used], version: int | None = None) -> Used:
    """Return what `use` makes of the list of rejects of a state of a store: it may not yet have taken its place.

    Args:
        version: number of the state, if it is an earlier one.

    Raises:
        StoreError: the list is missing or damaged.
    """
    names = [REJECTS_NAME, NEXT_REJECTS_NAME, REJECTS_NAME]  # it may take its place in between
    places = [store / name for name in names] if version is None else [rejects_path(store, version)]
    for place in places:
        listed = replace(header.rejects, name=place.name)
        try:
            check_digest(place, listed)
            if isinstance(place, Url):
                return use(kept(place, listed))
            used = use(place)
            check_digest(place, listed)
            return used
        except StoreError as error:
            found = error
        except FileNotFoundError:
            found = StoreError(f"{place} is missing; extract the store again")
    raise found


def removed_files(count: int) -> str:
    """Return in words what completing a removal came to; nothing where there was none to complete."""
    return f"; {count} files that an interrupted edit was to remove are gone now" if count else ""
