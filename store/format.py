"""Store format 1: names, schemas and the header `store.json`. Nothing here touches vectors.

STORE/store.json            written last, atomically; a directory without it is not a store
STORE/shards/00000.h5       /embedding [rows, D]: one dense contiguous dataset
STORE/shards/00000.parquet  one row per vector, in the same order; its schema metadata seals the shard
STORE/rejects.parquet       utterance_id, stage, reason
"""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa

from store.errors import StoreError

FORMAT_NAME = "reseed-store"
FORMAT_VERSION = 1
HEADER_NAME = "store.json"
REJECTS_NAME = "rejects.parquet"
DATASET = "embedding"
SEAL_KEY = b"reseed"
DTYPES = ("float32", "float16")

REQUIRED_COLUMNS = ("utterance_id", "view", "crop")
CATALOGUE_SCHEMA = pa.schema(
    [
        pa.field("utterance_id", pa.string(), nullable=False),
        pa.field("speaker_id", pa.string()),
        pa.field("view", pa.string(), nullable=False),
        pa.field("crop", pa.int32(), nullable=False),
        pa.field("start_s", pa.float64()),
        pa.field("duration_s", pa.float64()),
        pa.field("noise_ids", pa.list_(pa.string())),
        pa.field("snr_db", pa.float32()),
        pa.field("rir_id", pa.string()),
        pa.field("seed", pa.uint64()),
    ]
)
REJECTS_SCHEMA = pa.schema(
    [
        pa.field("utterance_id", pa.string(), nullable=False),
        pa.field("stage", pa.string(), nullable=False),
        pa.field("reason", pa.string(), nullable=False),
    ]
)


@dataclass(frozen=True)
class Reject:
    """One utterance that was left out, the stage that left it out, and why."""

    utterance_id: str
    stage: str
    reason: str


@dataclass(frozen=True)
class Shard:
    """One sealed shard: its two files with their bytes and SHA-256, and what it holds."""

    index: int
    rows: int
    utterances: int
    vectors_bytes: int
    vectors_sha256: str
    catalogue_bytes: int
    catalogue_sha256: str

    @property
    def name(self) -> str:
        return shard_name(self.index)


@dataclass(frozen=True)
class Declaration:
    """What a store is made of and from, declared before the first vector is computed.

    Attributes:
        dim: embedding dimension D.
        dtype: "float32" or "float16".
        views: view name -> its recipe (JSON-like), in row order.
        crops: crops per utterance.
        space: the embedding space, e.g. "ge2e:1a2b3c4d" or "ge2e:1a2b3c4d+seed:5e6f7a8b"; vectors of two
            spaces are never mixed.
        inputs: declared inputs (weights, front end, recipe, seed, manifest digests); the fingerprint digests them.
        lineage: what the store was derived from: {"role", "path", "digest"} per parent.
    """

    dim: int
    dtype: str
    views: dict[str, Any]
    crops: int
    space: str
    inputs: dict[str, Any]
    lineage: list[dict[str, str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        if self.dtype not in DTYPES:
            raise StoreError(f"dtype {self.dtype!r} cannot be stored; choose one of {', '.join(DTYPES)}")
        if self.dim < 1 or self.crops < 1 or not self.views:
            raise StoreError(f"a store needs dim, crops >= 1 and a view; got {self.dim}, {self.crops}, {self.views}")

    @property
    def fingerprint(self) -> str:
        """SHA-256 over everything declared, lineage paths excepted: it survives moving the corpus."""
        from store.atomic import digest

        declared = asdict(self)
        declared["lineage"] = [{"role": parent["role"], "digest": parent["digest"]} for parent in self.lineage]
        declared["views"] = list(self.views.items())
        return digest({"format": FORMAT_VERSION, **declared})


@dataclass(frozen=True)
class Header:
    """The parsed store.json."""

    declaration: Declaration
    fingerprint: str
    expected: int
    stored: int
    rejected: int
    shards: list[Shard]

    def summary(self) -> str:
        """Return the header in words, for a terminal."""
        declared = self.declaration
        rows, size = sum(shard.rows for shard in self.shards), sum(shard.vectors_bytes for shard in self.shards)
        lines = {
            "vectors": f"{rows} x {declared.dim} {declared.dtype} in {len(self.shards)} shards, {size / 1e6:.1f} MB",
            "utterances": f"{self.stored} stored, {self.rejected} rejected, {self.expected} expected",
            "crops": str(declared.crops),
            "views": ", ".join(declared.views),
            "space": declared.space,
            "fingerprint": self.fingerprint,
            **{f"from {parent['role']}": f"{parent['path']} ({parent['digest'][:8]})" for parent in declared.lineage},
        }
        return "\n".join(f"{name:16} {value}" for name, value in lines.items())

    def to_json(self) -> dict[str, Any]:
        declared = asdict(self.declaration)
        declared["views"] = [{"name": name, "recipe": recipe} for name, recipe in self.declaration.views.items()]
        return {
            "format": FORMAT_NAME,
            "version": FORMAT_VERSION,
            "fingerprint": self.fingerprint,
            "utterances": {"expected": self.expected, "stored": self.stored, "rejected": self.rejected},
            "shards": [asdict(shard) for shard in self.shards],
            **declared,
        }


def read_header(store: Path) -> Header:
    """Parse STORE/store.json.

    Raises:
        StoreError: no store there, not JSON, another format or version, or a key missing.
    """
    path = store / HEADER_NAME
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise StoreError(f"{store} is not a finished store: it has no {HEADER_NAME}; run `reseed extract`") from None
    except (OSError, ValueError) as error:
        raise StoreError(f"{path} cannot be read ({error}); extract the store again") from error
    if not isinstance(raw, dict) or raw.get("format") != FORMAT_NAME:
        raise StoreError(f"{path} is not a reseed store header")
    if raw.get("version") != FORMAT_VERSION:
        raise StoreError(f"{path} has format version {raw.get('version')!r}; this reseed reads {FORMAT_VERSION}")
    try:
        return _parse_header(raw)
    except (KeyError, TypeError) as error:
        raise StoreError(f"{path} is incomplete or damaged ({error!r}); extract the store again") from error


def _parse_header(raw: dict[str, Any]) -> Header:
    declaration = Declaration(
        dim=raw["dim"],
        dtype=raw["dtype"],
        views={view["name"]: view["recipe"] for view in raw["views"]},
        crops=raw["crops"],
        space=raw["space"],
        inputs=raw["inputs"],
        lineage=raw["lineage"],
    )
    if declaration.fingerprint != raw["fingerprint"]:
        raise StoreError("the fingerprint in store.json does not match what it declares; the file was altered")
    counts = raw["utterances"]
    shards = [Shard(**shard) for shard in raw["shards"]]
    return Header(declaration, raw["fingerprint"], counts["expected"], counts["stored"], counts["rejected"], shards)


def shard_name(index: int) -> str:
    """Return the stem of shard `index`'s files, e.g. "00007"."""
    return f"{index:05d}"


def vectors_path(store: Path, index: int) -> Path:
    return store / "shards" / f"{shard_name(index)}.h5"


def catalogue_path(store: Path, index: int) -> Path:
    return store / "shards" / f"{shard_name(index)}.parquet"
