"""The seal of a shard: what it says of itself, in the schema metadata of its catalogue, which is written last."""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from reseed.store.bounded import parse_json
from reseed.store.errors import StoreError
from reseed.store.format import CATALOGUE_SCHEMA, SEAL_KEY, Reject
from reseed.store.layouts import Vectors, catalogue_file, vectors_file, write_catalogue
from reseed.store.sealed import check_table


@dataclass(frozen=True)
class Seal:
    """What a sealed shard says of itself."""

    fingerprint: str
    rows: int
    utterances: int
    vectors_bytes: int
    vectors_sha256: str
    rejects: list[Reject] = field(default_factory=list)


def write_sealed(store: Path, name: str, catalogue: pa.Table, seal: Seal, vectors: Vectors | None = None) -> None:
    """Write the catalogue of a shard with its seal, and with `vectors` [rows, D] a column of them; it is whole then."""
    metadata = {SEAL_KEY: json.dumps(asdict(seal), sort_keys=True).encode()}
    write_catalogue(catalogue_file(store, name), _ordered(catalogue).replace_schema_metadata(metadata), vectors)


def read_seal(store: Path, name: str, layout: str = "hdf5") -> Seal | None:
    """Return the seal of a shard, or None where a file of it is missing, cut or damaged."""
    seal = seal_in(catalogue_file(store, name))
    if seal is None or layout != "hdf5":
        return seal
    vectors = vectors_file(store, name, layout)
    return seal if vectors.exists() and vectors.stat().st_size == seal.vectors_bytes else None


def seal_in(catalogue: Path) -> Seal | None:
    """Return the seal in a catalogue, or None where it is missing, cut or damaged."""
    try:
        check_table(catalogue)
        raw = parse_json(pq.read_schema(catalogue).metadata[SEAL_KEY])
        return Seal(**{**raw, "rejects": [Reject(**reject) for reject in raw.get("rejects", [])]})
    except (OSError, KeyError, TypeError, ValueError, pa.ArrowException):
        return None


def sound_seal(store: Path, name: str, layout: str) -> Seal:
    """Return the seal of a shard that a finished store names.

    Raises:
        StoreError: a file of it is missing, cut or damaged.
    """
    seal = read_seal(store, name, layout)
    if seal is None:
        raise StoreError(f"{store}: shard {name} is damaged; extract the store again")
    return seal


def _ordered(catalogue: pa.Table) -> pa.Table:
    known = [name for name in CATALOGUE_SCHEMA.names if name in catalogue.column_names]
    extra = [name for name in catalogue.column_names if name not in CATALOGUE_SCHEMA.names]
    fields = [CATALOGUE_SCHEMA.field(name) for name in known] + [catalogue.schema.field(name) for name in extra]
    return catalogue.select(known + extra).cast(pa.schema(fields)).combine_chunks()
