"""Write shards atomically and seal them into a store.

Vectors are renamed into place first and the catalogue last, so that a catalogue without its vectors cannot exist. The
catalogue's schema metadata carries the seal: the store's fingerprint, the digest of the vectors, the shard's rejects.
A writer that dies leaves the old state or the new one, never a mixture: store.json alone says what the store is.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa

from reseed.store import atomic
from reseed.store.errors import StoreError
from reseed.store.format import (
    REJECTS_NAME,
    REJECTS_SCHEMA,
    REQUIRED_COLUMNS,
    Declaration,
    Header,
    Reject,
    Shard,
    StoredFile,
    file_suffixes,
    shard_name,
    shard_path,
)
from reseed.store.header import read_header
from reseed.store.layouts import Vectors, vectors_file, write_hdf5
from reseed.store.lock import editing, only_writer
from reseed.store.sealed import write_table
from reseed.store.seals import Seal, read_seal, write_sealed
from reseed.store.states import NEXT_REJECTS_NAME, complete_removal, replace_header
from reseed.store.tables import TableFile
from reseed.store.versions import Change

_REJECTS = TableFile("a list of rejects", "reseed extract", StoreError)


def write_shard(
    store: Path,
    index: int,
    vectors: Vectors,
    catalogue: pa.Table,
    declaration: Declaration,
    rejects: list[Reject] | None = None,
    source: str = "",
) -> str:
    """Write and seal one shard; returns its name. The store stays what it was until it is finalised.

    Args:
        index: place of the shard in the store.
        vectors: [rows, D], row order utterance, crop, view.
        catalogue: one row per vector, in the same order; columns as in CATALOGUE_SCHEMA, further ones are kept.
        rejects: utterances of this shard that have no vectors.
        source: digest of what this very shard is made from, so that a shard cut otherwise is not taken for it.

    Raises:
        StoreError: shapes that do not fit, a required column missing, vectors that are not finite, another writer
            on the same shard.
        WriteError: the disk is full or read-only.
    """
    _check(index, vectors, catalogue, declaration)
    name = shard_name(index, declaration.fingerprint, source)
    dense = np.ascontiguousarray(vectors, dtype=declaration.dtype)
    with only_writer(store, name):
        vectors_bytes, vectors_sha256 = 0, ""
        if declaration.vectors == "hdf5":
            with atomic.atomic_path(vectors_file(store, name, "hdf5")) as temporary:
                write_hdf5(temporary, dense)
                vectors_bytes, vectors_sha256 = temporary.stat().st_size, atomic.sha256_file(temporary)
        utterances = len(dense) // declaration.rows_per_utterance
        seal = Seal(declaration.fingerprint, len(dense), utterances, vectors_bytes, vectors_sha256, rejects or [])
        write_sealed(store, name, catalogue, seal, dense if declaration.vectors == "parquet" else None)
    return name


def is_finalised(store: Path, declaration: Declaration, names: Sequence[str]) -> bool:
    """Say whether `store` is a finished store of this declaration and these shards; what was left to do for it is."""
    try:
        complete_removal(store)
        header = read_header(store)
    except StoreError:
        return False
    return header.fingerprint == declaration.fingerprint and [shard.name for shard in header.shards] == list(names)


def finalise(
    store: Path,
    declaration: Declaration,
    names: Sequence[str],
    expected: int,
    rejects: list[Reject] | None = None,
    kept: Sequence[Shard] = (),
    change: Change | None = None,
) -> Header:
    """Make `store` the store of the shards `names`: write rejects.parquet and store.json, which lists no others.

    Args:
        names: as returned by `write_shard`, in the order of the rows.
        expected: utterances the store was asked for; stored + rejected must equal it.
        rejects: all rejected utterances; default: those that the shards' seals list.
        kept: shards of the present store that stay: store.json goes on saying of them what it says now. To hash them
            again would take long, and would put damage since then on record as sound.
        change: what is done to the present store, which stays readable; None: another store takes its place.

    Raises:
        StoreError: a shard is missing or cut, or the counts do not add up.
        WriteError: the disk is full or read-only.
    """
    seals = _complete(store, declaration, names)
    if rejects is None:
        rejects = [reject for seal in seals.values() for reject in seal.rejects]
    stored = sum(seal.utterances for seal in seals.values())
    if stored + len(rejects) != expected:
        counts = f"{stored} stored + {len(rejects)} rejected"
        raise StoreError(f"{store}: {counts} utterances are not the {expected} asked for; extract the store again")
    with editing(store):
        known = {shard.name: shard for shard in kept}
        shards = [known.get(name) or _shard(store, name, seal, declaration.vectors) for name, seal in seals.items()]
        write_rejects(store / NEXT_REJECTS_NAME, rejects)
        listed = replace(_stored_file(store, NEXT_REJECTS_NAME), name=REJECTS_NAME)
        header = Header(declaration, declaration.fingerprint, expected, stored, len(rejects), shards, listed)
        replace_header(store, header, change=change)
    return header


def _complete(store: Path, declaration: Declaration, names: Sequence[str]) -> dict[str, Seal]:
    """Return the seals of shards by their names; raises StoreError where one is missing, cut or damaged."""
    seals = {name: seal for name in names if (seal := read_seal(store, name, declaration.vectors)) is not None}
    missing = [name for name in names if name not in seals]
    if missing:
        raise StoreError(
            f"{store}: {len(missing)} of {len(names)} shards are missing or damaged, first {missing[0]}; extract them"
        )
    return seals


def write_rejects(path: Path, rejects: list[Reject]) -> None:
    """Write rejects.parquet (utterance_id, stage, reason), atomically."""
    write_table(path, pa.Table.from_pylist([vars(reject) for reject in rejects], REJECTS_SCHEMA))


def read_rejects(path: Path) -> list[Reject]:
    """Read rejects.parquet.

    Raises:
        StoreError: missing, damaged, or no such file.
    """
    return [Reject(**row) for row in _REJECTS.read(path, REJECTS_SCHEMA).to_pylist()]


def _check(index: int, vectors: Vectors, catalogue: pa.Table, declaration: Declaration) -> None:
    where = f"shard {index}"
    if vectors.ndim != 2 or vectors.shape[1] != declaration.dim:
        raise StoreError(f"{where}: vectors have shape {vectors.shape}, the store holds [rows, {declaration.dim}]")
    if catalogue.num_rows != vectors.shape[0]:
        raise StoreError(f"{where}: {vectors.shape[0]} vectors but {catalogue.num_rows} catalogue rows")
    missing = [name for name in REQUIRED_COLUMNS if name not in catalogue.column_names]
    if missing:
        raise StoreError(f"{where}: the catalogue lacks {', '.join(missing)}")
    if vectors.shape[0] % declaration.rows_per_utterance:
        multiple = declaration.rows_per_utterance
        raise StoreError(f"{where}: {vectors.shape[0]} rows are no multiple of crops x views = {multiple}")
    with np.errstate(over="ignore"):
        bad = ~np.isfinite(vectors.astype(declaration.dtype, copy=False)).all(axis=1)
    if bad.any():
        first = catalogue["utterance_id"][int(np.flatnonzero(bad)[0])]
        kind = f" as {declaration.dtype}" if np.isfinite(vectors).all() else ""
        raise StoreError(f"{where}: {bad.sum()} vectors are not finite{kind}, first utterance {first}")


def _shard(store: Path, name: str, seal: Seal, layout: str) -> Shard:
    files = []
    for suffix in file_suffixes(layout):
        path = shard_path(store, name, suffix)
        known = seal.vectors_sha256 if suffix == "h5" else None
        files.append(_stored_file(store, f"shards/{path.name}", known))
    return Shard(name, seal.rows, seal.utterances, tuple(files))


def _stored_file(store: Path, name: str, sha256: str | None = None) -> StoredFile:
    path = store / name
    return StoredFile(name, path.stat().st_size, sha256 or atomic.sha256_file(path))
