"""Open a store and read it: memory-mapped vectors, aligned pairs, the catalogue, verification."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from store import atomic
from store.errors import StoreError
from store.format import DATASET, Declaration, Header, Shard, catalogue_path, read_header, vectors_path

Vectors = NDArray[np.floating[Any]]


class EmbeddingStore:
    """A finished store, opened for reading.

    Files are opened lazily and per call, so an instance may cross a fork or be pickled to a worker.

    Args:
        path: the store's directory.

    Raises:
        StoreError: not a store, an unknown version, or a shard whose files are missing or of another size.

    Example:
        >>> store = EmbeddingStore("runs/demo/stores/ge2e/train")  # doctest: +SKIP
        >>> clean, noisy = store.pairs("clean", "noise")  # doctest: +SKIP
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.header: Header = read_header(self.path)
        self._declared: Declaration = self.header.declaration
        for shard in self.header.shards:
            self._check_files(shard)

    @property
    def dim(self) -> int:
        """Embedding dimension D."""
        return self._declared.dim

    @property
    def views(self) -> list[str]:
        """View names, in row order."""
        return list(self._declared.views)

    @property
    def crops(self) -> int:
        """Crops per utterance."""
        return self._declared.crops

    @property
    def recipes(self) -> dict[str, Any]:
        """View name -> the recipe it was rendered by."""
        return self._declared.views

    @property
    def space(self) -> str:
        """The embedding space, e.g. "ge2e:1a2b3c4d"; vectors of two spaces are never mixed."""
        return self._declared.space

    @property
    def fingerprint(self) -> str:
        """SHA-256 over the declared inputs."""
        return self.header.fingerprint

    @property
    def shards(self) -> list[Shard]:
        return self.header.shards

    def __len__(self) -> int:
        return sum(shard.rows for shard in self.header.shards)

    def __repr__(self) -> str:
        return f"EmbeddingStore({str(self.path)!r}: {len(self)} x {self.dim}, views {', '.join(self.views)})"

    def shard_vectors(self, index: int) -> Vectors:
        """Return shard `index` as a read-only memory map [rows, D]."""
        path = vectors_path(self.path, index)
        shard = self.header.shards[index]
        shape = (shard.rows, self.dim)
        try:
            with h5py.File(path, "r") as file:
                dataset = file[DATASET]
                found, dtype, offset = dataset.shape, dataset.dtype, dataset.id.get_offset()
        except (OSError, KeyError) as error:
            raise StoreError(f"{path} cannot be read ({error}); extract this shard again") from error
        if found != shape:
            raise StoreError(f"{path} holds {list(found)}, store.json says {list(shape)}; extract this shard again")
        if shard.rows == 0:
            return np.empty(shape, dtype)
        return np.memmap(path, dtype=dtype, mode="r", offset=offset, shape=shape)

    def shard_rows(self, index: int, columns: Sequence[str] | None = None) -> pa.Table:
        """Return the catalogue of shard `index`, in the order of its vectors."""
        path = catalogue_path(self.path, index)
        try:
            return pq.read_table(path, columns=None if columns is None else list(columns)).replace_schema_metadata(None)
        except (OSError, pa.ArrowException) as error:
            raise StoreError(f"{path} cannot be read ({error}); extract this shard again") from error

    def vectors(self, view: str | None = None) -> Vectors:
        """Return all vectors, or those of one view, in catalogue order: [N, D].

        Inside one shard this is a (strided) view of the memory map; over several shards it is a copy.
        """
        if view is None:
            return _joined([self.shard_vectors(shard.index) for shard in self.shards])
        return _joined([block[:, self._view_index(view)] for block in self.blocks()])

    def pairs(self, first: str, second: str) -> tuple[Vectors, Vectors]:
        """Return two aligned arrays [N, D]: row i of both is the same utterance and crop, in two views."""
        return self.vectors(first), self.vectors(second)

    def blocks(self) -> Iterator[Vectors]:
        """Yield each shard as a memory-mapped [utterances x crops, views, D]."""
        for shard in self.shards:
            yield self.shard_vectors(shard.index).reshape(-1, len(self.views), self.dim)

    def get(self, utterance_id: str, *, view: str, crop: int = 0) -> Vectors:
        """Return one vector [D].

        Raises:
            StoreError: no such utterance, view or crop; names what there is.
        """
        view_index = self._view_index(view)
        if not 0 <= crop < self.crops:
            raise StoreError(f"{self.path}: no crop {crop}; there are {self.crops}")
        for shard in self.shards:
            row = pc.index(self.shard_rows(shard.index, ["utterance_id"])["utterance_id"], utterance_id).as_py()
            if row >= 0:
                vector: Vectors = self.shard_vectors(shard.index)[row + crop * len(self.views) + view_index]
                return vector
        raise StoreError(f"{self.path}: no utterance {utterance_id!r} among {self.header.stored} stored")

    def rows(self, columns: Sequence[str] | None = None) -> pa.Table:
        """Return the catalogue: one row per vector, in the order of `vectors()`."""
        return pa.concat_tables([self.shard_rows(shard.index, columns) for shard in self.shards])

    def verify(self) -> None:
        """Hash every file of every shard again.

        Raises:
            StoreError: at the first file that is not what store.json says, naming it.
        """
        for shard in self.shards:
            for path, sha256 in (
                (vectors_path(self.path, shard.index), shard.vectors_sha256),
                (catalogue_path(self.path, shard.index), shard.catalogue_sha256),
            ):
                if atomic.sha256_file(path) != sha256:
                    raise StoreError(
                        f"{path} is damaged: its SHA-256 is not the one in store.json; extract this shard again"
                    )

    def _view_index(self, view: str) -> int:
        if view not in self._declared.views:
            raise StoreError(f"{self.path}: no view {view!r}; there are {', '.join(self.views)}")
        return self.views.index(view)

    def _check_files(self, shard: Shard) -> None:
        for path, size in (
            (vectors_path(self.path, shard.index), shard.vectors_bytes),
            (catalogue_path(self.path, shard.index), shard.catalogue_bytes),
        ):
            try:
                found = path.stat().st_size
            except FileNotFoundError:
                raise StoreError(f"{path} is missing; extract the store again") from None
            if found != size:
                raise StoreError(f"{path} has {found} bytes, store.json says {size}; extract this shard again")


def _joined(parts: list[Vectors]) -> Vectors:
    return parts[0] if len(parts) == 1 else np.concatenate(parts)
