"""Read one shard of a store: its vectors, its catalogue, and where in it an utterance lies. Nothing is held open."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from itertools import repeat
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from reseed.store.atomic import sha256_once
from reseed.store.cache import kept
from reseed.store.checks import check_digest, vectors_are_checked
from reseed.store.errors import StoreChangedError, StoreError
from reseed.store.format import EMBEDDING, Declaration, Header, Shard, StoredFile, place_of_file
from reseed.store.header import read_header
from reseed.store.layouts import (
    ArrayLocation,
    Vectors,
    id_range,
    kept_map_hdf5,
    locate_hdf5,
    map_hdf5,
    read_parquet_vectors,
    read_per_utterance,
)
from reseed.store.remote import ahead
from reseed.store.url import AnyPath, Url

_AHEAD = 3  # shards
EXTRACT_AGAIN = "run `reseed verify`, then extract the shard again"


@contextmanager
def as_opened(store: AnyPath, is_same: Callable[[Header], bool], version: int | None = None) -> Iterator[None]:
    """Tell what was changed since it was opened from what is damaged.

    Args:
        is_same: whether a later header of the store lists what is read in this context as it was.

    Raises:
        StoreChangedError: instead of any other error, where it does not.
    """
    try:
        yield
    except (StoreError, OSError) as error:
        if is_same(read_header(store, version)):
            raise
        raise StoreChangedError(f"{store} was changed since it was opened; open it again") from error


@contextmanager
def _readable(path: Path) -> Iterator[Path]:
    """Raise StoreError for a catalogue that cannot be read in this context."""
    try:
        yield path
    except (OSError, pa.ArrowException) as error:
        raise StoreError(f"{path} cannot be read ({error}); extract this shard again") from error


def in_turn(readers: Sequence["ShardReader"]) -> Iterator[Vectors]:
    """Yield the vectors of each shard; of a store that lies elsewhere the next ones are fetched meanwhile."""
    is_far = any(isinstance(reader.store, Url) for reader in readers)
    brought = ahead((reader.bring for reader in readers), _AHEAD) if is_far else repeat(None)
    for reader, _ in zip(readers, brought, strict=False):
        yield reader.vectors()


@dataclass(frozen=True)
class ShardReader:
    """One shard of one store.

    Attributes:
        check: hash each file before it is first read, once as long as it is the same file, and refuse it if it is not
            what was written; those that hold vectors only where `vectors_are_checked`.
        version: number of the state that the shard is of; None: the present one.
    """

    store: AnyPath
    shard: Shard
    declaration: Declaration
    check: bool = False
    version: int | None = None
    _checked: set[str] = field(default_factory=set, init=False, compare=False)

    def vectors(self, *, keep: bool = False) -> Vectors:
        """Return the vectors [rows, D]: a read-only map where they can be.

        Args:
            keep: use the map of an earlier call, and keep this one for a later call: for access at random.
        """
        with self._as_opened():
            return self._vectors(keep)

    def _vectors(self, keep: bool) -> Vectors:
        path = self._intact(self.shard.files[0])
        if self.declaration.vectors == "parquet":
            vectors = read_parquet_vectors(path, self.declaration.dim)
        else:
            vectors = (kept_map_hdf5 if keep else map_hdf5)(path, self._location)
        shape = (self.shard.rows, self.declaration.dim)
        if vectors.shape != shape or vectors.dtype != np.dtype(self.declaration.dtype):
            found = f"{list(vectors.shape)} {vectors.dtype}"
            said = f"{list(shape)} {self.declaration.dtype}"
            raise StoreError(f"{path} holds {found}, store.json says {said}; extract it again")
        return vectors

    def bring(self) -> None:
        """Have the vectors on this machine."""
        with self._as_opened():
            self._intact(self.shard.files[0])

    @property
    def columns(self) -> list[str]:
        """Names of the catalogue's columns, of which none is read."""
        with self._as_opened(), _readable(self.catalogue()) as path:
            return [name for name in pq.read_schema(path).names if name != EMBEDDING]

    def rows(self, columns: Sequence[str] | None = None, filters: Any = None) -> pa.Table:
        """Return the catalogue, in the order of the vectors."""
        wanted = list(self.columns if columns is None else columns)
        with self._as_opened(), _readable(self.catalogue()) as path:
            table = pq.read_table(path, columns=wanted, filters=filters, page_checksum_verification=True)
            return table.replace_schema_metadata(None)

    def per_utterance(self, column: str) -> list[str | None]:
        """Return what a column of text says of each utterance, in row order; None where there is no such column."""
        with self._as_opened():
            return read_per_utterance(self.catalogue(), column, self.declaration.rows_per_utterance)

    @cached_property
    def utterances(self) -> dict[str, int]:
        """Utterance id -> its number in the shard, in row order."""
        return {str(name): number for number, name in enumerate(self.per_utterance("utterance_id"))}

    def find(self, utterance_id: str) -> int | None:
        """Return the number of an utterance; a shard whose statistics rule it out is not read."""
        if "utterances" not in vars(self) and self._id_range:
            least, greatest = self._id_range
            if not least <= utterance_id <= greatest:
                return None
        return self.utterances.get(utterance_id)

    def check_finite(self, vectors_MD: NDArray[np.floating[Any]], advice: str) -> None:
        """Check vectors for the rows of this shard, as stored or as enhanced.

        Raises:
            StoreError: some are not finite; names the first such utterance.
        """
        bad_M = ~np.isfinite(vectors_MD).all(axis=-1)
        if bad_M.any():
            row = self.rows(["utterance_id", "view"]).slice(int(bad_M.argmax()), 1).to_pylist()[0]
            raise StoreError(
                f"{self.store}, shard {self.shard.name}: {bad_M.sum()} vectors are not finite, first utterance "
                f"{row['utterance_id']!r}, view {row['view']!r}; {advice}"
            )

    @cached_property
    def _location(self) -> ArrayLocation:
        return locate_hdf5(self._intact(self.shard.files[0]))

    @cached_property
    def _id_range(self) -> tuple[str, str] | None:
        with self._as_opened():
            return id_range(self.catalogue())

    def _as_opened(self) -> AbstractContextManager[None]:
        return as_opened(self.store, lambda now: self.shard in now.shards, self.version)

    def catalogue(self) -> Path:
        """Return where the catalogue lies, once its digest is right."""
        return self._intact(self.shard.files[-1])

    def _intact(self, file: StoredFile) -> Path:
        """Return where a file lies on this machine, hashed before it is first read, if the store was so opened."""
        path = place_of_file(self.store, file.name, self.version)
        is_due = self.check and file.name not in self._checked
        is_due = is_due and (vectors_are_checked() or file != self.shard.files[0])
        if isinstance(path, Url):
            path = kept(path, file, check=is_due)
        elif is_due:
            check_digest(path, file, sha256_once)
        self._checked.add(file.name)
        return path
