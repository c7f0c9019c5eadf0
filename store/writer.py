"""Write shards atomically and seal them into a store.

A shard is two files. The vectors are renamed into place first and the catalogue last, so that a catalogue
without its vectors cannot exist; the catalogue's schema metadata carries the digest of the vectors, the store's
fingerprint and the shard's rejects. A writer that dies leaves the old shard, no shard, or the new one.
"""

import json
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from store import atomic
from store.errors import StoreError
from store.format import (
    CATALOGUE_SCHEMA,
    DATASET,
    HEADER_NAME,
    REJECTS_NAME,
    REJECTS_SCHEMA,
    REQUIRED_COLUMNS,
    SEAL_KEY,
    Declaration,
    Header,
    Reject,
    Shard,
    catalogue_path,
    read_header,
    vectors_path,
)


def begin_store(store: Path) -> None:
    """Make ready for writing shards: what is there stops being a store until it is finalised again."""
    (store / "shards").mkdir(parents=True, exist_ok=True)
    (store / HEADER_NAME).unlink(missing_ok=True)


def write_shard(
    store: Path,
    index: int,
    vectors: NDArray[np.floating[Any]],
    catalogue: pa.Table,
    declaration: Declaration,
    rejects: list[Reject] | None = None,
    source: str = "",
) -> None:
    """Write shard `index` of `store`.

    Args:
        vectors: [rows, D], row order utterance, crop, view.
        catalogue: one row per vector, in the same order; columns as in CATALOGUE_SCHEMA, further ones are kept.
        rejects: utterances of this shard that have no vectors.
        source: digest of what this very shard is made from, so that a shard cut otherwise is not taken for it.

    Raises:
        StoreError: shapes that do not fit, a required column missing, or vectors that are not finite.
    """
    _check(index, vectors, catalogue, declaration)
    data_path, table_path = vectors_path(store, index), catalogue_path(store, index)
    for path in (data_path, table_path):
        atomic.remove_temporaries(path.parent, path.name)
    table_path.unlink(missing_ok=True)  # from here on the old shard is gone: its vectors are about to be replaced
    with atomic.atomic_path(data_path) as temporary:
        _write_vectors(temporary, np.ascontiguousarray(vectors, dtype=declaration.dtype))
    seal = {
        "fingerprint": declaration.fingerprint,
        "source": source,
        "vectors_sha256": atomic.sha256_file(data_path),
        "vectors_bytes": data_path.stat().st_size,
        "utterances": _utterances(vectors.shape[0], declaration),
        "rejects": [vars(reject) for reject in rejects or []],
    }
    table = _ordered(catalogue).replace_schema_metadata({SEAL_KEY: json.dumps(seal, sort_keys=True).encode()})
    with atomic.atomic_path(table_path) as temporary:
        pq.write_table(table, temporary, compression="zstd", write_page_checksum=True)


def read_seal(store: Path, index: int, fingerprint: str, source: str | None = None) -> dict[str, Any] | None:
    """Return the seal of shard `index`; None where it is missing or cut, or of another fingerprint or source."""
    try:
        metadata = pq.read_schema(catalogue_path(store, index)).metadata or {}
        seal: dict[str, Any] = json.loads(metadata[SEAL_KEY])
        whole = vectors_path(store, index).stat().st_size == seal["vectors_bytes"]
    except (OSError, KeyError, ValueError, pa.ArrowException):
        return None
    ours = seal["fingerprint"] == fingerprint and source in (None, seal["source"])
    return seal if whole and ours else None


def is_finalised(store: Path, declaration: Declaration, n_shards: int) -> bool:
    """Say whether `store` is a finished store of this declaration and so many shards."""
    try:
        header = read_header(store)
    except StoreError:
        return False
    return header.fingerprint == declaration.fingerprint and len(header.shards) == n_shards


