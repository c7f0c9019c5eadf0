"""The stores that runs share (`extract.stores`): what each is, and which runs use it."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from reseed.store import ConfigError, StoreError
from reseed.store.header import read_header
from reseed.store.share import is_linked


@dataclass(frozen=True)
class SharedStore:
    """A store in a folder of shared ones.

    Attributes:
        name: its fingerprint.
        holds: what it holds, or why it cannot be read.
        runs: the runs listed that use it.
        is_used: whether any store anywhere has links to its files.
    """

    name: str
    holds: str
    size: int
    runs: list[str]
    is_used: bool

    def to_json(self) -> dict[str, Any]:
        return {"store": self.name, "holds": self.holds, "bytes": self.size, "runs": self.runs, "used": self.is_used}

    def line(self) -> str:
        used = ", ".join(self.runs) or ("runs elsewhere" if self.is_used else "no run")
        return f"{self.name[:16]}: used by {used}; {self.size / 1e6:,.1f} MB, {self.holds}"


def find_stores(folder: Path, runs: list[Path]) -> list[SharedStore]:
    """Look through a folder of shared stores.

    Raises:
        ConfigError: there is no such folder.
    """
    if not folder.is_dir():
        raise ConfigError(f"{folder} is no folder of stores; give the one that `reseed run --stores` was given")
    linked = {run.name: {*_files(run / "stores")} for run in runs}
    return [_store(path, linked) for path in sorted(folder.iterdir()) if path.is_dir()]


def _store(path: Path, linked: dict[str, set[tuple[int, int]]]) -> SharedStore:
    files = {*_files(path)}
    size = sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
    used = [run for run, theirs in linked.items() if files & theirs]
    try:
        header = read_header(path)
    except StoreError:
        return SharedStore(path.name, "not finished", size, used, bool(used))
    holds = f"{header.stored} utterances, {header.declaration.space}, views {', '.join(header.declaration.views)}"
    return SharedStore(path.name, holds, size, used, is_linked(path))


def _files(folder: Path) -> Iterator[tuple[int, int]]:
    """Yield what tells the shards below a folder apart, whatever their names."""
    for path in folder.rglob("shards/*.parquet"):
        found = path.stat()
        yield found.st_dev, found.st_ino
