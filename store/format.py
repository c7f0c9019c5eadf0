"""Store format 1: what a store declares, what a shard is, how both are named; docs/store-format.md says it all.

STORE/store.json                     written last, atomically; a directory without it is not a store
STORE/shards/00000-1a2b3c4d.h5       /embedding [rows, D]: one dense contiguous data set
STORE/shards/00000-1a2b3c4d.parquet  one row per vector, in the same order; its schema metadata seals the shard
STORE/rejects.parquet                utterance_id, stage, reason
"""

import re
from dataclasses import dataclass, field
from typing import Any, TypeVar, cast

import pyarrow as pa

from reseed.store.atomic import digest
from reseed.store.errors import StoreError
from reseed.store.inputs import DeclaredInputs, Json, Parent
from reseed.store.url import AnyPath

Place = TypeVar("Place", bound=AnyPath)  # of a store

FORMAT_NAME = "reseed-store"
FORMAT_VERSION = 1
HEADER_NAME = "store.json"
REJECTS_NAME = "rejects.parquet"
VERSIONS = "versions"  # the folder of earlier states
EMBEDDING = "embedding"
SEAL_KEY = b"reseed"
OF_SHARDS = re.compile(r"\.?\d{5,}-[0-9a-f]{8}\.(h5|parquet|lock)(\.tmp-[\w.-]+)?")  # files that are written here
SHARD_NAME = re.compile(r"\d{1,9}-[\w-]{1,64}")  # never a path
DTYPES = ("float32", "float16")
LAYOUTS = ("hdf5", "parquet")

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
        pa.field("effects", pa.list_(pa.string())),
        pa.field("seed", pa.uint64()),
    ]
)
# What an extraction of speech alone adds: how much of it the utterance holds, and of which stretches the crop is made.
SPEECH_SCHEMA = pa.schema([*CATALOGUE_SCHEMA, ("speech_s", pa.float64()), ("stretches_s", pa.list_(pa.float64()))])
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
        lineage: what the store was derived from.
        vectors: where vectors lie: "hdf5" (a file of their own) or "parquet" (a column of the catalogue).
        further: keys of store.json that this version does not know.
    """

    dim: int
    dtype: str
    views: dict[str, Any]
    crops: int
    space: str
    inputs: DeclaredInputs
    lineage: tuple[Parent, ...] = ()
    vectors: str = "hdf5"
    further: Json = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.dtype not in DTYPES:
            raise StoreError(f"dtype {self.dtype!r} cannot be stored; choose one of {', '.join(DTYPES)}")
        if self.vectors not in LAYOUTS:
            raise StoreError(f"vectors cannot be stored as {self.vectors!r}; choose one of {', '.join(LAYOUTS)}")
        if self.dim < 1 or self.crops < 1 or not self.views:
            raise StoreError(f"a store needs dim, crops >= 1 and a view; got {self.dim}, {self.crops}, {self.views}")

    def parent(self, role: str) -> Parent | None:
        """Return the parent of a role, such as "utterances", "backbone" or "parent"; None where there is none."""
        return next((parent for parent in self.lineage if parent.role == role), None)

    @property
    def view_names(self) -> list[str]:
        """View names, in row order."""
        return list(self.views)

    @property
    def rows_per_utterance(self) -> int:
        return self.crops * len(self.views)

    @property
    def fingerprint(self) -> str:
        """SHA-256 over everything declared, lineage paths excepted: it survives moving the corpus."""
        declared = {"views": list(self.views.items()), "lineage": self.lineage_digests()}
        return digest({"format": FORMAT_VERSION, **self.to_json(), **declared})

    def lineage_digests(self) -> list[dict[str, str]]:
        """Return the lineage without what belongs to one machine."""
        return [{"role": parent.role, "digest": parent.digest} for parent in self.lineage]

    def to_json(self) -> dict[str, Any]:
        """Return what this version knows as JSON."""
        return {
            "dim": self.dim,
            "dtype": self.dtype,
            "views": self.views,
            "crops": self.crops,
            "space": self.space,
            "inputs": self.inputs.to_json(),
            "lineage": [parent.to_json() for parent in self.lineage],
            "vectors": self.vectors,
        }


@dataclass(frozen=True)
class StoredFile:
    """A file of a store as store.json knows it; `name` is relative to the store."""

    name: str
    bytes: int
    sha256: str


@dataclass(frozen=True)
class Shard:
    """One sealed shard: the files it lies in and what they hold."""

    name: str
    rows: int
    utterances: int
    files: tuple[StoredFile, ...]

    @property
    def index(self) -> int:
        return int(self.name.partition("-")[0])

    @property
    def digest(self) -> str:
        """SHA-256 over the digests of its files: what a shard derived from this one names as its source."""
        return digest([file.sha256 for file in self.files])


@dataclass(frozen=True)
class Header:
    """The parsed store.json."""

    declaration: Declaration
    fingerprint: str
    expected: int
    stored: int
    rejected: int
    shards: list[Shard]
    rejects: StoredFile


def shard_name(index: int, fingerprint: str, source: str) -> str:
    """Return the stem of a shard's files, e.g. "00007-1a2b3c4d".

    The second part digests what the shard is made by and from. Shards of an older state of the store therefore never
    stand in the way of new ones, and stay readable until store.json is replaced.
    """
    return f"{index:05d}-{digest([fingerprint, source])[:8]}"


def file_suffixes(layout: str) -> tuple[str, ...]:
    """Return the suffixes of a shard's files; the sealing catalogue comes last."""
    return ("h5", "parquet") if layout == "hdf5" else ("parquet",)


def header_path(store: Place, version: int | None = None) -> Place:
    """Return where the header of a store lies, or that of an earlier state."""
    return cast(Place, store / (HEADER_NAME if version is None else f"{VERSIONS}/{version:04d}.json"))


def place_of_file(store: AnyPath, name: str, version: int | None = None) -> AnyPath:
    """Return where a file of a store lies; of an earlier state among what was replaced since, or where it was."""
    if version is not None and (retired := store / VERSIONS / name).is_file():
        return retired
    return store / name


def shard_path(store: Place, name: str, suffix: str) -> Place:
    return cast(Place, store / "shards" / f"{name}.{suffix}")
