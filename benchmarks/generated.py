"""Generated vectors and catalogues, and the stores they fill, shard by shard."""

import itertools
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from reseed.store import Declaration, Header, finalise, write_shard
from reseed.store.inputs import DeclaredInputs

Vectors = NDArray[np.float32]
Part = tuple[Vectors, pa.Table]

VIEWS = ("clean", "noise")
ROWS_PER_SHARD = 100_000
_UTTERANCES_PER_SPEAKER = 100


def declare(dim: int, layout: str) -> Declaration:
    """Declare a store of float32 vectors, two views and one crop per utterance."""
    views = {view: {"generated": view} for view in VIEWS}
    return Declaration(
        dim, "float32", views, crops=1, space="generated:0", inputs=DeclaredInputs(further={"seed": 0}), vectors=layout
    )


def random_vectors(rows: int, dim: int, seed: int) -> Vectors:
    """Return [rows, D] drawn from a normal distribution: like embeddings, they do not compress."""
    return np.random.default_rng(seed).standard_normal((rows, dim), dtype=np.float32)


def utterance_id(number: int) -> str:
    """Return an id of VoxCeleb's length, e.g. "id000012/vid0000004/00001234"."""
    return f"id{number // _UTTERANCES_PER_SPEAKER:06d}/vid{number // 10:07d}/{number:08d}"


def catalogue(first: int, utterances: int) -> pa.Table:
    """Return the rows of utterances `first`..., as `extract` would write them."""
    numbers = range(first, first + utterances)
    ids = np.repeat([utterance_id(number) for number in numbers], len(VIEWS))
    speakers = np.repeat([f"id{number // _UTTERANCES_PER_SPEAKER:06d}" for number in numbers], len(VIEWS))
    rows = len(ids)
    return pa.table(
        {
            "utterance_id": pa.array(ids, pa.string()),
            "speaker_id": pa.array(speakers, pa.string()),
            "view": pa.array(np.tile(VIEWS, utterances), pa.string()),
            "crop": pa.array(np.zeros(rows, np.int32)),
            "start_s": pa.array(np.zeros(rows)),
            "duration_s": pa.array(np.full(rows, 3.0)),
            "snr_db": pa.array(np.tile(np.float32([np.nan, 5.0]), utterances), from_pandas=True),
            "seed": pa.array(np.arange(rows, dtype=np.uint64)),
        }
    )


def parts(whole: Vectors, shards: int) -> list[Part]:
    """Cut vectors [rows, D] into shards of whole utterances, each with its catalogue."""
    utterances = len(whole) // len(VIEWS)
    edges = [index * utterances // shards for index in range(shards + 1)]
    return [
        (whole[first * len(VIEWS) : last * len(VIEWS)], catalogue(first, last - first))
        for first, last in itertools.pairwise(edges)
    ]


def write_store(path: Path, cut: list[Part], layout: str) -> Header:
    """Write a store of one shard per part and finalise it; one that is there already is written again."""
    declaration = declare(cut[0][0].shape[1], layout)
    names = [write_shard(path, index, vectors, table, declaration) for index, (vectors, table) in enumerate(cut)]
    return finalise(path, declaration, names, sum(len(vectors) for vectors, _ in cut) // len(VIEWS))


def write_rows(path: Path, declaration: Declaration, first: int, last: int) -> list[str]:
    """Write rows `first` to `last` in shards of ROWS_PER_SHARD, one in memory at a time; returns their names."""
    return [
        write_shard(
            path,
            index=start // ROWS_PER_SHARD,
            vectors=random_vectors(min(ROWS_PER_SHARD, last - start), declaration.dim, seed=start),
            catalogue=catalogue(start // len(VIEWS), min(ROWS_PER_SHARD, last - start) // len(VIEWS)),
            declaration=declaration,
        )
        for start in range(first, last, ROWS_PER_SHARD)
    ]
