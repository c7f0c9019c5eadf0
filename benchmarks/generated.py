"""Generated vectors and catalogues, and the stores they fill, shard by shard."""

import itertools
from collections.abc import Callable
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


def declare(dim: int, layout: str, dtype: str = "float32") -> Declaration:
    """Declare a store of two views and one crop per utterance."""
    views = {view: {"generated": view} for view in VIEWS}
    return Declaration(
        dim, dtype, views, crops=1, space="generated:0", inputs=DeclaredInputs(further={"seed": 0}), vectors=layout
    )


def random_vectors(rows: int, dim: int, seed: int) -> Vectors:
    """Return [rows, D] drawn from a normal distribution: like embeddings, they do not compress."""
    return np.random.default_rng(seed).standard_normal((rows, dim), dtype=np.float32)


class Clustered:
    """Draws vectors of speakers, of a hundred utterances each, as embeddings lie: 192 dimensions of unlike importance.

    An utterance is its speaker's mean and a deviation, and each of its two views another small one. Deviations are
    drawn once and taken in another order for each shard: that is five times as fast as drawing them.
    """

    def __init__(self, dim: int) -> None:
        drawn = np.random.default_rng(0)
        self._scale_D = ((1 + np.arange(dim)) ** -0.25).astype(np.float32)
        self._deviation_RD = drawn.standard_normal((ROWS_PER_SHARD, dim), dtype=np.float32) * self._scale_D

    def __call__(self, first: int, rows: int) -> Vectors:
        """Return rows `first`... of a store of two views, at most those of a shard: [rows, D]."""
        drawn, dim = np.random.default_rng([1, first]), len(self._scale_D)
        utterance_U = np.arange(first // len(VIEWS), (first + rows) // len(VIEWS))
        speaker_U = utterance_U // _UTTERANCES_PER_SPEAKER
        speakers = np.arange(speaker_U[0], speaker_U[-1] + 1)
        mean_SD = np.stack(
            [np.random.default_rng([2, speaker]).standard_normal(dim, np.float32) for speaker in speakers]
        )
        own_UD = (mean_SD * self._scale_D)[speaker_U - speaker_U[0]]
        own_UD += 0.8 * self._deviation_RD[drawn.integers(0, ROWS_PER_SHARD, len(utterance_U))]
        vectors_UVD = np.repeat(own_UD[:, None], len(VIEWS), axis=1)
        places = drawn.integers(0, ROWS_PER_SHARD, vectors_UVD.shape[:2])
        vectors_UVD += 0.3 * self._deviation_RD[places]
        return vectors_UVD.reshape(rows, dim)


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


def write_rows(
    path: Path, declaration: Declaration, first: int, last: int, draw: Callable[[int, int], Vectors] | None = None
) -> list[str]:
    """Write rows `first` to `last` in shards of ROWS_PER_SHARD, one in memory at a time; returns their names.

    Args:
        draw: returns so many rows from one on; by default they are of a normal distribution.
    """
    drawn = draw or (lambda start, rows: random_vectors(rows, declaration.dim, seed=start))
    return [
        write_shard(
            path,
            index=start // ROWS_PER_SHARD,
            vectors=drawn(start, min(ROWS_PER_SHARD, last - start)).astype(declaration.dtype, copy=False),
            catalogue=catalogue(start // len(VIEWS), min(ROWS_PER_SHARD, last - start) // len(VIEWS)),
            declaration=declaration,
        )
        for start in range(first, last, ROWS_PER_SHARD)
    ]
