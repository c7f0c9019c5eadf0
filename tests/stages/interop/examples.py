"""Real files for the tests of interop: a store with every catalogue column and ids as odd as they come."""

import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pyarrow as pa

from reseed.store import Declaration, EmbeddingStore, finalise, write_shard
from reseed.store.inputs import DeclaredInputs

DIM = 5
VIEWS = {"clean": {}, "noise -5 dB/%": {"noise": {"snr_db": [-5, -5]}}, "ré-verb": {"reverb": True}}
ODD_IDS = [
    "plain",
    "id00012/21Uxsk56VDQ/00001.wav",
    "quo'te\"d  twice",
    " leading and trailing ",
    "日本語/ünï🎙",
    "tab\tnew\nline\r\u2028",
    "50%20-crop3-noise",
    "-crop0-clean",
    "..",
    "",
    "x" * 10_000,
    "語" * 1_200,
]


def write_odd_store(path: Path, *, dtype: str = "float32", ids: list[str] = ODD_IDS) -> EmbeddingStore:
    """Write a store of two shards, two crops and three views; a vector is a function of its row."""
    declaration = Declaration(DIM, dtype, VIEWS, 2, "toy:1", DeclaredInputs(further={"seed": 3}))
    halves = [ids[: len(ids) // 2], ids[len(ids) // 2 :]]
    names = []
    for index, half in enumerate(halves):
        catalogue = catalogue_of(half)
        vectors = np.random.default_rng(index).normal(size=(catalogue.num_rows, DIM)).astype(dtype)
        names.append(write_shard(path, index, vectors, catalogue, declaration))
    finalise(path, declaration, names, len(ids))
    return EmbeddingStore(path)


def catalogue_of(ids: list[str]) -> pa.Table:
    rows = [
        {
            "utterance_id": utterance_id,
            "speaker_id": None if number % 4 == 3 else f"spk {number % 2}/日",
            "view": view,
            "crop": crop,
            "start_s": 0.1 * crop,
            "duration_s": 3.0,
            "noise_ids": [] if view == "clean" else [f"noise/{number}"],
            "snr_db": None if view == "clean" else -5.0,
            "seed": 2**64 - 1 - number,
            "emotion": "joy" if number % 2 else None,
        }
        for number, utterance_id in enumerate(ids)
        for crop in range(2)
        for view in VIEWS
    ]
    schema = pa.schema({"seed": pa.uint64(), "snr_db": pa.float32(), "crop": pa.int32()})
    columns = {name: [row[name] for row in rows] for name in rows[0]}
    return pa.table(
        {
            name: pa.array(values, schema.field(name).type if name in schema.names else None)
            for name, values in columns.items()
        }
    )


def files_under(directory: Path) -> dict[Path, bytes]:
    """Return the content of every file under a directory, by its path from there."""
    return {path.relative_to(directory): path.read_bytes() for path in directory.rglob("*") if path.is_file()}


def output_of(directory: Path, kind: str) -> Path:
    """Return a fitting name for an export."""
    return directory / (f"{kind}.parquet" if kind == "parquet" else kind)


@contextmanager
def file_size_limit(limit_bytes: int) -> Iterator[None]:
    """To a writer, a file that may grow no further is what a full disk is."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
