"""Outputs that are whole or absent, and that never take the place of something else."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from reseed.stages.interop.exchange import ExportHeader, parse_header
from reseed.store import StoreError, atomic
from reseed.store.bounded import read_text
from reseed.store.outputs import check_folder
from reseed.store.sealed import digests_of, write_record

EXPORT_HEADER = "export.json"


@contextmanager
def export_directory(path: Path, header: ExportHeader, files: str) -> Iterator[Path]:
    """Yield a temporary directory; on success it becomes the export `path`, with `header` in its export.json.

    Args:
        files: pattern of the names of the files that this format makes.

    Raises:
        StoreError: `path` is something other than an export of this kind.
    """

    def is_one(existing: Path) -> bool:
        found = read_export_header(existing)
        return found is not None and found.kind == header.kind

    check_folder(path, f"an export of the format {header.kind}", is_one, rf"{files}|{EXPORT_HEADER}", StoreError)
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
    try:
        return parse_header(read_text(path), path) if path.exists() else None
    except (OSError, ValueError) as error:
        raise StoreError(f"{path} cannot be read ({error}); export the store again") from None
