"""One store under several names: hard links to its files, so that whoever removes or edits one leaves the others."""

import errno
import os
import shutil
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from reseed.store import atomic
from reseed.store.errors import StoreError
from reseed.store.format import VERSIONS, Declaration, Header
from reseed.store.header import read_header
from reseed.store.lock import editing
from reseed.store.states import NEXT_REJECTS_NAME, replace_header, use_rejects

_NO_LINK = (errno.EXDEV, errno.EPERM, errno.EOPNOTSUPP, errno.EMLINK)


def link_store(source: Path, store: Path, declaration: Declaration, *, or_copy: bool = False) -> Header:
    """Make `store` a store of the very files of another one.

    Args:
        declaration: of the same fingerprint as that of `source`; its lineage says where this store's recordings lie.
        or_copy: where files cannot have a second name there, copy them.

    Raises:
        StoreError: no store, or one on another disk, without `or_copy`.
    """
    header = replace(read_header(source), declaration=declaration)
    listed = [file.name for shard in header.shards for file in shard.files]
    take = _link_or_copy if or_copy else atomic.link
    with editing(store):
        with _one_disk(source, store):
            for name in listed:
                take(source / name, store / name)
            use_rejects(source, header, lambda path: take(path, store / NEXT_REJECTS_NAME))
        replace_header(store, header)
    return header


def _link_or_copy(source: Path, path: Path) -> None:
    try:
        atomic.link(source, path)
    except OSError as error:
        if error.errno not in _NO_LINK:
            raise
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic.atomic_path(path) as temporary:
            shutil.copyfile(source, temporary)


def is_linked(store: Path) -> bool:
    """Whether files of a store have names outside of it as well: are those of another store."""
    states = [path.stat() for folder in ("shards", f"{VERSIONS}/shards") for path in (store / folder).glob("*")]
    own = Counter(state.st_ino for state in states)
    return any(state.st_nlink > own[state.st_ino] for state in states)


def check_linkable(folder: Path, other: Path) -> None:
    """Check that a file of one folder can have a name in another one.

    Raises:
        StoreError: they lie on different disks, or on one that knows no hard links.
    """
    probe = f".probe-{os.getpid()}"
    try:
        (folder / probe).touch()
        with _one_disk(folder, other):
            atomic.link(folder / probe, other / probe)
    finally:
        (folder / probe).unlink(missing_ok=True)
        (other / probe).unlink(missing_ok=True)


@contextmanager
def _one_disk(source: Path, store: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno not in _NO_LINK:
            raise
        raise StoreError(
            f"{store} cannot share files with {source} ({error.strerror}); keep shared stores on the disk of the runs"
        ) from error
