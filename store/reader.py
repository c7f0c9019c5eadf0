"""Open stores and read them: memory-mapped vectors, aligned pairs, random access, the catalogue, statistics."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from store.checks import check_alike, check_coverage, check_digest, check_size, joined_header
from store.errors import StoreError
from store.format import Header, Shard
from store.header import read_header
from store.layouts import (
    Place,
    Vectors,
    catalogue_file,
    locate_hdf5,
    map_hdf5,
    read_parquet_vectors,
    vectors_file,
)

Rows = NDArray[np.integer[Any]]


@dataclass
class _Part:
    """One shard of one store, and what has been learnt of it so far."""

    store: Path
    shard: Shard
    layout: str
    place: Place | None = None
    utterance_ids: pa.Array | None = None
    checked: set[str] = field(default_factory=set)


class EmbeddingStore:
    """One finished store, or several of one kind read as one.

    Nothing is held open: files are opened when they are read, so an instance may cross a fork, be shared by threads or
    be pickled to a worker.

    Args:
        path: the store's directory.
        check: hash each file once, before it is first read, and refuse it if it is not what was written.

    Raises:
        StoreError: not a store, an unknown version, an altered header, or a file that is missing or of another size.

    Example:
        >>> store = EmbeddingStore("runs/demo/stores/ge2e/train")  # doctest: +SKIP
        >>> clean, noisy = store.pairs("clean", "noise")  # doctest: +SKIP
    """

    def __init__(self, path: str | Path, *, check: bool = False) -> None:
        self.path = Path(path)
        self.header: Header = read_header(self.path)
        self.stores = [self]
        self._check = check
        self._parts = [_Part(self.path, shard, self.header.declaration.vectors) for shard in self.header.shards]
        check_coverage(self.path, self.header)
        for part in self._parts:
            for file in part.shard.files:
                check_size(self.path, file)

    @classmethod
    def concat(cls, stores: Sequence["EmbeddingStore | str | Path"], *, check: bool = False) -> "EmbeddingStore":
        """Open several stores as one, in the order given; nothing is copied.

        Raises:
            StoreError: none given, or stores that differ in space, dimension, dtype, views or crops; names both.
        """
        opened = [store if isinstance(store, EmbeddingStore) else cls(store, check=check) for store in stores]
        if not opened:
            raise StoreError("no store to open; give at least one")
        for other in opened[1:]:
            check_alike(opened[0].header, other.header, opened[0].path, other.path)
        joined = object.__new__(cls)
        joined.path = opened[0].path
        joined.header = opened[0].header if len(opened) == 1 else joined_header([store.header for store in opened])
        joined._check = check or any(store._check for store in opened)
        joined._parts = [part for store in opened for part in store._parts]
        joined.stores = [store for each in opened for store in each.stores]
        return joined

    @property
    def dim(self) -> int:
        """Embedding dimension D."""
        return self.header.declaration.dim

    @property
    def dtype(self) -> np.dtype[Any]:
        return np.dtype(self.header.declaration.dtype)

    @property
    def views(self) -> list[str]:
        """View names, in row order."""
        return list(self.header.declaration.views)

    @property
    def crops(self) -> int:
        """Crops per utterance."""
        return self.header.declaration.crops

    @property
    def recipes(self) -> dict[str, Any]:
        """View name -> the recipe it was rendered by."""
        return self.header.declaration.views

    @property
    def space(self) -> str:
        """The embedding space, e.g. "ge2e:1a2b3c4d"; vectors of two spaces are never mixed."""
        return self.header.declaration.space

    @property
    def fingerprint(self) -> str:
        """SHA-256 over the declared inputs."""
        return self.header.fingerprint

    @property
    def shards(self) -> list[Shard]:
        return [part.shard for part in self._parts]

    def __len__(self) -> int:
        return sum(part.shard.rows for part in self._parts)

    def __repr__(self) -> str:
        return f"EmbeddingStore({str(self.path)!r}: {len(self)} x {self.dim}, views {', '.join(self.views)})"

    def shard_vectors(self, position: int) -> Vectors:
        """Return the vectors [rows, D] of the shard at `position` in `shards`: a read-only map where they can be."""
        part = self._parts[position]
        path = vectors_file(part.store, part.shard.name, part.layout)
        self._checked(part, path)
        shape = (part.shard.rows, self.dim)
        if part.layout == "parquet":
            vectors = read_parquet_vectors(path, self.dim)
        else:
            part.place = part.place or locate_hdf5(path)
            vectors = map_hdf5(path, part.place)
        if vectors.shape != shape or vectors.dtype != self.dtype:
            found = f"{list(vectors.shape)} {vectors.dtype}"
            raise StoreError(f"{path} holds {found}, store.json says {list(shape)} {self.dtype}; extract it again")
        return vectors

    def shard_rows(self, position: int, columns: Sequence[str] | None = None, filters: Any = None) -> pa.Table:
        """Return the catalogue of the shard at `position`, in the order of its vectors."""
        part = self._parts[position]
        path = catalogue_file(part.store, part.shard.name)
        self._checked(part, path)
        try:
            wanted = columns if columns is not None else [n for n in pq.read_schema(path).names if n != "embedding"]
            return pq.read_table(path, columns=list(wanted), filters=filters).replace_schema_metadata(None)
        except (OSError, pa.ArrowException) as error:
            raise StoreError(f"{path} cannot be read ({error}); extract this shard again") from error

    def vectors(self, view: str | None = None) -> Vectors:
        """Return all vectors, or those of one view, in catalogue order: [N, D].

        Inside one shard this is a (strided) view of the memory map; over several shards it is a copy.
        """
        if view is None:
            return _joined([self.shard_vectors(position) for position in range(len(self._parts))])
        return _joined([block[:, self._view_index(view)] for block in self.blocks()])

    def pairs(self, first: str, second: str) -> tuple[Vectors, Vectors]:
        """Return two aligned arrays [N, D]: row i of both is the same utterance and crop, in two views."""
        return self.vectors(first), self.vectors(second)

    def blocks(self) -> Iterator[Vectors]:
        """Yield each shard as [utterances x crops, views, D]; memory is that of one shard at a time."""
        for position in range(len(self._parts)):
            yield self.shard_vectors(position).reshape(-1, len(self.views), self.dim)

    def take(self, rows: Sequence[int] | Rows) -> Vectors:
        """Return the vectors at some row numbers [n, D], in the order asked for."""
        numbers = np.asarray(rows)
        if numbers.dtype == bool:
            raise StoreError(f"{self.path}: take() wants row numbers, not a mask; use np.flatnonzero(mask)")
        wanted = numbers.astype(np.int64)
        edges = np.cumsum([0, *(part.shard.rows for part in self._parts)])
        if wanted.size and not (wanted.min() >= 0 and wanted.max() < edges[-1]):
            raise StoreError(f"{self.path}: rows {wanted.min()}..{wanted.max()} asked for, there are {edges[-1]}")
        taken = np.empty((len(wanted), self.dim), self.dtype)
        owner = np.searchsorted(edges, wanted, side="right") - 1
        for position in np.unique(owner):
            chosen = np.flatnonzero(owner == position)
            taken[chosen] = self.shard_vectors(int(position))[wanted[chosen] - edges[position]]
        return taken

    def get(self, utterance_id: str, *, view: str, crop: int = 0) -> Vectors:
        """Return one vector [D].

        Raises:
            StoreError: no such utterance, view or crop; names what there is.
        """
        view_index = self._view_index(view)
        if not 0 <= crop < self.crops:
            raise StoreError(f"{self.path}: no crop {crop}; there are {self.crops}")
        for position in range(len(self._parts)):
            utterance = pc.index(self._utterance_ids(position), utterance_id).as_py()
            if utterance >= 0:
                row = (utterance * self.crops + crop) * len(self.views) + view_index
                vector: Vectors = self.shard_vectors(position)[row]
                return vector
        shown = utterance_id if len(utterance_id) <= 80 else f"{utterance_id[:80]}…"
        raise StoreError(f"{self.path}: no utterance {shown!r} among {self.header.stored} stored")

    def utterance_ids(self) -> list[str]:
        """Return the stored utterances, in row order."""
        ids: list[str] = [
            name for position in range(len(self._parts)) for name in self._utterance_ids(position).to_pylist()
        ]
        return ids

    def rows(self, columns: Sequence[str] | None = None, filters: Any = None) -> pa.Table:
        """Return the catalogue: one row per vector, in the order of `vectors()`.

        Args:
            columns: only these.
            filters: only rows like [("view", "==", "noise"), ("snr_db", "<", 5.0)]; pushed down to the files, whose
                statistics let whole row groups be skipped. Filtered rows no longer number the vectors.
        """
        tables = [self.shard_rows(position, columns, filters) for position in range(len(self._parts))]
        return pa.concat_tables(tables, promote_options="default")

    def statistics(self) -> dict[str, Any]:
        """Return count, mean [D], standard deviation [D] and the range of norms, in the memory of one shard."""
        total, squares = np.zeros(self.dim), np.zeros(self.dim)
        norms = (np.inf, -np.inf)
        for block in self.blocks():
            for rows in np.array_split(block.reshape(-1, self.dim), max(1, len(block) // 65_536)):
                wide = rows.astype(np.float64)
                total, squares = total + wide.sum(axis=0), squares + (wide**2).sum(axis=0)
                lengths = np.sqrt((wide**2).sum(axis=1))
                norms = (min(norms[0], lengths.min(initial=np.inf)), max(norms[1], lengths.max(initial=-np.inf)))
        count = max(len(self), 1)
        mean = total / count
        deviation = np.sqrt(np.maximum(squares / count - mean**2, 0.0))
        return {"count": len(self), "mean": mean, "std": deviation, "norm_min": norms[0], "norm_max": norms[1]}

    def verify(self) -> None:
        """Check every file against store.json, and that its vectors are finite.

        Raises:
            StoreError: at the first file that is not what it should be, naming it.
        """
        from store.verify import problems  # here, since it reads stores

        for store in self.stores:
            for problem in problems(store):
                raise StoreError(problem)

    def _utterance_ids(self, position: int) -> pa.Array:
        part = self._parts[position]
        if part.utterance_ids is None:
            ids = self.shard_rows(position, ["utterance_id"])["utterance_id"].combine_chunks()
            step = self.header.declaration.rows_per_utterance
            part.utterance_ids = ids.take(pa.array(np.arange(0, len(ids), step)))
        return part.utterance_ids

    def _view_index(self, view: str) -> int:
        if view not in self.header.declaration.views:
            raise StoreError(f"{self.path}: no view {view!r}; there are {', '.join(self.views)}")
        return self.views.index(view)

    def _checked(self, part: _Part, path: Path) -> None:
        """Hash a file before it is first read, where the store was opened with checks."""
        if self._check and path.name not in part.checked:
            (file,) = (file for file in part.shard.files if file.name.endswith(path.name))
            check_digest(part.store, file)
            part.checked.add(path.name)


def _joined(parts: list[Vectors]) -> Vectors:
    return parts[0] if len(parts) == 1 else np.concatenate(parts)
