"""What is checked when stores are opened, joined and read; every failure is one StoreError that names the file."""

import os
from collections.abc import Callable, Sequence
from pathlib import Path

from reseed.store import atomic
from reseed.store.cache import kept
from reseed.store.errors import StoreError
from reseed.store.format import Header, StoredFile
from reseed.store.url import AnyPath, Url

CHECK_VECTORS = "RESEED_CHECK_VECTORS"


def vectors_are_checked() -> bool:
    """Say whether vectors are hashed before they are read: unless the environment says RESEED_CHECK_VECTORS=0."""
    return os.environ.get(CHECK_VECTORS) != "0"


def check_digest(path: AnyPath, file: StoredFile, sha256: Callable[[Path], str] = atomic.sha256_file) -> None:
    """Hash a file of a store; one that lies elsewhere is fetched to be hashed, whatever is kept of it here.

    Args:
        sha256: what hashes one of this machine.

    Raises:
        StoreError: it is missing, of another size, or altered; names it.
    """
    if isinstance(path, Url):
        kept(path, file, fresh=True)
        return
    check_size(path, file)
    try:
        found = sha256(path)
    except FileNotFoundError:
        raise StoreError(f"{path} is missing; extract the store again") from None
    if found != file.sha256:
        raise StoreError(f"{path} is damaged: its SHA-256 is another; restore it, or remove it and extract again")


def check_size(path: AnyPath, file: StoredFile) -> None:
    """Compare the size of a file of a store with store.json; one that lies elsewhere is not asked for.

    Raises:
        StoreError: it is missing or of another size; names it.
    """
    if isinstance(path, Url):
        return
    try:
        found = path.stat().st_size
    except FileNotFoundError:
        raise StoreError(f"{path} is missing; extract the store again") from None
    check_regular(path)
    if found != file.bytes:
        raise StoreError(f"{path} has {found} bytes, store.json says {file.bytes}; extract the store again")


def check_regular(path: Path) -> None:
    """Check that a path is a file: to read a pipe or a device may never end.

    Raises:
        StoreError: it is something else.
    """
    if not path.is_file():
        raise StoreError(f"{path} is not a regular file; copy the store anew")


def check_coverage(store: AnyPath, header: Header) -> None:
    """Check that every utterance that the store stands for is stored or rejected.

    Raises:
        StoreError: the counts do not add up.
    """
    stored = sum(shard.utterances for shard in header.shards)
    if (stored, stored + header.rejected) != (header.stored, header.expected):
        counts = f"{stored} utterances stored and {header.rejected} rejected of {header.expected} expected"
        raise StoreError(f"{store}: {counts}; extract the store again")


def check_alike(first: Header, other: Header, first_path: AnyPath, other_path: AnyPath) -> None:
    """Check that two stores can be read as one.

    Raises:
        StoreError: they differ in space, dimension, dtype, views or crops; names both.
    """
    for name in ("space", "dim", "dtype", "crops", "view_names", "views"):
        ours, theirs = (getattr(header.declaration, name) for header in (first, other))
        if ours != theirs:
            raise StoreError(f"{first_path} and {other_path} cannot be read as one: {name} {ours} and {theirs}")


def joined_header(headers: Sequence[Header]) -> Header:
    """Return the header of several stores read as one."""
    return Header(
        declaration=headers[0].declaration,
        fingerprint=atomic.digest([header.fingerprint for header in headers]),
        expected=sum(header.expected for header in headers),
        stored=sum(header.stored for header in headers),
        rejected=sum(header.rejected for header in headers),
        shards=[shard for header in headers for shard in header.shards],
        rejects=headers[0].rejects,
    )
