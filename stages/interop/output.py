"""Outputs that are whole or absent, and that never take the place of something else."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from reseed.stages.interop.exchange import ExportHeader, parse_header
from reseed.store import StoreError, atomic
from reseed.store.sealed import digests_of, write_record

EXPORT_HEADER = "export.json"


def check_replaceable(path: Path, is_one: Callable[[Path], bool], kind: str) -> None:
    """Refuse to put a `kind` where something else is.

    Raises:
        StoreError: `path` exists and `is_one` denies it.
    """
    if (path.exists() or path.is_symlink()) and not is_one(path):
        raise StoreError(f"{path} exists and is not {kind}, so it is not replaced; choose another path or remove it")


@contextmanager
def export_directory(path: Path, header: ExportHeader) -> Iterator[Path]:
    """Yield a temporary directory; on success it becomes the export `path`, with `header` in its export.json.

    Raises:
        StoreError: `path` is something other than an export of this kind.
    """

    def is_one(existing: Path) -> bool:
        if not existing.is_dir():
            return False
        found = read_export_header(existing)
        return not any(existing.iterdir()) if found is None else found.kind == header.kind

    check_replaceable(path, is_one, f"an export of the format {header.kind}")
    with atomic.atomic_directory(path) as directory:
        yield directory
        whole = header.model_copy(update={"files": digests_of(directory)})
        write_record(directory / EXPORT_HEADER, whole.model_dump(mode="json"))


def read_export_header(directory: Path) -> ExportHeader | None:
    """Return the header in a directory's export.json; None where there is none.

    Raises:
        StoreError: it is damaged, or of another version.
    """
    path = directory / EXPORT_HEADER
    return parse_header(path.read_bytes(), path) if path.is_file() else None
