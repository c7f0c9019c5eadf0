"""Copies of stores with faults in them."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from reseed.store import EmbeddingStore, finalise, read_rejects, write_shard
from reseed.store.atomic import sha256_file
from reseed.store.format import REJECTS_NAME
from reseed.store.header import read_header, write_header

Change = Callable[[int, np.ndarray, pa.Table], tuple[np.ndarray, pa.Table]]


def altered(store: Path, target: Path, change: Change) -> Path:
    """Write a copy of a store with every shard changed: position, vectors [R, D], catalogue -> both."""
    source = EmbeddingStore(store)
    declared, names = source.header.declaration, []
    for position in range(len(source.shards)):
        vectors, rows = change(position, np.array(source.shard(position).vectors()), source.shard(position).rows())
        names.append(write_shard(target, position, vectors, rows, declared))
    rejects = read_rejects(store / REJECTS_NAME)
    rows = sum(pq.read_metadata(target / "shards" / f"{name}.parquet").num_rows for name in names)
    finalise(target, declared, names, rows // declared.rows_per_utterance + len(rejects), rejects)
    return target


def only(position: int, change: Callable[[np.ndarray, pa.Table], tuple[np.ndarray, pa.Table]]) -> Change:
    """Change one shard."""
    return lambda found, vectors, rows: change(vectors, rows) if found == position else (vectors, rows)


def relabelled(rows: pa.Table, names: dict[str, str], utterances: set[str] | None = None) -> pa.Table:
    """Give speakers other names, of all utterances or of some."""
    ids, speakers = rows["utterance_id"].to_pylist(), rows["speaker_id"].to_pylist()
    new = [
        names.get(speaker, speaker) if utterances is None or name in utterances else speaker
        for name, speaker in zip(ids, speakers, strict=True)
    ]
    return rows.set_column(rows.column_names.index("speaker_id"), "speaker_id", pa.array(new, pa.string()))


def renamed(rows: pa.Table, name: Callable[[str], str]) -> pa.Table:
    """Give utterances other ids."""
    ids = pa.array([name(found) for found in rows["utterance_id"].to_pylist()], pa.string())
    field = pa.field("utterance_id", pa.string(), nullable=False)
    return rows.set_column(rows.column_names.index("utterance_id"), field, ids)


def forge(store: Path, position: int, change: Callable[[np.ndarray], None]) -> None:
    """Change the vectors of a finished store in place, and the digest that the header has of them."""
    header = read_header(store)
    shard = header.shards[position]
    path = store / shard.files[0].name
    with h5py.File(path, "r+") as file:
        vectors = file["embedding"][:]
        change(vectors)
        file["embedding"][:] = vectors
    found = replace(shard.files[0], sha256=sha256_file(path), bytes=path.stat().st_size)
    shards = [replace(shard, files=(found, *shard.files[1:])) if s is shard else s for s in header.shards]
    write_header(store, replace(header, shards=shards))
