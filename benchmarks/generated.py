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
_DEVIATIONS = 1 << 16


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
    """Draws vectors of speakers, of a hundred utterances each, as embeddings lie: dimensions of unlike importance.

    An utterance is its speaker's mean and a deviation, and each of its two views another small one. Deviations are
    drawn once and taken in another order each time, which is several times as fast as drawing them.
    """

    def __init__(self, dim: int) -> None:
        self._scale_D = ((1 + np.arange(dim)) ** -0.25).astype(np.float32)
        drawn_RD = np.random.default_rng(0).standard_normal((_DEVIATIONS, dim), dtype=np.float32)
        self._own_RD, self._of_view_RD = 0.8 * self._scale_D * drawn_RD, 0.3 * self._scale_D * drawn_RD

    def __call__(self, first: int, rows: int) -> Vectors:
        """Return rows `first`... of a store of two views: [rows, D]."""
        vectors_UVD = np.empty((rows // len(VIEWS), len(VIEWS), len(self._scale_D)), np.float32)
        for start in range(0, len(vectors_UVD), _UTTERANCES_PER_SPEAKER):  # a speaker at a time, as caches hold it
            of_speaker_UVD = vectors_UVD[start : start + _UTTERANCES_PER_SPEAKER]
            drawn = np.random.default_rng([1, first // len(VIEWS) + start])
            mean_D = drawn.standard_normal(len(self._scale_D), np.float32) * self._scale_D
            places_UV = drawn.integers(0, _DEVIATIONS, of_speaker_UVD.shape[:2])
            own_U = drawn.integers(0, _DEVIATIONS, len(of_speaker_UVD))
            np.add(self._of_view_RD[places_UV], (self._own_RD[own_U] + mean_D)[:, None], out=of_speaker_UVD)
        return vectors_UVD.reshape(rows, -1)


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
