"""Copies of stores between folders of this machine and other places.

Every file is compared with what store.json says of it, and store.json is copied last: until then readers see the state
that was there before, or no store. What an interrupted copy has brought is not copied again.
"""

import json
import shutil
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

from reseed.store import atomic, remote
from reseed.store.bounded import read_json
from reseed.store.cache import cache_folder, fetch_file, kept
from reseed.store.checks import check_digest
from reseed.store.errors import StoreError, WriteError
from reseed.store.format import (
    FORMAT_NAME,
    HEADER_NAME,
    OF_SHARDS,
    REJECTS_NAME,
    VERSIONS,
    Header,
    StoredFile,
    header_path,
    place_of_file,
)
from reseed.store.header import parse_header, read_text_of
from reseed.store.lock import editing
from reseed.store.outputs import check_apart, check_store
from reseed.store.remote_file import state_of_url
from reseed.store.shards import as_opened
from reseed.store.states import NEXT_REJECTS_NAME, replace_header, use_rejects
from reseed.store.url import AnyPath, Url
from reseed.store.versions import earlier, is_of_versions

Shown = Callable[[Sequence[StoredFile]], Iterable[StoredFile]]

_AT_ONCE = 4  # files
_OF_A_STORE = {HEADER_NAME, REJECTS_NAME, NEXT_REJECTS_NAME, "shards", VERSIONS}


@dataclass(frozen=True)
class Copied:
    """What was copied: the header of the store, and how many of its shards' files were not there before."""

    header: Header
    files: int


def copy_store(source: AnyPath, target: AnyPath, shown: Shown = iter, version: int | None = None) -> Copied:
    """Make `target` the same store as `source`, byte for byte; one of the two, or both, may lie elsewhere.

    Earlier states are not copied; one of them may be what is copied.

    Args:
        target: another store there is replaced.
        shown: passes the files on, to show how far the work is.
        version: number of an earlier state of `source`; None: the present one.

    Raises:
        StoreError: `source` is no store or damaged, `target` lies in it or is something else.
        WriteError: `target` cannot be written.
    """
    check_apart([target], [source], StoreError)
    version = earlier(source, version)
    text = read_text_of(source, version)
    header = parse_header(text, header_path(source, version))

    def where(file: StoredFile) -> AnyPath:
        return place_of_file(source, file.name, version)

    with as_opened(source, lambda now: now == header, version):
        if isinstance(target, Path):
            check_store(target)
            with editing(target):
                count = _each(header, shown, lambda file: _bring(where(file), file, target / file.name))
                _copy(use_rejects(source, header, Path, version), target / NEXT_REJECTS_NAME)
                replace_header(target, header, text)
            return Copied(header, count)
        before = _check_target(target)
        with _to(target):
            count = _each(header, shown, lambda file: _send(where(file), file, target / file.name))
            if before != text:
                _remove(target, VERSIONS, f"{VERSIONS}/shards")
            _replace_header(target, header, text, use_rejects(source, header, Path, version))
            _remove(target, "shards", but={file.name for shard in header.shards for file in shard.files})
        return Copied(header, count)


@contextmanager
def landing(place: AnyPath, *read: AnyPath) -> Iterator[Path]:
    """Yield a folder of this machine for a store that is to be written at `place`, and copy it there at the end.

    A finished store at `place` is copied here first, so that of what it holds nothing is made again; where the work is
    interrupted, the next call goes on with what there is here.

    Args:
        read: stores that the work reads; `place` is none of them.
    """
    if isinstance(place, Path):
        yield place
        return
    check_apart([place], read, StoreError)
    is_there = _check_target(place) != ""
    staged = cache_folder() / "outgoing" / atomic.digest(str(place))[:16]
    if is_there and not staged.exists():
        with suppress(StoreError):  # it may be damaged, and made again to mend that
            copy_store(place, staged)
    yield staged
    copy_store(staged, place)
    shutil.rmtree(staged)


def _each(header: Header, shown: Shown, copy: Callable[[StoredFile], bool]) -> int:
    """Copy the files of all shards, some at a time; returns how many were not there."""
    files = [file for shard in header.shards for file in shard.files]
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        copied = pool.map(copy, files)
        return sum(next(copied) for _ in shown(files))