def finalise(
    store: Path, declaration: Declaration, n_shards: int, expected: int, rejects: list[Reject] | None = None
) -> Header:
    """Write rejects.parquet and store.json over `n_shards` sealed shards.

    Args:
        expected: utterances the store was asked for; stored + rejected must equal it.
        rejects: utterances rejected before extraction, to be listed beside the shards' own.

    Raises:
        StoreError: a shard is missing or of another fingerprint, or the counts do not add up.
    """
    seals = [read_seal(store, index, declaration.fingerprint) for index in range(n_shards)]
    missing = [index for index, seal in enumerate(seals) if seal is None]
    if missing:
        raise StoreError(f"{store}: shards {missing[:10]} of {n_shards} are missing or of another recipe; extract them")
    shards = [_shard(store, index, seal) for index, seal in enumerate(seals) if seal is not None]
    everything = list(rejects or [])
    everything += [Reject(**reject) for seal in seals if seal is not None for reject in seal["rejects"]]
    stored = sum(shard.utterances for shard in shards)
    if stored + len(everything) != expected:
        raise StoreError(
            f"{store}: {stored} stored + {len(everything)} rejected utterances are not the {expected} asked for"
        )
    atomic.remove_temporaries(store / "shards")
    _remove_strays(store, n_shards)
    write_rejects(store / REJECTS_NAME, everything)
    header = Header(declaration, declaration.fingerprint, expected, stored, len(everything), shards)
    atomic.write_json(store / HEADER_NAME, header.to_json())
    return header


def write_rejects(path: Path, rejects: list[Reject]) -> None:
    """Write rejects.parquet (utterance_id, stage, reason), atomically."""
    with atomic.atomic_path(path) as temporary:
        pq.write_table(pa.Table.from_pylist([vars(reject) for reject in rejects], REJECTS_SCHEMA), temporary)


def read_rejects(path: Path) -> list[Reject]:
    """Read rejects.parquet."""
    return [Reject(**row) for row in pq.read_table(path).to_pylist()]


def _check(index: int, vectors: NDArray[np.floating[Any]], catalogue: pa.Table, declaration: Declaration) -> None:
    where = f"shard {index}"
    if vectors.ndim != 2 or vectors.shape[1] != declaration.dim:
        raise StoreError(f"{where}: vectors have shape {vectors.shape}, the store holds [rows, {declaration.dim}]")
    if catalogue.num_rows != vectors.shape[0]:
        raise StoreError(f"{where}: {vectors.shape[0]} vectors but {catalogue.num_rows} catalogue rows")
    missing = [name for name in REQUIRED_COLUMNS if name not in catalogue.column_names]
    if missing:
        raise StoreError(f"{where}: the catalogue lacks {', '.join(missing)}")
    per_utterance = declaration.crops * len(declaration.views)
    if vectors.shape[0] % per_utterance:
        raise StoreError(f"{where}: {vectors.shape[0]} rows are no multiple of crops x views = {per_utterance}")
    bad = ~np.isfinite(vectors).all(axis=1)
    if bad.any():
        row = int(np.flatnonzero(bad)[0])
        raise StoreError(
            f"{where}: {bad.sum()} vectors are not finite, first utterance {catalogue['utterance_id'][row]}"
        )


def _write_vectors(path: Path, vectors: NDArray[np.floating[Any]]) -> None:
    with h5py.File(path, "w", libver=("earliest", "v110")) as file:
        file.create_dataset(DATASET, data=vectors, track_times=False)


def _ordered(catalogue: pa.Table) -> pa.Table:
    known = [name for name in CATALOGUE_SCHEMA.names if name in catalogue.column_names]
    extra = [name for name in catalogue.column_names if name not in CATALOGUE_SCHEMA.names]
    fields = [CATALOGUE_SCHEMA.field(name) for name in known] + [catalogue.schema.field(name) for name in extra]
    return catalogue.select(known + extra).cast(pa.schema(fields)).combine_chunks()


def _utterances(rows: int, declaration: Declaration) -> int:
    return rows // (declaration.crops * len(declaration.views))


def _shard(store: Path, index: int, seal: dict[str, Any]) -> Shard:
    table_path = catalogue_path(store, index)
    return Shard(
        index=index,
        rows=pq.read_metadata(table_path).num_rows,
        utterances=seal["utterances"],
        vectors_bytes=seal["vectors_bytes"],
        vectors_sha256=seal["vectors_sha256"],
        catalogue_bytes=table_path.stat().st_size,
        catalogue_sha256=atomic.sha256_file(table_path),
    )


def _remove_strays(store: Path, n_shards: int) -> None:
    kept = {path(store, index) for index in range(n_shards) for path in (vectors_path, catalogue_path)}
    for path in (store / "shards").iterdir():
        if path not in kept:
            path.unlink()
