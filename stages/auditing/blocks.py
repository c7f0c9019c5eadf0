"""A store cut into blocks of whole utterances, each read by itself in any process.

Shapes: U utterances of a block, C crops, V views, R = U C V rows, D embedding dimension.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from reseed.stages.audio.conditions import Condition, describe
from reseed.stages.auditing.arrays import Float32, Float64, Indices, Mask, lengths, unit
from reseed.store import EmbeddingStore, Header
from reseed.store.format import CATALOGUE_SCHEMA
from reseed.store.url import AnyPath

_ELEMENTS = 1 << 23  # of a block: 32 MB in single precision
_COLUMNS = ("utterance_id", "speaker_id", "view", "crop", "snr_db", "noise_ids", "rir_id")

Name = tuple[str, str | None]  # of an utterance: its id and its speaker's, where the store names one


@dataclass(frozen=True, order=True)
class RowKey:
    """What names one row of a store."""

    utterance_id: str
    view: str
    crop: int


@dataclass(frozen=True)
class ShardSlice:
    """Which utterances a block holds: the position of their shard, the first of them in it, and how many."""

    shard: int
    first: int
    utterances: int


class AuditedStore:
    """A store that is read by blocks; it may be pickled to a worker.

    Args:
        path: as messages name it.
        header: which shards of it, where some are damaged.
        problems: one line per damaged file; such shards are not read.
        is_sample: some of its shards are not looked at, whether they are sound or not.
    """

    def __init__(self, path: AnyPath, header: Header, problems: Sequence[str] = (), is_sample: bool = False) -> None:
        self.path, self.header, self.problems, self.is_sample = path, header, problems, is_sample
        self.vectors = EmbeddingStore(path.resolve(), check=False, header=header)
        self.views, self.crops, self.dim = self.vectors.views, self.vectors.crops, self.vectors.dim
        self.rows_per_utterance = self.crops * len(self.views)
        (conditions,) = describe(self.vectors.recipes)
        self.conditions: list[Condition] = list(conditions.values())
        self.clean = next((place for place, found in enumerate(self.conditions) if found.is_clean), None)
        self.slices = plan(header)

    @property
    def utterances(self) -> int:
        return sum(part.utterances for part in self.slices)

    @property
    def reference(self) -> int:
        """The view by which utterances are compared: the clean one, or the first where there is none."""
        return self.clean or 0

    def read(self, number: int) -> "AuditedBlock":
        """Read a block."""
        part, step = self.slices[number], self.rows_per_utterance
        rows = slice(part.first * step, (part.first + part.utterances) * step)
        vectors = np.asarray(self.vectors.shard(part.shard).vectors()[rows], np.float32)
        return AuditedBlock(self, vectors, self.catalogue(number), number)

    def nothing(self) -> "AuditedBlock":
        """Return a block without utterances."""
        return AuditedBlock(self, np.zeros((0, self.dim), np.float32), CATALOGUE_SCHEMA.empty_table())

    def taken(self, utterances: Indices) -> "AuditedBlock":
        """Return the vectors of some utterances by their numbers; nothing of the catalogue."""
        rows = utterances[:, None] * self.rows_per_utterance + np.arange(self.rows_per_utterance)
        return AuditedBlock(
            self, np.asarray(self.vectors.take(rows.ravel()), np.float32), CATALOGUE_SCHEMA.empty_table()
        )

    def catalogue(self, number: int) -> pa.Table:
        """Read what the catalogue says of a block."""
        part, step = self.slices[number], self.rows_per_utterance
        shard = _catalogue(self.vectors.shard(part.shard).catalogue())
        return shard.slice(part.first * step, part.utterances * step)

    def block_names(self, number: int) -> list[Name]:
        """Return the names of the utterances of a block; no vector is read."""
        table = self.catalogue(number)
        ids, speakers = (_per_utterance(table, name, self.rows_per_utterance) for name in _COLUMNS[:2])
        return [(str(name), speaker or None) for name, speaker in zip(ids, speakers, strict=True)]

    def names(self, utterances: Indices) -> list[Name]:
        """Return the names of some utterances by their numbers."""
        edges = np.cumsum([0, *(part.utterances for part in self.slices)])
        owners = np.searchsorted(edges, utterances, side="right") - 1
        found: dict[int, Name] = {}
        for owner in np.unique(owners).tolist():
            names = self.block_names(owner)
            for number in utterances[owners == owner].tolist():
                found[number] = names[number - edges[owner]]
        return [found[number] for number in utterances.tolist()]

    def utterance_vectors(self, utterances: Indices) -> Float32:
        """Return the unit vectors of some utterances by their numbers, [U, D]; zeros where a crop has no direction."""
        views, crop_C = len(self.views), np.arange(self.crops)
        rows = utterances[:, None] * self.rows_per_utterance + crop_C * views + self.reference
        crops_UCD = np.asarray(self.vectors.take(rows.ravel()), np.float32).reshape(-1, self.crops, self.dim)
        unit_UCD = unit(crops_UCD)
        usable_U = np.all(np.any(unit_UCD, axis=2), axis=1)
        return unit(unit_UCD.mean(axis=1) * usable_U[:, None])

    def centred_vectors(self, utterances: Indices, mean_D: Float32) -> Float32:
        """Return `utterance_vectors` less a mean, of unit length; zeros where a crop has no direction."""
        vectors_UD = self.utterance_vectors(utterances)
        return unit((vectors_UD - mean_D) * vectors_UD.any(axis=1, keepdims=True))

    def key(self, utterance_id: str) -> RowKey:
        """Return the row by which an utterance is compared."""
        return RowKey(utterance_id, self.views[self.reference], 0)


class AuditedBlock:
    """Some utterances of a store: their vectors and what the catalogue says of their rows.

    Attributes:
        number: which block of the store it is; None: none of those that a pass reads.
    """

    def __init__(self, store: AuditedStore, vectors_RD: Float32, table: pa.Table, number: int | None = None) -> None:
        self.store, self.table, self.number = store, table, number
        self.vectors_UCVD = vectors_RD.reshape(-1, store.crops, len(store.views), store.dim)

    @cached_property
    def ids(self) -> list[str]:
        """Utterance ids, [U]."""
        return list(map(str, _per_utterance(self.table, "utterance_id", self.store.rows_per_utterance)))

    @cached_property
    def speakers(self) -> list[str | None]:
        """Speaker ids, [U]; None where the store does not name one."""
        return [name or None for name in _per_utterance(self.table, "speaker_id", self.store.rows_per_utterance)]

    @cached_property
    def norm_UCV(self) -> Float64:
        return lengths(self.vectors_UCVD)

    @cached_property
    def usable_UCV(self) -> Mask:
        """Which rows have a direction."""
        return np.logical_and(np.isfinite(self.norm_UCV), self.norm_UCV > 0)

    @cached_property
    def unit_UCVD(self) -> Float32:
        """Unit vectors; zeros where there is no direction."""
        return unit(self.vectors_UCVD)

    @cached_property
    def usable_U(self) -> Mask:
        """Which utterances have a direction in every crop of the view by which they are compared."""
        return np.all(self.usable_UCV[:, :, self.store.reference], axis=1)

    @cached_property
    def utterance_UD(self) -> Float32:
        """One unit vector per utterance: the mean of the crops of the view by which they are compared."""
        return unit(self.unit_UCVD[:, :, self.store.reference].mean(axis=1))

    @cached_property
    def cosine_UCV(self) -> Float32:
        """Cosine of each row with the clean vector of its crop; NaN where either has no direction."""
        clean = self.store.reference
        cosine: Float32 = np.einsum("ucvd,ucd->ucv", self.unit_UCVD, self.unit_UCVD[:, :, clean])
        cosine[~(self.usable_UCV & self.usable_UCV[:, :, clean, None])] = np.nan
        return cosine

    @cached_property
    def snr_UCV(self) -> Float32:
        """SNR in dB as drawn; NaN where nothing was added or nobody knows."""
        if "snr_db" not in self.table.column_names:
            return np.full(self.norm_UCV.shape, np.nan, np.float32)
        drawn: Float32 = self.table["snr_db"].to_numpy().astype(np.float32).reshape(self.norm_UCV.shape)
        return drawn

    def added(self, row: int) -> tuple[tuple[str, ...], str | None]:
        """Return the noises and the room of a row, where the store says."""
        known = self.table.column_names
        noises = self.table["noise_ids"][row].as_py() if "noise_ids" in known else ()
        return tuple(noises or ()), self.table["rir_id"][row].as_py() if "rir_id" in known else None

    def sounds(self, column: str) -> tuple[Indices, Indices, list[str]]:
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

    def key(self, row: int) -> RowKey:
        """Name a row of the block by its number."""
        views = self.store.views
        utterance, rest = divmod(row, self.store.rows_per_utterance)
        return RowKey(self.ids[utterance], views[rest % len(views)], rest // len(views))


def plan(header: Header) -> list[ShardSlice]:
    """Cut shards into blocks of a size that memory holds several of; those that can only be read whole are not cut."""
    declared = header.declaration
    most = max(1, _ELEMENTS // (declared.rows_per_utterance * declared.dim))
    if declared.vectors == "parquet":
        most = max((shard.utterances for shard in header.shards), default=1)
    return [
        ShardSlice(position, first, min(most, shard.utterances - first))
        for position, shard in enumerate(header.shards)
        for first in range(0, shard.utterances, most)
    ]


def _per_utterance(table: pa.Table, column: str, step: int) -> list[str | None]:
    """Return what a column says in the first row of each utterance."""
    if column not in table.column_names:
        return [None] * (table.num_rows // step)
    taken = table[column].take(pa.array(np.arange(0, table.num_rows, step)))
    found: list[str | None] = taken.cast(pa.string()).to_pylist()
    return found


@lru_cache(maxsize=2)
def _catalogue(path: Path) -> pa.Table:
    """Keep the catalogue of the last shards: several blocks of one follow each other."""
    known = pq.read_schema(path).names
    return pq.read_table(path, columns=[name for name in _COLUMNS if name in known])