def _bring(place: AnyPath, file: StoredFile, path: Path) -> bool:
    """Bring a file here; says whether it was not there yet."""
    if path.is_file() and path.stat().st_size == file.bytes and atomic.sha256_file(path) == file.sha256:
        return False
    if isinstance(place, Url):
        fetch_file(place, file, path, fresh=path.exists())
        return True
    check_digest(place, file, atomic.sha256_once)
    _copy(place, path)
    if atomic.sha256_file(path) != file.sha256:
        raise StoreError(f"{place} was changed while it was copied; copy the store again")
    return True


def _copy(source: Path, path: Path) -> None:
    with atomic.atomic_path(path) as temporary:
        shutil.copyfile(source, temporary)


def _send(place: AnyPath, file: StoredFile, url: Url) -> bool:
    """Write a file to a URL; says whether it was not there yet."""
    if _is_sent(file, url):
        return False
    if isinstance(place, Path):
        check_digest(place, file, atomic.sha256_once)
    else:
        place = kept(place, file, check=True)
    remote.put(place, str(url))
    _note_sent(file, url)
    return True


def _is_sent(file: StoredFile, url: Url) -> bool:
    """Whether what lies at a URL is what an earlier copy has put there, as far as its server says."""
    try:
        noted = read_json(_note_of(url))
        found = state_of_url(str(url), is_fresh=True)
    except (OSError, ValueError):
        return False
    is_known = bool(found.version) and noted == _state(file, found.version)
    return is_known and found.size == file.bytes


def _note_sent(file: StoredFile, url: Url) -> None:
    found = state_of_url(str(url), is_fresh=True)
    if found.size not in (None, file.bytes):
        raise StoreError(f"{url} has {found.size} bytes, not the {file.bytes} that were written; copy the store again")
    atomic.write_text(_note_of(url), json.dumps(_state(file, found.version)))


def _note_of(url: Url) -> Path:
    return cache_folder() / "sent" / f"{atomic.digest(str(url))}.json"


def _state(file: StoredFile, version: str) -> dict[str, str]:
    return {"sha256": file.sha256, "version": version}


def _replace_header(target: Url, header: Header, text: str, rejects: Path) -> None:
    """Put store.json in its place, and the list of rejects, which readers of either state find meanwhile."""
    listed, following = header.rejects, target / NEXT_REJECTS_NAME
    is_sent = _is_sent(listed, target / REJECTS_NAME)
    if not is_sent:
        remote.put(rejects, str(following))
    remote.put_bytes(text.encode(), str(target / HEADER_NAME))
    if not is_sent:
        remote.put(rejects, str(target / REJECTS_NAME))
        _note_sent(replace(listed, name=REJECTS_NAME), target / REJECTS_NAME)
        remote.remove(str(following))


def _remove(target: Url, *folders: str, but: Collection[str] = ()) -> None:
    """Remove what a store has in some folders: what was dropped is to be gone there, too.

    Args:
        but: names, relative to the store, of what stays.
    """
    for folder in folders:
        for name in (f"{folder}/{name}" for name in remote.names_in(str(target / folder))):
            if name not in but and (OF_SHARDS.fullmatch(name.removeprefix("shards/")) or is_of_versions(name)):
                remote.remove(str(target / name))


def _check_target(target: Url) -> str:
    """Check that a store may be written at a URL: nothing is there, a store, or what is left of an unfinished one.

    Returns:
        What store.json says there; nothing where there is none.
    """
    if target.protocol in ("http", "https"):
        raise StoreError(f"{target} is on a web server, where nothing can be written; give another place")
    with _to(target):
        found = remote.names_in(str(target))
    if others := [name for name in found if name not in _OF_A_STORE]:
        raise StoreError(f"{target} holds {others[0]!r}, which is no part of a store; choose another place")
    text = read_text_of(target) if HEADER_NAME in found else ""
    if text and f'"format": "{FORMAT_NAME}"' not in text:
        raise StoreError(f"{target / HEADER_NAME} is not that of a store, so it is not replaced; choose another place")
    return text


@contextmanager
def _to(target: Url) -> Iterator[None]:
    """Raise what a place refuses as a WriteError that names it."""
    try:
        yield
    except OSError as error:
        if error.filename is not None or error.errno in atomic.OF_DISKS:
            raise
        raise WriteError(f"{target} cannot be written: {error.strerror or error}") from error
