"""Outputs that are whole or absent, and that never take the place of something else."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from reseed.stages.interop.exchange import Facts, parse_facts
from reseed.store import StoreError, atomic

FACTS_NAME = "export.json"


def check_replaceable(path: Path, is_one: Callable[[Path], bool], kind: str) -> None:
    """Refuse to put a `kind` where something else is.

    Raises:
        StoreError: `path` exists and `is_one` denies it.
    """
    if (path.exists() or path.is_symlink()) and not is_one(path):
        raise StoreError(f"{path} exists and is not {kind}, so it is not replaced; choose another path or remove it")


@contextmanager
def export_directory(path: Path, facts: Facts) -> Iterator[Path]:
    """Yield a temporary directory; on success it becomes the export `path`, with `facts` in its export.json.

    Raises:
        StoreError: `path` is something other than an export of this kind.
    """

    def is_one(existing: Path) -> bool:
        if not existing.is_dir():
            return False
        found = read_facts(existing)
        return not any(existing.iterdir()) if found is None else found.kind == facts.kind

    check_replaceable(path, is_one, f"an export of the format {facts.kind}")
    with atomic.atomic_directory(path) as directory:
        yield directory
        atomic.write_json(directory / FACTS_NAME, facts.model_dump(mode="json"))


def read_facts(directory: Path) -> Facts | None:
    """Return the facts in a directory's export.json; None where there is none.

    Raises:
        StoreError: damaged facts, or those of another version.
    """
    path = directory / FACTS_NAME
    return parse_facts(path.read_bytes(), path) if path.is_file() else None
