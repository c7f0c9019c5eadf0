"""Where the vectors of a shard lie: the only code that knows HDF5 from Parquet.

hdf5     NAME.h5 holds /embedding [rows, D], contiguous; NAME.parquet holds the catalogue
parquet  NAME.parquet holds both, the vectors as a non-null FixedSizeList<float>[D] column
"""

import io
import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from reseed.store.errors import StoreError
from reseed.store.format import EMBEDDING, Place, file_suffixes, shard_path
from reseed.store.sealed import write_table

Vectors = NDArray[np.floating[Any]]

_DTYPES = (np.dtype("<f4"), np.dtype("<f2"))
_ALIGNMENT = 2048  # bytes; where HDF5 puts the vectors by itself when it writes a file of its own
_ROW_GROUP = 16_384
_KEPT_MAPS = 64  # each holds a file descriptor


@dataclass(frozen=True)
class ArrayLocation:
    """Where in a file a dense array lies: enough to map it without opening HDF5 again."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    offset: int | None


def write_hdf5(path: Path, vectors: Vectors) -> None:
    """Write one contiguous data set that HDF5 1.8 can read; the same vectors give the same bytes.

    HDF5 makes the bytes before the vectors, in memory, and the vectors are written by Python: a process whose disk is
    full while HDF5 itself writes is ended by a signal (seen with HDF5 2.0).
    """
    head = _Head()
    with h5py.File(
        head, "w", libver=("earliest", "v110"), alignment_threshold=_ALIGNMENT, alignment_interval=_ALIGNMENT
    ) as file:
        dataset = file.create_dataset(EMBEDDING, vectors.shape, vectors.dtype, track_times=False)
        if vectors.size:
            dataset[0, 0] = vectors[0, 0]  # this gives it its place
        offset = dataset.id.get_offset()
    with path.open("wb") as whole:
        whole.write(head.bytes[: head.size if offset is None else offset])
        if offset is not None:
            whole.write(np.ascontiguousarray(vectors).data)


class _Head(io.RawIOBase):
    """A file in memory that keeps its beginning alone; HDF5 puts what describes a data set before the data."""

    def __init__(self) -> None:
        self.bytes, self.size, self._at = bytearray(1 << 16), 0, 0

    def seek(self, offset: int, whence: int = 0) -> int:
        self._at = offset + (0, self._at, self.size)[whence]
        return self._at

    def readinto(self, buffer: Any) -> int:
        found = bytes(self.bytes[self._at : min(self._at + len(buffer), self.size)])
        buffer[: len(found)] = found
        self._at += len(found)
        return len(found)

    def write(self, data: Any) -> int:
        kept = memoryview(data).cast("B")[: max(0, len(self.bytes) - self._at)]
        self.bytes[self._at : self._at + len(kept)] = kept
        self._at += len(data)
        self.size = max(self.size, self._at)
        return len(data)

    def truncate(self, size: int | None = None) -> int:
        self.size = self._at if size is None else size
        return self.size


def locate_hdf5(path: Path) -> ArrayLocation:
    """Return where the data set lies in the file.

    Raises:
        StoreError: not HDF5, without that data set, or with one that is not plain numbers one after another in this
            very file: compressed, chunked, external, virtual or never written, such would be read as something else.
    """
    try:
        with h5py.File(path, "r") as file:
            dataset = file[EMBEDDING]
            location = ArrayLocation(dataset.shape, dataset.dtype, dataset.id.get_offset())
            plan = dataset.id.get_create_plist()
            plain = plan.get_layout() == h5py.h5d.CONTIGUOUS and not plan.get_external_count()
            linked = not isinstance(file.get(EMBEDDING, getlink=True), h5py.HardLink)
    except (OSError, KeyError, RuntimeError, AttributeError, TypeError, ValueError) as error:
        raise StoreError(f"{path} cannot be read ({error}); extract this shard again") from error
    bytes_needed = math.prod(location.shape) * location.dtype.itemsize
    if not plain or linked or (location.offset is None) != (bytes_needed == 0):
        raise StoreError(
            f"{path}: /{EMBEDDING} is not one contiguous, unfiltered data set inside this file, as format 1 has it; "
            "bring such vectors in with `reseed import`"
        )
    if len(location.shape) != 2 or location.dtype not in _DTYPES:
        found = f"{location.dtype} {list(location.shape)}"
        raise StoreError(f"{path}: /{EMBEDDING} is {found}; a store holds float [rows, D]")
    if location.offset is not None and location.offset + bytes_needed > path.stat().st_size:
        raise StoreError(f"{path} is cut short: its vectors end beyond the end of the file; extract this shard again")
    return location


def map_hdf5(path: Path, location: ArrayLocation) -> Vectors:
    """Return the data set as a read-only memory map [rows, D].

    Raises:
        StoreError: the file is no longer what it was when it was located.
    """
    if location.offset is None:  # HDF5 gives an empty data set no place
        return np.empty(location.shape, location.dtype)
    try:
        return np.memmap(path, dtype=location.dtype, mode="r", offset=location.offset, shape=location.shape)
    except (OSError, ValueError) as error:
        raise StoreError(
            f"{path} has been cut or removed since it was opened ({error}); open the store again"
        ) from error


def kept_map_hdf5(path: Path, location: ArrayLocation) -> Vectors:
    """Return the data set as `map_hdf5` does, by the map of an earlier call while the file is still the same.

    For access at random, where mapping costs more than reading. Not for passes over whole shards: every page that was
    read would stay resident.
    """
    try:
        found = path.stat()
    except OSError:
        return map_hdf5(path, location)
    return _kept_map(path, location, (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns))


@lru_cache(maxsize=_KEPT_MAPS)
def _kept_map(path: Path, location: ArrayLocation, state: tuple[int, ...]) -> Vectors:
    return map_hdf5(path, location)


def write_catalogue(path: Path, table: pa.Table, vectors: Vectors | None) -> None:
    """Write the catalogue, and with `vectors` a column of them beside it; whole or not at all."""
    if vectors is None:
        write_table(path, table, compression="zstd")
        return
    column = vector_column(vectors)
    field = pa.field(EMBEDDING, column.type, nullable=False)
    table = table.append_column(field, column)
    scalars = [name for name in table.column_names if name != EMBEDDING]  # vectors hardly compress, and read slower
    compression = dict.fromkeys(scalars, "zstd")
    write_table(path, table, row_group_size=_ROW_GROUP, compression=compression, use_dictionary=scalars)


def vector_column(vectors: Vectors) -> pa.FixedSizeListArray:
    """Return vectors [M, D] as a column of Arrow; what is contiguous is not copied, a memory map stays one."""
    values = pa.array(vectors.ravel(), type=pa.from_numpy_dtype(vectors.dtype))
    item = pa.field("element", values.type, nullable=False)
    return pa.FixedSizeListArray.from_arrays(values, type=pa.list_(item, vectors.shape[1]))


def read_parquet_vectors(path: Path, dim: int) -> Vectors:
    """Return the vector column as an array [rows, D]: a copy, since Parquet pages are encoded."""
    with _readable(path):
        column = pq.read_table(path, columns=[EMBEDDING], page_checksum_verification=True)[EMBEDDING].combine_chunks()
    vectors: Vectors = column.flatten().to_numpy(zero_copy_only=False).reshape(-1, dim)
    return vectors


def read_per_utterance(path: Path, column: str, step: int) -> list[str | None]:
    """Return what a column of text says in every `step`-th row of a catalogue; None where there is no such column."""
    # not `read_table`: it imports pandas, which takes a second
    with _readable(path), pq.ParquetFile(path, page_checksum_verification=True) as file:
        firsts = pa.array(np.arange(0, file.metadata.num_rows, step))
        if column not in file.schema_arrow.names:
            return [None] * len(firsts)
        values: list[str | None] = file.read([column])[column].take(firsts).cast(pa.string()).to_pylist()
    return values


def id_range(path: Path) -> tuple[str, str] | None:
    """Return the least and the greatest utterance id by the statistics of a catalogue; None where it keeps none."""
    with _readable(path):
        metadata = pq.read_metadata(path)
        column = metadata.schema.names.index("utterance_id")
        known = [metadata.row_group(group).column(column).statistics for group in range(metadata.num_row_groups)]
    if not known or any(found is None or not found.has_min_max for found in known):
        return None
    return min(found.min for found in known), max(found.max for found in known)


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, KeyError, pa.ArrowException) as error:
        raise StoreError(f"{path} cannot be read ({error}); extract this shard again") from error


def vectors_file(store: Place, name: str, layout: str) -> Place:
    return shard_path(store, name, file_suffixes(layout)[0])


def catalogue_file(store: Place, name: str) -> Place:
    return shard_path(store, name, "parquet")
