"""What lies below a folder of a store, or fits a pattern, in an order that depends on its names alone.

To list a million objects takes minutes: a run keeps the listing in a file, and reads that.
"""

import errno
import html
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa

from reseed.store import ManifestError
from reseed.store.atomic import atomic_path
from reseed.store.remote import ask
from reseed.store.remote_file import FileState
from reseed.store.sealed import table_writer
from reseed.store.tables import TableFile
from reseed.store.url import Url

_SCHEMA = pa.schema({"url": pa.string(), "size": pa.int64(), "version": pa.string()})
_LISTING = TableFile("a listing of a store", "reseed prepare", ManifestError)
_ROWS = 16_384
_DEEPEST = 100
_OTHER_LINKS = ("?", "#", "..", "./")  # of a page: itself in another order, the folder above


@dataclass(frozen=True)
class Entry:
    """A file of a store, as it was listed."""

    url: str
    size: int | None
    version: str


def files_below(place: Url, kept: Path | None = None) -> Iterator[Entry]:
    """Yield the files below a folder, or those that a pattern with * fits (** for any folders).

    Args:
        kept: the listing is read from this file; where it is missing or of another place, it is written first.

    Raises:
        ManifestError: the store cannot be asked, or the file cannot be read.
    """
    try:
        if kept is None:
            yield from _listed(place)
            return
        if not _is_of(kept, place):
            _keep(place, kept)
    except OSError as error:
        raise ManifestError(f"{place} cannot be listed: {error.strerror or error}") from error
    with _LISTING.open(kept) as file:
        for batch in file.iter_batches(_ROWS, columns=_SCHEMA.names):
            yield from (Entry(**row) for row in batch.to_pylist())


def _is_of(kept: Path, place: Url) -> bool:
    if not kept.exists():
        return False
    with _LISTING.open(kept) as file:
        return (file.schema_arrow.metadata or {}).get(b"place") == str(place).encode()


def _keep(place: Url, kept: Path) -> None:
    entries = _listed(place)
    schema = _SCHEMA.with_metadata({"place": str(place)})
    with atomic_path(kept) as temporary, table_writer(temporary, schema) as writer:
        while rows := [vars(entry) for entry in islice(entries, _ROWS)]:
            writer.write_table(pa.Table.from_pylist(rows, schema))


def _listed(place: Url) -> Iterator[Entry]:
    from fsspec.utils import glob_translate

    whole = str(place).rstrip("/")
    start = whole.partition("*")[0]  # what all names begin with
    fits = None if start == whole else re.compile(glob_translate(whole.replace("[", "[[]").replace("?", "[?]"))).match
    folder = whole + "/" if fits is None else start
    for entry in _objects(folder) if place.protocol in ("s3", "s3a") else _walk(folder[: folder.rindex("/") + 1]):
        if entry.url.startswith(folder) and not entry.url.endswith("/") and (fits is None or fits(entry.url)):
            yield entry


def _objects(start: str) -> Iterator[Entry]:
    """Yield the objects of a bucket whose keys begin so, a thousand by each request, in the order of their keys."""
    protocol, _, path = start.partition("://")
    bucket, _, prefix = path.partition("/")
    token: dict[str, str] = {}
    while True:
        asked = {"Bucket": bucket, "Prefix": prefix, **token}
        page: dict[str, Any] = ask(start, partial(_page, asked))
        for found in page.get("Contents", ()):
            state = FileState.of({**found, "size": found["Size"]})
            yield Entry(f"{protocol}://{bucket}/{found['Key']}", state.size, state.version)
        if not page.get("IsTruncated"):
            return
        token = {"ContinuationToken": page["NextContinuationToken"]}


def _page(asked: dict[str, str], system: Any) -> dict[str, Any]:
    return dict(system.call_s3("list_objects_v2", **asked))


def _walk(folder: str) -> Iterator[Entry]:
    """Yield what lies in a folder, whose URL ends in /, then what lies in those inside it, by one request each."""
    if folder.count("/") > _DEEPEST:  # a folder that is linked into itself
        raise OSError(errno.ELOOP, f"its folders are nested deeper than {_DEEPEST} levels")
    start, found = ask(folder, partial(_inside, folder))
    is_web = folder.startswith("http")
    named = {html.unescape(each["name"]) if is_web else each["name"]: each for each in found}
    inside = {name.removeprefix(start): each for name, each in named.items() if name.startswith(start)}
    below = {folder + name: inside[name] for name in sorted(inside) if not name.startswith(_OTHER_LINKS) and name}
    folders = {url: None for url, each in below.items() if each["type"] == "directory"}
    for url in (url for url in below if url not in folders):
        state = FileState.of(below[url])
        yield Entry(url, state.size, state.version)
    for url in folders:
        yield from _walk(url.rstrip("/") + "/")


def _inside(folder: str, system: Any) -> tuple[str, list[dict[str, Any]]]:
    """Return how the file system calls a folder, and what it says lies in there."""
    return system._strip_protocol(folder).rstrip("/") + "/", system.ls(folder, detail=True)
