"""A store cut into blocks of whole utterances, each read by itself in any process.

Shapes: U utterances of a block, C crops, V views, R = U C V rows, D embedding dimension.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from reseed.stages.audio.conditions import Condition, describe
from reseed.store import EmbeddingStore
from reseed.store.format import Header
from reseed.store.layouts import catalogue_file

_ELEMENTS = 1 << 23  # of a block: 32 MB in single precision
_COLUMNS = ("utterance_id", "speaker_id", "view", "crop", "snr_db", "noise_ids", "rir_id")

Floats = NDArray[np.float32]

_NOTHING: Floats = np.zeros((0, 0, 0, 0), np.float32)


@dataclass(frozen=True, order=True)
class Place:
    """One row of a store, as one asks for it."""

    utterance_id: str
    view: str
    crop: int


@dataclass(frozen=True)
class Block:
    """Some utterances of one shard: its position, and the first and the number of them."""

    shard: int
    first: int
    utterances: int


class Source:
    """A store opened to be read by blocks; it may be pickled to a worker.

    Args:
        header: which shards of it, where some are damaged.
    """

    def __init__(self, path: Path, header: Header) -> None:
        self.path, self.header = path.resolve(), header
        self.store = EmbeddingStore(self.path, header=header)
        self.views, self.crops, self.dim = self.store.views, self.store.crops, self.store.dim
        (conditions,) = describe(self.store.recipes)
        self.conditions: list[Condition] = list(conditions.values())
        self.clean = next((place for place, found in enumerate(self.conditions) if found.is_clean), None)
        self.blocks = plan(header)

    @property
    def utterances(self) -> int:
        return sum(block.utterances for block in self.blocks)

    @property
    def judged(self) -> int:
        """The view that speakers and duplicates are judged by: the clean one, or the first where there is none."""
        return self.clean or 0

    def read(self, number: int) -> "Rows":
        """Read a block."""
        block, step = self.blocks[number], self.crops * len(self.views)
        rows = slice(block.first * step, (block.first + block.utterances) * step)
        vectors = np.asarray(self.store.shard(block.shard).vectors()[rows], np.float32)
        return Rows(self, vectors.reshape(-1, self.crops, len(self.views), self.dim), self.catalogue(number))

    def identities(self, number: int) -> list[tuple[str, str | None]]:
        """Return id and speaker of the utterances of a block; no vector is read."""
        rows = Rows(self, _NOTHING, self.catalogue(number))
        return list(zip(rows.ids, rows.speakers, strict=True))

    def catalogue(self, number: int) -> pa.Table:
        """Read what the catalogue says of a block."""
        block, step = self.blocks[number], self.crops * len(self.views)
        whole = _catalogue(catalogue_file(self.path, self.header.shards[block.shard].name))
        return whole.slice(block.first * step, block.utterances * step)


class Rows:
    """The rows of a block: their vectors and what the catalogue says of them."""

    def __init__(self, source: Source, vectors_UCVD: Floats, table: pa.Table) -> None:
        self.source, self.vectors_UCVD, self.table = source, vectors_UCVD, table

    @cached_property
    def ids(self) -> list[str]:
        """Utterance ids, [U]."""
        return self._first_of_each("utterance_id")

    @cached_property
    def speakers(self) -> list[str | None]:
        """Speaker ids, [U]; none where the store does not name one."""
        return [name or None for name in self._first_of_each("speaker_id")]

    @cached_property
    def norm_UCV(self) -> NDArray[np.float64]:
        return lengths(self.vectors_UCVD)

    @cached_property
    def usable_UCV(self) -> NDArray[np.bool_]:
        """Which rows have a direction."""
        usable: NDArray[np.bool_] = np.isfinite(self.norm_UCV) & (self.norm_UCV > 0)
        return usable

    @cached_property
    def unit_UCVD(self) -> Floats:
        """Unit vectors; zeros where there is no direction."""
        return unit(self.vectors_UCVD)

    @cached_property
    def whole_U(self) -> NDArray[np.bool_]:
        """Which utterances have a direction in every crop of the view they are judged by."""
        whole: NDArray[np.bool_] = self.usable_UCV[:, :, self.source.judged].all(axis=1)
        return whole

    @cached_property
    def utterance_UD(self) -> Floats:
        """One unit vector per utterance: the mean of the crops of the view it is judged by."""
        return unit(self.unit_UCVD[:, :, self.source.judged].mean(axis=1))

    @cached_property
    def cosine_UCV(self) -> Floats:
        """Cosine of each row with the clean vector of its crop; NaN where either has no direction."""
        clean = self.source.judged
        cosine: Floats = np.einsum("ucvd,ucd->ucv", self.unit_UCVD, self.unit_UCVD[:, :, clean])
        cosine[~(self.usable_UCV & self.usable_UCV[:, :, clean, None])] = np.nan
        return cosine

    @cached_property
    def snr_UCV(self) -> Floats:
        """SNR in dB as drawn; NaN where nothing was added or nobody knows."""
        if "snr_db" not in self.table.column_names:
            return np.full(self.norm_UCV.shape, np.nan, np.float32)
        drawn: Floats = self.table["snr_db"].to_numpy().astype(np.float32).reshape(self.norm_UCV.shape)
        return drawn

    def added(self, row: int) -> tuple[tuple[str, ...], str | None]:
        """Return the noises and the room of a row, where the store says."""
        known = self.table.column_names
        noises = self.table["noise_ids"][row].as_py() if "noise_ids" in known else ()
        return tuple(noises or ()), self.table["rir_id"][row].as_py() if "rir_id" in known else None

    def sounds(self, column: str) -> tuple[NDArray[np.int64], NDArray[np.int64], list[str]]:
        """Return what was added to rows, S times in all: the row [S], which sound [S], and the names of the sounds.

        Args:
            column: "noise_ids" or "rir_id".
        """
        if column not in self.table.column_names:
            return np.empty(0, np.int64), np.empty(0, np.int64), []
        values = self.table[column].combine_chunks()
        if pa.types.is_list(values.type):
            row_S, values = pc.list_parent_indices(values).to_numpy(), pc.list_flatten(values)
        else:
            row_S = np.arange(len(values))
        kept = pc.is_valid(values)
        encoded = values.filter(kept).cast(pa.string()).dictionary_encode()
        code_S = encoded.indices.to_numpy(zero_copy_only=False).astype(np.int64)
        return row_S[kept.to_numpy(zero_copy_only=False)], code_S, encoded.dictionary.to_pylist()

    def place(self, row: int) -> Place:
        """Name a row of the block by its number."""
        views, crops = len(self.source.views), self.source.crops
        utterance, rest = divmod(row, crops * views)
        return Place(self.ids[utterance], self.source.views[rest % views], rest // views)

    def _first_of_each(self, column: str) -> list[Any]:
        step = self.source.crops * len(self.source.views)
        if column not in self.table.column_names:
            return [None] * (self.table.num_rows // step)
        taken = self.table[column].take(pa.array(np.arange(0, self.table.num_rows, step)))
        found: list[Any] = taken.cast(pa.string()).to_pylist()
        return found


def utterance_vectors(source: Source, utterances: NDArray[np.int64]) -> Floats:
    """Return the unit vectors of some utterances by their numbers, [U, D]; zeros where a crop has no direction."""
    step = source.crops * len(source.views)
    rows = utterances[:, None] * step + np.arange(source.crops) * len(source.views) + source.judged
    crops_UCD = np.asarray(source.store.take(rows.ravel()), np.float32).reshape(-1, source.crops, source.dim)
    unit_UCD = unit(crops_UCD)
    whole_U = unit_UCD.any(axis=2).all(axis=1)
    return unit(unit_UCD.mean(axis=1) * whole_U[:, None])


def centred_vectors(source: Source, utterances: NDArray[np.int64], mean_D: Floats) -> Floats:
    """Return `utterance_vectors` less a mean, of unit length; zeros where a crop has no direction."""
    vectors_UD = utterance_vectors(source, utterances)
    return unit((vectors_UD - mean_D) * vectors_UD.any(axis=1, keepdims=True))


def identities(source: Source, utterances: NDArray[np.int64]) -> list[tuple[str, str | None]]:
    """Return id and speaker of some utterances by their numbers."""
    edges = np.cumsum([0, *(block.utterances for block in source.blocks)])
    owners = np.searchsorted(edges, utterances, side="right") - 1
    found: dict[int, tuple[str, str | None]] = {}
    for owner in np.unique(owners).tolist():
        listed = source.identities(owner)
        for number in utterances[owners == owner].tolist():
            found[number] = listed[number - edges[owner]]
    return [found[number] for number in utterances.tolist()]


def unit(vectors: Floats) -> Floats:
    """Return vectors [..., D] of unit length; zeros where they have no direction."""
    norm = lengths(vectors)[..., None]
    usable = np.isfinite(norm) & (norm > 0)
    scaled: Floats = np.where(usable, vectors, 0.0) / np.where(usable, norm, 1.0)
    return scaled.astype(np.float32, copy=False)


def lengths(vectors: Floats) -> NDArray[np.float64]:
    """Return the lengths of vectors [..., D]; in double precision, which no finite vector overflows."""
    norm: NDArray[np.float64] = np.sqrt(np.einsum("...d,...d->...", vectors, vectors, dtype=np.float64))
    return norm


def plan(header: Header) -> list[Block]:
    """Cut shards into blocks of a size that memory holds several of; those that can only be read whole are not cut."""
    declared = header.declaration
    most = max(1, _ELEMENTS // (declared.rows_per_utterance * declared.dim))
    if declared.vectors == "parquet":
        most = max((shard.utterances for shard in header.shards), default=1)
    return [
        Block(position, first, min(most, shard.utterances - first))
        for position, shard in enumerate(header.shards)
        for first in range(0, shard.utterances, most)
    ]


def hashed_ids(ids: Sequence[str | None]) -> NDArray[np.uint64]:
    """Return 64 bits of each id, the same in every process; 0 where there is none."""
    joined = b"".join(bytes(8) if name is None else blake2b(name.encode(), digest_size=8).digest() for name in ids)
    return np.frombuffer(joined, "<u8").astype(np.uint64)


def hashed_rows(vectors: NDArray[np.float32]) -> NDArray[np.uint64]:
    """Return 64 bits of each row [U, D], equal where all bits of the rows are (multilinear hashing)."""
    bits = np.ascontiguousarray(vectors).view(np.uint32)
    factors = np.random.default_rng(0).integers(1, 1 << 63, bits.shape[1], np.uint64) * 2 + 1
    hashed = np.zeros(len(bits), np.uint64)
    for column, factor in zip(bits.T, factors, strict=True):
        hashed += column * factor
    hashed ^= hashed >> np.uint64(29)
    return hashed


@lru_cache(maxsize=2)
def _catalogue(path: Path) -> pa.Table:
    """Keep the catalogue of the last shards: several blocks of one follow each other."""
    known = pq.read_schema(path).names
    return pq.read_table(path, columns=[name for name in _COLUMNS if name in known])
