"""What lies below a folder; of a large one a file keeps it, and only folders that have changed are listed again.

The time of a folder changes where a file in it is added, removed, renamed, or replaced by another one. It does not
where a file is written over in place: what a kept listing says of sizes and times is what they were when the folder
that holds the file was listed last. To have every file looked at again, the kept listing is removed.
"""

import json
import os
import time
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa

from reseed.store import ManifestError
from reseed.store.atomic import digest
from reseed.store.outputs import check_table_output
from reseed.store.sealed import write_table
from reseed.store.tables import TableFile

LARGE = 100_000  # files above which a listing is kept: fewer are listed in a moment
# A folder that has changed so shortly before it was listed may change once more without another time: file systems
# count in steps of up to 2 s, and a server's clock is not that of this machine.
_UNSETTLED_NS = 60 * 10**9
_FOLDERS_OF_A_GROUP = 1024
_STATE = ["inode", "mtime_ns", "ctime_ns"]
_SCHEMA = pa.schema(
    {
        "folder": pa.binary(),  # below the listed one, ending in "/"; of itself empty
        **dict.fromkeys(_STATE, pa.int64()),  # null: it is to be listed again, whatever its times
        "folders": pa.list_(pa.binary()),
        "names": pa.list_(pa.binary()),
        "sizes": pa.list_(pa.int64()),
        "times_ns": pa.list_(pa.int64()),
        "suffixes": pa.list_(pa.binary()),
    }
)
_SMALL = ["folder", *_STATE, "folders"]
_LISTING = TableFile("a listing of a folder", "reseed prepare", ManifestError)

Row = dict[str, Any]


@dataclass(frozen=True)
class Below:
    """The files below a folder, those in linked folders too; a folder that is linked into itself is entered once.

    Args:
        kept: the listing that is kept of it, as it is now; None: there is none.
    """

    top: Path
    kept: Path | None = None

    def files(self) -> Iterator[str]:
        """Yield the paths of all files, folder by folder, in an order that depends on their names alone."""
        if self.kept is None:
            yield from _walked(self.top)
            return
        for row in _rows(self.kept, "folder", "names"):
            start = _start(self.top, row["folder"])
            yield from (start + os.fsdecode(name) for name in row["names"])

    def with_suffix(self, suffixes: Collection[str]) -> Iterator[str]:
        """Yield the paths of those whose names end in one of some suffixes, lower case or not."""
        wanted = {suffix.encode() for suffix in suffixes}
        if self.kept is None:
            yield from (path for path in _walked(self.top) if _suffix(os.fsencode(path)) in wanted)
            return
        kinds = _rows(self.kept, "folder", "suffixes")
        holders = {row["folder"] for row in kinds if not wanted.isdisjoint(row["suffixes"])}
        for row in _rows(self.kept, "folder", "names") if holders else ():
            if row["folder"] in holders:
                start = _start(self.top, row["folder"])
                yield from (start + os.fsdecode(name) for name in row["names"] if _suffix(name) in wanted)

    def digest(self) -> str:
        """Return a digest of which files there are, by name, size and time of change."""
        if self.kept is None:
            return digest_of(_walked(self.top))
        with _LISTING.open(self.kept) as file:
            return _metadata(file.schema_arrow)["digest"]


def digest_of(files: Iterable[str]) -> str:
    """Return a digest of some files by name, size and time of change, whatever their order."""
    return _digest((path, *_size_and_time(path)) for path in files)


def below(top: Path, kept: Path | None = None) -> Below:
    """Return what lies below a folder.

    Args:
        kept: of more than `LARGE` files the listing is read from this file; folders that have changed since are listed
            again, and where it is missing or of another place all are.

    Raises:
        ManifestError: `kept` is damaged, or something else.
    """
    if kept is None:
        return Below(top)
    known = _known(top, kept)
    if known is None and next(islice(_walked(top), LARGE, None), None) is None:
        return Below(top)
    steps = list(_steps(top, known or {}))
    if known is None or steps != list(range(len(known))):
        _write(top, kept, steps, known is not None)
    return Below(top, kept)


def _known(top: Path, kept: Path) -> dict[bytes, tuple[int, Row]] | None:
    """Return what a kept listing says of each folder, with the number of its row; None where there is none."""
    if not kept.exists():
        return None
    with _LISTING.open(kept) as file:
        said = _metadata(file.schema_arrow)
        if said.get("place") != _place(top):
            if not said.get("place"):
                check_table_output(kept, "a listing of a folder", _SCHEMA, error=ManifestError)
            return None
        rows = _LISTING.columns(file, _SMALL).to_pylist()
    return {row["folder"]: (number, row) for number, row in enumerate(rows)}


