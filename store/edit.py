"""Change a finished store: append, drop, compact, convert. New shards are written beside the old, store.json last.

A reader sees the old state or the new one. The old one stays readable by its number (store.versions), but for a drop of
utterances or speakers: then nothing of earlier states is left, so that what was dropped is really gone.
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from reseed.store.atomic import digest
from reseed.store.errors import StoreError
from reseed.store.format import Declaration, Header, Reject
from reseed.store.inputs import Edit
from reseed.store.layouts import Vectors
from reseed.store.lock import editing
from reseed.store.reader import EmbeddingStore
from reseed.store.seals import read_seal, sound_seal
from reseed.store.states import complete_removal
from reseed.store.versions import Change
from reseed.store.writer import finalise, write_shard

Flags = NDArray[np.bool_]


def append_shards(
    store: Path, names: Sequence[str], declaration: Declaration, expected: int, rejects: Sequence[Reject] = ()
) -> Header:
    """Add shards that were written by `write_shard` to a finished store; no shard of it is touched.

    Args:
        names: the new shards, written under `declaration`, e.g. that of `edited`.
        expected: utterances that the store now stands for, old and new.
        rejects: the rejects of the store that stay rejected; those of the new shards are added.
    """
    with editing(store):
        kept = EmbeddingStore(store).shards
        seals = [seal for name in names if (seal := read_seal(store, name, declaration.vectors)) is not None]
        everything = [*(shard.name for shard in kept), *names]
        all_rejects = [*rejects, *(reject for seal in seals for reject in seal.rejects)]
        change = Change(declaration.inputs.edits[-1].what if declaration.inputs.edits else "append")
        return finalise(store, declaration, everything, expected, all_rejects, kept, change)


def drop(store: Path, *, utterances: Collection[str] = (), speakers: Collection[str] = ()) -> Header:
    """Remove every vector of some utterances or speakers; only shards that hold any are written anew.

    One that was interrupted while it removed files is completed; asked for once more, it changes nothing else.

    Raises:
        StoreError: an utterance or speaker that the store does not have, or another edit is under way; nothing is
            changed.
    """
    with editing(store):
        complete_removal(store)
        return _drop(store, utterances, speakers)


def _drop(store: Path, utterances: Collection[str], speakers: Collection[str]) -> Header:
    source = EmbeddingStore(store)
    rejects = source.rejects()
    wanted, before = {*utterances, *speakers}, source.header.declaration
    declaration = edited(before, "drop", digest([sorted(utterances), sorted(speakers)]))
    rejected = {reject.utterance_id for reject in rejects}
    unknown = wanted - rejected.union(source.utterance_ids(), filter(None, source.speaker_ids()))
    if unknown == wanted and before.inputs.edits[-1:] == declaration.inputs.edits[-1:]:
        return source.header  # this very drop has been done
    if unknown:
        raise StoreError(f"{store} has no utterance or speaker {min(unknown)!r}; nothing was dropped")
    kept_rejects = [reject for reject in rejects if reject.utterance_id not in set(utterances)]
    names, left = [], 0
    for position, shard in enumerate(source.shards):
        table = source.shard(position).rows()
        gone = _isin(table, "utterance_id", utterances) | _isin(table, "speaker_id", speakers)
        seal = read_seal(store, shard.name, before.vectors)
        names_gone = seal is not None and any(reject.utterance_id in utterances for reject in seal.rejects)
        if gone.any() or names_gone:
            vectors, table = source.shard(position).vectors()[~gone], table.filter(pa.array(~gone))
            names += _rewritten(store, shard.index, vectors, table, declaration, shard.digest)
        else:
            names.append(shard.name)
        left += int((~gone).sum()) // declaration.rows_per_utterance
    change = Change(f"drop {_counted(utterances, speakers)}", forgets=True)
    return finalise(store, declaration, names, left + len(kept_rejects), kept_rejects, source.shards, change)


def _counted(utterances: Collection[str], speakers: Collection[str]) -> str:
    """Return in words how much was dropped; what it was must be named nowhere."""
    counts = {"utterance": len(set(utterances)), "speaker": len(set(speakers))}
    return " and ".join(f"{count} {what}{'s' * (count > 1)}" for what, count in counts.items() if count)


def compact(store: Path, *, rows_per_shard: int) -> Header:
    """Join neighbouring shards until each holds about `rows_per_shard` rows; vectors and order stay what they are."""
    with editing(store):
        complete_removal(store)
        return _compact(store, rows_per_shard)


def _compact(store: Path, rows_per_shard: int) -> Header:
    source = EmbeddingStore(store)
    declaration = source.header.declaration
    names = []
    for group in _groups([shard.rows for shard in source.shards], rows_per_shard):
        shards = [source.shards[position] for position in group]
        if len(group) == 1:
            names.append(shards[0].name)
            continue
        vectors = np.concatenate([source.shard(position).vectors() for position in group])
        table = pa.concat_tables([source.shard(position).rows() for position in group], promote_options="default")
        names += _rewritten(store, shards[0].index, vectors, table, declaration, digest([s.digest for s in shards]))
    rejects = source.rejects()
    change = Change(f"compact to {len(names)} shard{'s' * (len(names) > 1)}")
    return finalise(store, declaration, names, source.header.expected, rejects, source.shards, change)


def convert(store: Path, what: str, change: Callable[[Declaration], Declaration]) -> Header:
    """Write every shard anew with some of its views, or in another dtype; rows that stay keep their order.

    Args:
        what: the change in words, for the log.
        change: makes of the declaration that of the store to come; its views are some of those that there are.

    Raises:
        StoreError: vectors that are not finite in that dtype, or another edit is under way; the old state stands.
    """
    with editing(store):
        complete_removal(store)
        source = EmbeddingStore(store)
        declaration = change(source.header.declaration)
        if declaration == source.header.declaration:
            return source.header
        names = [_converted(store, source, position, declaration) for position in range(len(source.shards))]
        return finalise(store, declaration, names, source.header.expected, source.rejects(), change=Change(what))


def _converted(store: Path, source: EmbeddingStore, position: int, declaration: Declaration) -> str:
    shard, reader = source.shards[position], source.shard(position)
    seal = sound_seal(store, shard.name, declaration.vectors)
    kept = [source.views.index(name) for name in declaration.views]
    row_MV = np.arange(shard.rows).reshape(-1, len(source.views))[:, kept]
    vectors, table = reader.vectors()[row_MV.ravel()], reader.rows().take(pa.array(row_MV.ravel()))
    known = {reject.utterance_id for reject in source.rejects()}
    rejects = [reject for reject in seal.rejects if reject.utterance_id in known]  # others were retried or dropped
    return write_shard(store, shard.index, vectors, table, declaration, rejects, source=shard.digest)


def edited(declaration: Declaration, what: str, digest: str) -> Declaration:
    """Declare a store that was edited: the edits are among its inputs, so that its fingerprint tells."""
    edits = (*declaration.inputs.edits, Edit(what=what, digest=digest))
    return replace(declaration, inputs=replace(declaration.inputs, edits=edits))


def _rewritten(
    store: Path, index: int, vectors: Vectors, table: pa.Table, declaration: Declaration, source: str
) -> list[str]:
    """Write a shard, or nothing where no row is left; returns the names written."""
    return [write_shard(store, index, vectors, table, declaration, source=source)] if len(vectors) else []


def _isin(table: pa.Table, column: str, wanted: Collection[str]) -> Flags:
    if not wanted or column not in table.column_names:
        return np.zeros(table.num_rows, bool)
    mask = pc.is_in(table[column], pa.array(sorted(wanted), pa.string()))
    flags: Flags = mask.combine_chunks().to_numpy(zero_copy_only=False)
    return flags


def _groups(rows: Sequence[int], most: int) -> list[list[int]]:
    """Cut shard positions into runs of neighbours that hold at most `most` rows together, one at least."""
    groups: list[list[int]] = []
    filled = most + 1
    for position, count in enumerate(rows):
        if filled + count > most:
            groups.append([])
            filled = 0
        groups[-1].append(position)
        filled += count
    return groups
