"""Add derived columns to the catalogue of a finished store: labels, measures. No vector is written anew.

A shard gets a new catalogue beside a second name of its file of vectors, under its own seal; store.json is replaced
last. In the layout `parquet` the catalogue holds the vectors, which are written again with it, bit for bit.
"""

import errno
import shutil
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from reseed.store import atomic
from reseed.store.errors import StoreError
from reseed.store.format import CATALOGUE_SCHEMA, EMBEDDING, SPEECH_SCHEMA, Header, shard_name
from reseed.store.layouts import vectors_file
from reseed.store.lock import editing, only_writer
from reseed.store.reader import EmbeddingStore
from reseed.store.seals import sound_seal, write_sealed
from reseed.store.states import complete_removal
from reseed.store.versions import Change
from reseed.store.writer import finalise

KEYS = ("utterance_id", "view", "crop")


def annotate(store: Path, values: pa.Table, columns: Sequence[str], source: str) -> tuple[Header, int]:
    """Put columns of a table into the catalogue, for each row the value of its utterance (view, crop); else null.

    A column of that name that was added before is replaced. Fingerprint and vectors stay what they are.

    Args:
        values: `utterance_id`, and `view` and `crop` where values differ between these; no key comes twice.
        columns: which ones to add.
        source: digest of them.

    Returns:
        The header, and of how many rows the table says something.

    Raises:
        StoreError: a key twice, one that the store does not have, a column of the store's own, a damaged shard, or
            another edit is under way; nothing is changed.
    """
    with editing(store):
        complete_removal(store)
        before = EmbeddingStore(store)
        _check_names(before, columns)
        keys = [name for name in KEYS if name in values.column_names]
        wanted, found = _keys(values, keys), _keys(before.rows(keys), keys)
        if len(pc.unique(wanted)) < len(wanted):
            raise StoreError(f"the table lists the same {', '.join(keys)} twice; leave one row of each")
        known = pc.or_(pc.is_in(wanted, value_set=found), _rejected(before, values))
        if not pc.all(known, min_count=0).as_py():
            lost = values.slice(pc.index(known, False).as_py(), 1).select(keys).to_pylist()[0]
            listed = ", ".join(f"{name} {value!r}" for name, value in lost.items())
            raise StoreError(f"{store} has no {listed}, which the table lists; nothing was added")
        names = [
            _annotated(store, before, place, values, wanted, columns, source) for place in range(len(before.shards))
        ]
        declaration, rejects = before.header.declaration, before.rejects()
        change = Change(f"annotate {', '.join(columns)}")
        header = finalise(store, declaration, names, before.header.expected, rejects, before.shards, change)
        return header, int(pc.sum(pc.is_in(found, value_set=wanted), min_count=0).as_py())


def _check_names(before: EmbeddingStore, columns: Sequence[str]) -> None:
    is_of_speech = any("stretches_s" in before.shard(place).columns for place in range(len(before.shards)))
    own = {*(SPEECH_SCHEMA if is_of_speech else CATALOGUE_SCHEMA).names, EMBEDDING}
    if taken := [name for name in columns if name in own]:
        raise StoreError(f"{taken[0]} is a column of the store itself; give the added one another name")


def _rejected(before: EmbeddingStore, values: pa.Table) -> pa.Array:
    """Say of each row of a table whether it is of an utterance that the store has rejected."""
    rejected = pa.array([reject.utterance_id for reject in before.rejects()], pa.string())
    return pc.is_in(_keys(values, ["utterance_id"]), value_set=rejected)


def _annotated(
    store: Path,
    before: EmbeddingStore,
    position: int,
    values: pa.Table,
    wanted: pa.Array,
    columns: Sequence[str],
    source: str,
) -> str:
    """Write the catalogue of one shard with more columns, and give its vectors a name beside it; returns that."""
    shard, reader = before.shards[position], before.shard(position)
    seal = sound_seal(store, shard.name, before.header.declaration.vectors)
    there = table = reader.rows()
    keys = [name for name in KEYS if name in values.column_names]
    place = pc.index_in(_keys(table, keys), value_set=wanted)
    for name in columns:
        column = values[name].take(place)
        at = table.schema.get_field_index(name)
        table = table.append_column(name, column) if at < 0 else table.set_column(at, name, column)
    if table.equals(there):
        return shard.name
    name = shard_name(shard.index, seal.fingerprint, atomic.digest([shard.digest, source]))
    with only_writer(store, name):
        if before.header.declaration.vectors == "hdf5":
            _name_too(vectors_file(store, shard.name, "hdf5"), vectors_file(store, name, "hdf5"))
            write_sealed(store, name, table, seal)
        else:
            write_sealed(store, name, table, seal, reader.vectors())
    return name


def _name_too(source: Path, path: Path) -> None:
    """Make `path` the same file, or a copy on a disk that knows no hard links."""
    try:
        atomic.link(source, path)
    except OSError as error:
        if error.errno not in (errno.EPERM, errno.EOPNOTSUPP, errno.EMLINK):
            raise
        with atomic.atomic_path(path) as temporary:
            shutil.copyfile(source, temporary)


def _keys(table: pa.Table, names: Sequence[str]) -> pa.Array:
    """Return a text for each row that tells its keys."""
    texts = [table[name].combine_chunks().cast(pa.string()) for name in names]
    return texts[0] if len(texts) == 1 else pc.binary_join_element_wise(*texts, "\0")