def _steps(top: Path, known: Mapping[bytes, tuple[int, Row]]) -> Iterator[int | Row]:
    """Yield for each folder its row in the kept listing, as far as it is what it was, or what it lists now."""
    seen: set[str] = set()
    waiting = [(b"", os.path.realpath(top))]
    while waiting:
        folder, real = waiting.pop()
        if real in seen:
            continue
        seen.add(real)
        path, now_ns = _start(top, folder), time.time_ns()
        try:
            found = os.stat(path or ".")  # noqa: PTH116 - of ten thousand folders
        except OSError:  # it went while its parent was listed
            continue
        state = (found.st_ino % 2**63, found.st_mtime_ns, found.st_ctime_ns)
        number, row = known.get(folder, (None, {}))
        if number is None or tuple(row[name] for name in _STATE) != state:
            row = _listed(path or ".", folder, state, now_ns - max(state[1:]) > _UNSETTLED_NS)
            number = None
        yield row if number is None else number
        linked = {*row.get("linked", ())}
        for name in reversed(row["folders"]):
            inside = f"{real}/{os.fsdecode(name)}"
            waiting.append((folder + name + b"/", os.path.realpath(inside) if name in linked else inside))


def _listed(path: str, folder: bytes, state: tuple[int, int, int], is_settled: bool) -> Row:
    """List a folder. One with links to folders is always listed again: they may come to point elsewhere."""
    folders, linked, names = [], [], []
    try:
        with os.scandir(path) as entries:
            for entry in entries:
                if not _is_folder(entry):
                    names.append(entry.name)
                    continue
                folders.append(entry.name)
                linked += [entry.name] if entry.is_symlink() else []
    except OSError:  # it cannot be read, or went
        is_settled = False
    states = [_size_and_time(f"{path}/{name}") for name in sorted(names)]
    encoded = [os.fsencode(name) for name in sorted(names)]
    return {
        "folder": folder,
        **dict(zip(_STATE, state if is_settled and not linked else (None,) * 3, strict=True)),
        "folders": [os.fsencode(name) for name in sorted(folders)],
        "linked": [os.fsencode(name) for name in linked],
        "names": encoded,
        "sizes": [size for size, _ in states],
        "times_ns": [time_ns for _, time_ns in states],
        "suffixes": sorted({_suffix(name) for name in encoded}),
    }


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:
        return False


def _write(top: Path, kept: Path, steps: list[int | Row], is_known: bool) -> None:
    """Write the listing that the steps make: rows of the kept one, and new ones."""
    old, said = _SCHEMA.empty_table(), {}
    if is_known:
        with _LISTING.open(kept) as file:
            old, said = _LISTING.columns(file, _SCHEMA.names).cast(_SCHEMA), _metadata(file.schema_arrow)
    new = pa.Table.from_pylist([step for step in steps if not isinstance(step, int)], _SCHEMA)
    places = iter(range(len(old), len(old) + len(new)))
    order = [step if isinstance(step, int) else next(places) for step in steps]
    whole = pa.concat_tables([old, new]).take(pa.array(order, pa.int64()))
    if whole.equals(old):  # listed again, and found as it was
        return
    is_same = whole.drop_columns(_STATE).equals(old.drop_columns(_STATE))
    said = {"place": _place(top), "digest": said["digest"] if is_same else _digest(_files_of(top, whole))}
    write_table(kept, whole.replace_schema_metadata(said), row_group_size=_FOLDERS_OF_A_GROUP, compression="zstd")


def _files_of(top: Path, listing: pa.Table) -> Iterator[tuple[str, int, int]]:
    for batch in listing.select(["folder", "names", "sizes", "times_ns"]).to_batches(_FOLDERS_OF_A_GROUP):
        for row in batch.to_pylist():
            start = _start(top, row["folder"])
            for name, size, time_ns in zip(row["names"], row["sizes"], row["times_ns"], strict=True):
                yield start + os.fsdecode(name), size, time_ns


def _rows(kept: Path, *columns: str) -> Iterator[Row]:
    with _LISTING.open(kept) as file:
        for batch in file.iter_batches(_FOLDERS_OF_A_GROUP, columns=list(columns)):
            yield from batch.to_pylist()


def _metadata(schema: pa.Schema) -> dict[str, str]:
    return {key.decode(): value.decode(errors="replace") for key, value in (schema.metadata or {}).items()}


def _place(top: Path) -> str:
    return json.dumps(str(top))


def _start(top: Path, folder: bytes) -> str:
    """Return what the paths of the files of a folder begin with."""
    return str(top / os.fsdecode(folder) / "_")[:-1]


def _suffix(name: bytes) -> bytes:
    return name[max(name.rfind(b"."), 0) :].lower()


def _digest(files: Iterator[tuple[str, int, int]]) -> str:
    ordered = sorted(files)
    try:
        return digest(ordered)
    except UnicodeEncodeError:  # a name that is not UTF-8
        return digest([(path.encode(errors="backslashreplace").decode(), *state) for path, *state in ordered])


def _size_and_time(path: str) -> tuple[int, int]:
    try:
        found = os.stat(path)  # noqa: PTH116 - a Path of each of a million files takes longer than this
    except OSError:  # a dangling link
        return (-1, -1)
    return (found.st_size, found.st_mtime_ns)


def _walked(top: Path) -> Iterator[str]:
    seen: set[str] = set()
    for current, folders, names in os.walk(top, followlinks=True):
        real = os.path.realpath(current)
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        folders.sort()
        start = _start(Path(current), b"")
        yield from (start + name for name in sorted(names))
