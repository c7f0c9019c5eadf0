"""Whether a disk has room for what will be written to it."""

import os
from pathlib import Path

import numpy as np

from reseed.stages.common.terminal import log
from reseed.store import Declaration, StoreError
from reseed.store.format import VERSIONS

SURE = 0.8  # of what is expected, rejects taking none: with less room than that, writing would fail
_CATALOGUE_ROW = 23  # bytes of a row of the catalogue, as measured


def stored_bytes(rows: int, dimensions: int, dtype: str) -> int:
    """Return about how many bytes a store of so many vectors takes."""
    return rows * (dimensions * np.dtype(dtype).itemsize + _CATALOGUE_ROW)


def free_bytes_at(path: Path) -> int:
    """Return how many bytes this user can write below a path, which need not exist yet."""
    there = next(above for above in (path.resolve(), *path.resolve().parents) if above.exists())
    found = os.statvfs(there)
    return found.f_bavail * found.f_frsize


def tell_of_versions(store: Path) -> None:
    """Say what earlier states of a store take of the disk, after an edit that has made one; nothing if hardly any."""
    states = [path.stat() for path in (store / VERSIONS / "shards").glob("*")]
    held = sum(state.st_size for state in states if state.st_nlink == 1)
    if held:
        log(f"{store}: earlier versions take {in_bytes(held)}; `reseed expire {store}` frees them")


def check_space(store: Path, rows: int, declaration: Declaration) -> None:
    """Refuse to begin to write a store that the disk has no room for.

    Args:
        rows: vectors to write, of which some may be rejected.

    Raises:
        StoreError: not even for most of them.
    """
    needed, free = stored_bytes(rows, declaration.dim, declaration.dtype), free_bytes_at(store)
    if free < SURE * needed:
        raise StoreError(
            f"{store} will take about {in_bytes(needed)} more, and its disk has {in_bytes(free)} left; make room, or "
            "write elsewhere"
        )


def in_bytes(count: float) -> str:
    """1234567 -> "1.23 MB"."""
    for unit in ("bytes", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:.3g} TB"
