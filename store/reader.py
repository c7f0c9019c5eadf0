"""Open stores and read them: memory-mapped vectors, aligned pairs, random access, the catalogue."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from reseed.store.checks import check_alike, joined_header
from reseed.store.errors import StoreError
from reseed.store.format import Header, Reject, Shard
from reseed.store.frames import arrow_table, pandas_frame, polars_frame
from reseed.store.layouts import Vectors
from reseed.store.opening import check_sizes, place_of, present_header
from reseed.store.shards import ShardReader, as_opened, in_turn
from reseed.store.states import use_rejects
from reseed.store.url import AnyPath
from reseed.store.verify import problems
from reseed.store.versions import Version, earlier, versions
from reseed.store.writer import read_rejects

if TYPE_CHECKING:
    import pandas
    import polars

Rows = NDArray[np.integer[Any]]


class EmbeddingStore:
    """One finished store, or several of one kind read as one.

    Nothing is held open: files are opened when they are read, so an instance may cross a fork, be shared by threads or
    be pickled to a worker. What is read is of the state that was opened; once an edit has removed files of it, reading
    them raises StoreChangedError.

    Args:
        path: the store's directory, or where else it lies: "s3://bucket/store". Each of its files is then fetched when
            it is first read, and kept on this machine (see `store.cache`).
        check: hash each file once, before it is first read, and refuse it if it is not what was written. On slow disks
            the environment variable RESEED_CHECK_VECTORS=0 leaves out the files of vectors.
        header: what to read of it, where not all of it (see `store.verify.undamaged`).
        version: number of an earlier state, as `versions` lists them; None: the present one.

    Raises:
        StoreError: not a store, an unknown version, an altered header, or a file that is missing or of another size.

    Example:
        >>> from reseed import EmbeddingStore
        >>> store = EmbeddingStore("stores/train")
        >>> store.views, store.dim, len(store)
        (['clean', 'noise', 'reverb'], 16, 72)
        >>> clean, noisy = store.pairs("clean", "noise")
        >>> clean.shape, noisy.shape
        ((24, 16), (24, 16))
        >>> store.get("utt-003", view="noise", crop=1).shape
        (16,)
        >>> store.rows(filters=[("view", "==", "noise"), ("crop", "==", 0)]).num_rows
        12
        >>> store.to_polars("clean", columns=["speaker_id"]).shape
        (24, 2)
    """

    def __init__(
        self, path: str | AnyPath, *, check: bool = True, header: Header | None = None, version: int | None = None
    ) -> None:
        self.path: AnyPath = place_of(path)
        self.version = earlier(self.path, version)
        self.header: Header = header or present_header(self.path, self.version)
        self.stores = [self]
        declared = self.header.declaration
        self._shards = [ShardReader(self.path, shard, declared, check, self.version) for shard in self.header.shards]
        if header is not None:
            check_sizes(self.path, header)

    @classmethod
    def concat(cls, stores: Sequence["EmbeddingStore | str | AnyPath"], *, check: bool = True) -> "EmbeddingStore":
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
        joined.path, joined.version = opened[0].path, opened[0].version
        joined.header = opened[0].header if len(opened) == 1 else joined_header([store.header for store in opened])
        readers = [reader for store in opened for reader in store._shards]
        joined._shards = [replace(reader, check=True) for reader in readers] if check else readers
        joined.stores = [store for each in opened for store in each.stores]
        return joined

    @property
    def folder(self) -> Path:
        """The store's directory, for what changes it.

        Raises:
            StoreError: it lies elsewhere.
        """
        if isinstance(self.path, Path):
            return self.path
        raise StoreError(
            f"{self.path} cannot be changed where it lies; `reseed copy` it here, change that, copy it back"
        )

    @property
    def dim(self) -> int:
        """Embedding dimension D."""
        return self.header.declaration.dim

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the stored vectors, float32 or float16."""
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
        """What store.json says of each shard, in row order."""
        return [reader.shard for reader in self._shards]

    def __len__(self) -> int:
        return sum(shard.rows for shard in self.header.shards)

    def __repr__(self) -> str:
        return f"EmbeddingStore({str(self.path)!r}: {len(self)} x {self.dim}, views {', '.join(self.views)})"

    def shard(self, position: int) -> ShardReader:
        """Return what reads the shard at `position` in `shards`."""
        return self._shards[position]

    def vectors(self, view: str | None = None) -> Vectors:
        """Return all vectors, or those of one view, in catalogue order: [N, D].

        Inside one shard this is a (strided) view of the memory map; over several shards it is a copy.
        """
        return self._gathered([slice(None) if view is None else self._view_index(view)])[0]

    def pairs(self, first: str, second: str) -> tuple[Vectors, Vectors]:
        """Return two aligned arrays [N, D]: row i of both is the same utterance and crop, in two views."""
        vectors = self._gathered([self._view_index(first), self._view_index(second)])
        return vectors[0], vectors[1]

    def utterance_blocks(self) -> Iterator[Vectors]:
        """Yield each shard as whole utterances [U, C, V, D]; memory is that of one shard at a time."""
        for vectors in in_turn(self._shards):
            yield vectors.reshape(-1, self.crops, len(self.views), self.dim)

    def take(self, rows: Sequence[int] | Rows) -> Vectors:
        """Return the vectors at some row numbers [n, D], in the order asked for."""
        numbers = np.asarray(rows)
        if numbers.dtype == bool:
            raise StoreError(f"{self.path}: take() wants row numbers, not a mask; use np.flatnonzero(mask)")
        wanted = numbers.astype(np.int64)
        edges = np.cumsum([0, *(shard.rows for shard in self.shards)])
        if wanted.size and not (wanted.min() >= 0 and wanted.max() < edges[-1]):
            raise StoreError(f"{self.path}: rows {wanted.min()}..{wanted.max()} asked for, there are {edges[-1]}")
        if len(self._shards) == 1:
            return np.asarray(self._shards[0].vectors(keep=True)).take(wanted, axis=0)
        taken = np.empty((len(wanted), self.dim), self.dtype)
        owner = np.searchsorted(edges, wanted, side="right") - 1
        for position in np.unique(owner):
            chosen = np.flatnonzero(owner == position)
            vectors = np.asarray(self._shards[position].vectors(keep=True))
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
        for reader in self._shards:
            if (number := reader.find(utterance_id)) is not None:
                row = (number * self.crops + crop) * len(self.views) + view_index
                vector: Vectors = reader.vectors(keep=True)[row]
                return vector
        shown = utterance_id if len(utterance_id) <= 80 else f"{utterance_id[:80]}…"
        raise StoreError(f"{self.path}: no utterance {shown!r} among {self.header.stored} stored")

    def utterance_ids(self) -> list[str]:
        """Return the stored utterances, in row order."""
        return [name for reader in self._shards for name in reader.utterances]

    def speaker_ids(self) -> list[str | None]:
        """Return the speaker of each stored utterance, in row order; None where the store does not name one."""
        return [name for reader in self._shards for name in reader.per_utterance("speaker_id")]

    def rows(self, columns: Sequence[str] | None = None, filters: Any = None) -> pa.Table:
        """Return the catalogue: one row per vector, in the order of `vectors()`.

        Args:
            columns: only these.
            filters: only rows like [("view", "==", "noise"), ("snr_db", "<", 5.0)]; pushed down to the files, whose
                statistics let whole row groups be skipped. Filtered rows no longer number the vectors.
        """
        tables = [reader.rows(columns, filters) for reader in self._shards]
        return pa.concat_tables(tables, promote_options="default")

    def to_arrow(self, view: str | None = None, columns: Sequence[str] | None = None) -> pa.Table:
        """Return the catalogue and the vectors, or those of one view, as one table, in the order of `vectors()`.

        The column `embedding` is a fixed-size list of D floats, a chunk for each shard. Of all views it is the memory
        map itself; one view of several is copied, a shard at a time.

        Args:
            columns: only these of the catalogue, beside `embedding`.

        Raises:
            StoreError: no such view or column; names what there is.
        """
        places = slice(None) if view is None else slice(self._view_index(view), None, len(self.views))
        return arrow_table(self._shards, places, columns)

    def to_pandas(self, view: str | None = None, columns: Sequence[str] | None = None) -> "pandas.DataFrame":
        """Return what `to_arrow` does as a DataFrame of pandas; `np.stack(frame["embedding"])` is [N, D].

        Each vector is an array [D] in a column of objects.

        Raises:
            ConfigError: pandas is not installed.
            StoreError: as `to_arrow`.
        """
        return pandas_frame(self.to_arrow(view, columns))

    def to_polars(self, view: str | None = None, columns: Sequence[str] | None = None) -> "polars.DataFrame":
        """Return what `to_arrow` does as a DataFrame of Polars; `frame["embedding"].to_numpy()` is [N, D].

        Raises:
            ConfigError: Polars is not installed.
            StoreError: as `to_arrow`.
        """
        return polars_frame(self.to_arrow(view, columns))

    def rejects(self) -> list[Reject]:
        """Return the utterances that were left out, and why.

        Raises:
            StoreError: the list is damaged.
        """
        return [reject for store in self.stores for reject in store._rejects()]

    def _rejects(self) -> list[Reject]:
        with as_opened(self.path, lambda now: now.rejects == self.header.rejects, self.version):
            return use_rejects(self.path, self.header, read_rejects, self.version)

    def versions(self) -> list[Version]:
        """Return the states of the store, the present one last: number, when and by what it was made, what it holds.

        Raises:
            StoreError: the log of them is damaged.
        """
        return versions(self.path)

    def verify(self) -> None:
        """Check every file against store.json, and that its vectors are finite.

        Raises:
            StoreError: at the first file that is not what it should be, naming it.
        """
        for store in self.stores:
            store._verify()

    def _verify(self) -> None:
        with as_opened(self.path, lambda now: now == self.header, self.version):
            for problem in problems(self.path, self.header, version=self.version):
                raise StoreError(problem)

    def _gathered(self, choices: Sequence[int | slice]) -> list[Vectors]:
        """Return [N, D] for each choice of views, in one pass over the shards; inside one shard nothing is copied."""
        shape = (len(self) // len(self.views), len(self.views), self.dim)
        blocks = (vectors.reshape(-1, *shape[1:]) for vectors in in_turn(self._shards))
        if len(self._shards) == 1:
            (block,) = blocks
            return [block[:, choice].reshape(-1, self.dim) for choice in choices]
        gathered = [np.empty(shape[::2] if isinstance(choice, int) else shape, self.dtype) for choice in choices]
        start = 0
        for block in blocks:
            for vectors, choice in zip(gathered, choices, strict=True):
                vectors[start : start + len(block)] = block[:, choice]
            start += len(block)
        return [vectors.reshape(-1, self.dim) for vectors in gathered]

    def _view_index(self, view: str) -> int:
        if view not in self.header.declaration.views:
            raise StoreError(f"{self.path}: no view {view!r}; there are {', '.join(self.views)}")
        return self.views.index(view)
