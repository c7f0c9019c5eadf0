"""Reading, writing, opening and verifying: a store against its peers on the same vectors.

Every way consumes what it read, by projecting each vector onto one direction: a map that is not touched has read
nothing, and a matrix product reads arrays and strided views alike at the speed of memory. "memory" does it to an array
that is in memory already: the part of all figures that is not reading. The page cache is warm for all. Our stores are
opened anew each time unless a title says otherwise; embedding-reader is opened beforehand, which is generous to it.
"""

import mmap
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.arena import LAYOUTS, Arena, Contest, Ways
from benchmarks.generated import VIEWS, parts, write_store
from reseed.store import EmbeddingStore
from reseed.store.atomic import sha256_file

RANDOM_ROWS = 4_096
READ_TARGETS = {"np.load": 0.8, "embedding-reader npy": 5.0, "embedding-reader parquet": 5.0}
RANDOM_TARGETS = {"npy map, kept": 0.8, "npy map, opened": 0.8}
_SLOW_ROUNDS = 3

Array = NDArray[Any]


def sequential(arena: Arena) -> Contest:
    """Read all vectors, as one array and shard by shard."""
    ours = _ours(arena, "vectors", lambda path: _total(EmbeddingStore(path, check=False).vectors()))
    ours |= _ours(arena, "blocks", lambda path: sum(map(_total, EmbeddingStore(path, check=False).utterance_blocks())))
    buffer = np.ones_like(arena.vectors)
    peers: Ways = {
        "np.load": lambda: _total(np.load(arena.npy)),
        "npy map": lambda: _total(np.load(arena.npy, mmap_mode="r")),
        "readinto": lambda: _total(_read_into(buffer, arena.npy)),
        **arena.peer_ways("read"),
        "memory": lambda: _total(arena.vectors),
    }
    return arena.contest("sequential read", ours, peers, READ_TARGETS)


def pairs(arena: Arena) -> Contest:
    """Read (clean, noise) as two aligned arrays."""
    ours = _ours(arena, "pairs", lambda path: sum(map(_total, EmbeddingStore(path, check=False).pairs(*VIEWS))))
    peers: Ways = {
        "np.load": lambda: _total_views(np.load(arena.npy)),
        "npy map": lambda: _total_views(np.load(arena.npy, mmap_mode="r")),
        **arena.peer_ways("pairs"),
        "memory": lambda: _total_views(arena.vectors),
    }
    return arena.contest("pairs (clean, noise)", ours, peers, READ_TARGETS)


def pairs_are_views(arena: Arena) -> bool:
    """Say whether `pairs` copies no byte inside one shard: both arrays are views of a map of the file."""
    return all(_is_mapped(array) for array in EmbeddingStore(arena.store("hdf5", 1)).pairs(*VIEWS))


def random_rows(arena: Arena) -> Contest:
    """Read rows drawn at random from an opened store; the peer's map is kept, or opened anew."""
    rows = np.random.default_rng(1).integers(0, len(arena.vectors), RANDOM_ROWS)
    opened = {path: EmbeddingStore(path, check=False) for path in arena.stores.values()}
    kept = np.load(arena.npy, mmap_mode="r")
    ours = _ours(arena, "take", lambda path: _total(opened[path].take(rows)))
    peers: Ways = {
        "npy map, kept": lambda: _total(kept[rows]),
        "npy map, opened": lambda: _total(np.load(arena.npy, mmap_mode="r")[rows]),
        "np.load": lambda: _total(np.load(arena.npy)[rows]),
    }
    return arena.contest(f"{RANDOM_ROWS} random rows", ours, peers, RANDOM_TARGETS)


def writing(arena: Arena) -> Contest:
    """Write, hash, fsync and seal one shard, against an .npy file that is fsynced."""
    cut = parts(arena.vectors, 1)
    ours: Ways = {
        f"write_shard + finalise, {layout}": lambda layout=layout: _done(
            write_store(arena.folder / f"written-{layout}", cut, layout)
        )
        for layout in LAYOUTS
    }
    path = arena.folder / "written.npy"
    peers: Ways = {
        "np.save + fsync": lambda: _done(_save(path, arena.vectors)),
        "np.save + fsync + sha256": lambda: _done(_save(path, arena.vectors), sha256_file(path)),
    }
    return arena.contest("writing", ours, peers, rounds=_SLOW_ROUNDS)


def opening(arena: Arena) -> Contest:
    """Open and read nothing; a store checks its header and the size of every file."""
    ours = _ours(arena, "EmbeddingStore", lambda path: len(EmbeddingStore(path)))
    peers: Ways = {"npy map": lambda: len(np.load(arena.npy, mmap_mode="r")), **arena.peer_ways("open")}
    return arena.contest("opening", ours, peers)


def verifying(arena: Arena) -> Contest:
    """Hash every file and look for values that are not finite."""
    ours = _ours(arena, "verify", lambda path: _done(EmbeddingStore(path).verify()))
    peers: Ways = {
        "sha256": lambda: _done(sha256_file(arena.npy)),
        "sha256 + np.load + isfinite": lambda: _done(sha256_file(arena.npy), np.isfinite(np.load(arena.npy)).all()),
    }
    return arena.contest("verifying", ours, peers, rounds=_SLOW_ROUNDS)


CONTESTS = (sequential, pairs, random_rows, writing, opening, verifying)


def _ours(arena: Arena, what: str, read: Callable[[Path], float]) -> Ways:
    return {f"{what}, {name}": lambda path=path: read(path) for name, path in arena.stores.items()}


def _done(*_: object) -> float:
    return 0.0


def _total(vectors: Array) -> float:
    rows = vectors.reshape(-1, vectors.shape[-1])
    return float((rows @ np.ones(rows.shape[1], rows.dtype)).sum())


def _total_views(array: Array) -> float:
    return _total(array[0::2]) + _total(array[1::2])


def _read_into(buffer: Array, path: Path) -> Array:
    """Fill `buffer` with the last bytes of a file, by the file system's own read."""
    left = memoryview(buffer).cast("B")
    with path.open("rb", buffering=0) as file:
        file.seek(-len(left), os.SEEK_END)
        while left:
            left = left[file.readinto(left) :]
    return buffer


def _save(path: Path, array: Array) -> None:
    path.unlink(missing_ok=True)
    with path.open("wb") as file:
        np.save(file, array)
        file.flush()
        os.fsync(file.fileno())


def _is_mapped(array: Array) -> bool:
    base: Any = array
    while isinstance(base, np.ndarray):
        base = base.base
    return isinstance(base, mmap.mmap) and not array.flags.owndata
