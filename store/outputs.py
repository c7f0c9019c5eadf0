"""What a command may write in the place of: nothing, or an older one of exactly what it writes itself.

Asked before work begins. Whatever else lies there may be somebody's, so one line names it and nothing is touched.
"""

import os
import re
from collections.abc import Callable, Iterable, Iterator
from itertools import combinations, product
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from reseed.store.bounded import check_regular
from reseed.store.errors import ConfigError, ReseedError, StoreError
from reseed.store.format import FORMAT_NAME, HEADER_NAME, OF_SHARDS, REJECTS_NAME
from reseed.store.url import AnyPath, Url

_IN_A_STORE = re.compile(
    rf"{re.escape(HEADER_NAME)}|{re.escape(REJECTS_NAME)}|\.[^/]*"
    rf"|versions/.*|(versions/)?shards/{OF_SHARDS.pattern}"
)


def check_file(path: Path, noun: str, is_one: Callable[[Path], bool], error: type[ReseedError] = ConfigError) -> None:
    """Check that a file may be written at `path`: nothing is there, an empty file, or an older `noun`.

    Args:
        is_one: whether the file there is one; OSError and ValueError say no.

    Raises:
        ReseedError: something else is there, or a link to something.
    """
    if path.is_symlink():
        raise error(f"{path} is a symbolic link, which is not replaced; name the file that it points to, or another")
    if path.is_dir():
        raise error(_refusal(path, noun, " but a folder"))
    if not path.exists():
        return
    try:
        ours = check_regular(path) == 0 or is_one(path)
    except (OSError, ValueError, pa.ArrowException):
        ours = False
    if not ours:
        raise error(_refusal(path, noun))


def check_table_output(
    path: Path | None,
    noun: str,
    schema: pa.Schema,
    optional: Iterable[str] = (),
    error: type[ReseedError] = ConfigError,
) -> None:
    """Check that a Parquet file of a schema may be written at `path`, as `check_file` does.

    Args:
        optional: columns that older ones lack.
    """
    wanted = set(schema.names)

    def is_one(path: Path) -> bool:
        return wanted.difference(optional) <= set(pq.read_schema(path).names) <= wanted

    if path is not None:
        check_file(path, noun, is_one, error)


def check_folder(
    path: Path,
    noun: str,
    is_one: Callable[[Path], bool],
    files: str,
    error: type[ReseedError] = ConfigError,
) -> None:
    """Check that a folder may be put at `path`: nothing is there, an empty folder, or an older `noun` and no more.

    Args:
        is_one: whether what is in the folder there makes one; OSError, ValueError and ReseedError say no.
        files: pattern of the paths of all files that a `noun` holds.

    Raises:
        ReseedError: a file, a link, a folder of other things or one that cannot be replaced is there; names it.
    """
    _check_place(path, noun, error)
    if not path.exists():
        return
    found = list(_below(path))
    _check_known(path, noun, files, error)
    try:
        ours = not found or is_one(path)
    except (OSError, ValueError, ReseedError):
        ours = False
    if not ours:
        raise error(_refusal(path, noun))


def check_store(path: Path) -> None:
    """Check that a store may be written at `path`: nothing is there, a store, or what is left of an unfinished one.

    A link to a folder will do, since a store's folder itself is never replaced.

    Raises:
        StoreError: something else is there; names it.
    """
    if not path.is_dir():
        if path.exists() or path.is_symlink():
            raise StoreError(_refusal(path, "a store"))
        return
    header = path / HEADER_NAME
    if not header.exists():
        _check_known(path, "a store", _IN_A_STORE.pattern, StoreError)
        return
    if check_regular(header) and f'"format": "{FORMAT_NAME}"'.encode() not in _head(header):
        raise StoreError(_refusal(header, "that of a store"))


def check_apart(
    outputs: Iterable[AnyPath | None], inputs: Iterable[AnyPath | None], error: type[ReseedError] = ConfigError
) -> None:
    """Check that what is written is none of what is read, lies in none of it and holds none of it; nor one another.

    Raises:
        ReseedError: names both.
    """
    written = [path for path in outputs if path is not None]
    read = [path for path in inputs if path is not None]
    for output, other in (*product(written, read), *combinations(written, 2)):
        is_inside, is_outside = _lies_in(output, other), _lies_in(other, output)
        if is_inside or is_outside:
            how = "is" if is_inside and is_outside else "lies in" if is_inside else "holds"
            what = "which is to be read" if other in read else "which is to be written too"
            raise error(f"{output} {how} {other}, {what}; write it elsewhere")


def _lies_in(path: AnyPath, folder: AnyPath) -> bool:
    """Whether a path is a folder or file, or lies below it."""
    if isinstance(path, Url) or isinstance(folder, Url):
        return isinstance(path, Url) and isinstance(folder, Url) and folder.holds(path)
    first, second = (Path(os.path.realpath(each)) for each in (path, folder))  # of a loop of links too
    return first.is_relative_to(second)


def _check_place(path: Path, noun: str, error: type[ReseedError]) -> None:
    if path.is_symlink():
        raise error(f"{path} is a symbolic link, which is not replaced; name the folder that it points to, or another")
    if not path.exists():
        return
    if not path.is_dir():
        raise error(_refusal(path, noun))
    place = path.resolve()
    for what, folder in (("the folder that you are in", Path.cwd()), ("your home", Path.home())):
        if place == folder or place in folder.parents:
            raise error(f"{path} is or holds {what}, which is not replaced; choose another path")
    if os.path.ismount(place):
        raise error(f"{path} is where a disk is mounted, which is not replaced; choose a folder in it")


def _check_known(path: Path, noun: str, files: str, error: type[ReseedError]) -> None:
    known = re.compile(files)
    for name, is_link in _below(path):
        if is_link or not known.fullmatch(name):
            what = f"{name!r}, a symbolic link," if is_link else f"{name!r}"
            raise error(f"{_refusal(path, noun)}, or move {what} out of it")


def _refusal(path: Path, noun: str, but: str = "") -> str:
    return f"{path} exists and is not {noun}{but}, so it is not replaced; choose another path"


def _below(path: Path) -> Iterator[tuple[str, bool]]:
    """Yield what lies below a folder, by its path, in order, and whether it is a link; folders are not among it."""
    for folder, folders, files in os.walk(path):
        folders.sort()
        place = Path(folder)
        links = [name for name in folders if (place / name).is_symlink()]
        for name in sorted({*files, *links}):
            yield str((place / name).relative_to(path)), (place / name).is_symlink()


def _head(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(1024)
