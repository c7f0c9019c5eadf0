"""Open stores and read them: memory-mapped vectors, aligned pairs, random access, the catalogue, statistics."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from reseed.store.checks import check_alike, check_coverage, check_digest, check_size, joined_header
from reseed.store.errors import StoreError
from reseed.store.format import Header, Shard
from reseed.store.header import read_header
from reseed.store.layouts import (
    Place,
    Vectors,
    catalogue_file,
    id_range,
    kept_map_hdf5,
    locate_hdf5,
    map_hdf5,
    read_parquet_vectors,
    read_utterance_ids,
    vectors_file,
)

Rows = NDArray[np.integer[Any]]

_STATISTICS_ROWS = 1024  # few enough to stay in the processor's cache as float64


@dataclass
class _Part:
    """One shard of one store, and what has been learnt of it so far."""

    store: Path
    shard: Shard
    layout: str
    place: Place | None = None
    numbers: dict[str, int] | None = None
    id_range: tuple[str, str] | None = None
    checked: set[str] = field(default_factory=set)


class EmbeddingStore:
    """One finished store, or several of one kind read as one.

    Nothing is held open: files are opened when they are read, so an instance may cross a fork, be shared by threads or
    be pickled to a worker.

    Args:
        path: the store's directory.
        check: hash each file once, before it is first read, and refuse it if it is not what was written.
        header: what to read of it, where not all of it (see `store.verify.undamaged`).

    Raises:
        StoreError: not a store, an unknown version, an altered header, or a file that is missing or of another size.

    Example:
        >>> store = EmbeddingStore("runs/demo/stores/ge2e/train")  # doctest: +SKIP
        >>> clean, noisy = store.pairs("clean", "noise")  # doctest: +SKIP
    """

    def __init__(self, path: str | Path, *, check: bool = False, header: Header | None = None) -> None:
        self.path = Path(path)
        self.header: Header = header or read_header(self.path)
        self.stores = [self]
        self._check = check
        self._parts = [_Part(self.path, shard, self.header.declaration.vectors) for shard in self.header.shards]
        if header is None:
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

    def shard_vectors(self, position: int, *, keep: bool = False) -> Vectors:
        """Return the vectors [rows, D] of the shard at `position` in `shards`: a read-only map where they can be.

        Args:
            keep: use the map of an earlier call, and keep this one for a later call: for access at random.
        """
        part = self._parts[position]
        path = vectors_file(part.store, part.shard.name, part.layout)
        self._checked(part, path)
        shape = (part.shard.rows, self.dim)
        if part.layout == "parquet":
            vectors = read_parquet_vectors(path, self.dim)
        else:
            part.place = part.place or locate_hdf5(path)
            vectors = (kept_map_hdf5 if keep else map_hdf5)(path, part.place)
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
        return self._gathered([slice(None) if view is None else self._view_index(view)])[0]

    def pairs(self, first: str, second: str) -> tuple[Vectors, Vectors]:
        """Return two aligned arrays [N, D]: row i of both is the same utterance and crop, in two views."""
        vectors = self._gathered([self._view_index(first), self._view_index(second)])
        return vectors[0], vectors[1]

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
        if len(self._parts) == 1:
            return np.asarray(self.shard_vectors(0, keep=True)).take(wanted, axis=0)
        taken = np.empty((len(wanted), self.dim), self.dtype)
        owner = np.searchsorted(edges, wanted, side="right") - 1
        for position in np.unique(owner):
            chosen = np.flatnonzero(owner == position)
            vectors = np.asarray(self.shard_vectors(int(position), keep=True))
            taken[chosen] = vectors.take(wanted[chosen] - edges[position], axis=0)
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
            utterance = self._number(position, utterance_id)
            if utterance is not None:
                row = (utterance * self.crops + crop) * len(self.views) + view_index
                vector: Vectors = self.shard_vectors(position, keep=True)[row]
                return vector
        shown = utterance_id if len(utterance_id) <= 80 else f"{utterance_id[:80]}…"
        raise StoreError(f"{self.path}: no utterance {shown!r} among {self.header.stored} stored")

    def utterance_ids(self) -> list[str]:
        """Return the stored utterances, in row order."""
        return [name for position in range(len(self._parts)) for name in self._numbers(position)]

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
            rows = block.reshape(-1, self.dim)
            for start in range(0, len(rows), _STATISTICS_ROWS):
                wide = rows[start : start + _STATISTICS_ROWS].astype(np.float64)
                squared = wide**2
                total, squares = total + wide.sum(axis=0), squares + squared.sum(axis=0)
                lengths = np.sqrt(squared.sum(axis=1))
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
        from reseed.store.verify import problems  # here, since it reads stores

        for store in self.stores:
            for problem in problems(store):
                raise StoreError(problem)

    def _gathered(self, choices: Sequence[int | slice]) -> list[Vectors]:
        """Return [N, D] for each choice of views, in one pass over the shards; inside one shard nothing is copied."""
        if len(self._parts) == 1:
            (block,) = self.blocks()
            return [block[:, choice].reshape(-1, self.dim) for choice in choices]
        samples = len(self) // len(self.views)
        kinds = [() if isinstance(choice, int) else (len(self.views),) for choice in choices]
        gathered = [np.empty((samples, *views, self.dim), self.dtype) for views in kinds]
        start = 0
        for block in self.blocks():
            for vectors, choice in zip(gathered, choices, strict=True):
                vectors[start : start + len(block)] = block[:, choice]
            start += len(block)
        return [vectors.reshape(-1, self.dim) for vectors in gathered]

    def _numbers(self, position: int) -> dict[str, int]:
        """Return utterance id -> its place in a shard."""
        part = self._parts[position]
        if part.numbers is None:
            path = catalogue_file(part.store, part.shard.name)
            self._checked(part, path)
            ids = read_utterance_ids(path, self.header.declaration.rows_per_utterance)
            part.numbers = {utterance_id: number for number, utterance_id in enumerate(ids)}
        return part.numbers

    def _number(self, position: int, utterance_id: str) -> int | None:
        """Return the place of an utterance in a shard; a shard whose statistics rule it out is not read."""
        part = self._parts[position]
        if part.numbers is None:
            path = catalogue_file(part.store, part.shard.name)
            self._checked(part, path)
            part.id_range = part.id_range or id_range(path)
            if part.id_range and not part.id_range[0] <= utterance_id <= part.id_range[1]:
                return None
        return self._numbers(position).get(utterance_id)

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
