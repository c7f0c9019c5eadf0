"""A synthetic store for tests: speaker clusters, seen clean and through views that each shift and blur them.

Shapes: D embedding dimension, N utterances x crops, U utterances, V views.
"""

from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from reseed.store import Declaration, EmbeddingStore, Reject, finalise, write_shard
from reseed.store.inputs import DeclaredInputs
from reseed.testing.generated import SPEAKERS as SPEAKERS
from reseed.testing.generated import clustered_vectors as clustered_vectors


def write_store(
    path: Path,
    *,
    utterances: int = 12,
    dim: int = 16,
    views: tuple[str, ...] = ("clean", "noise", "reverb"),
    crops: int = 2,
    shards: int = 1,
    space: str = "ge2e:aaaaaaaa",
    dtype: str = "float32",
    rejects: tuple[Reject, ...] = (),
    seed: int = 0,
) -> EmbeddingStore:
    """Write a finished store of `utterances` over `shards` of equal size."""
    recipes = {view: {"kind": view} for view in views}
    declaration = Declaration(
        dim, dtype, recipes, crops, space, DeclaredInputs(further={"seed": seed, "utterances": utterances})
    )
    written = []
    vectors_UCVD = clustered_vectors(utterances * crops, len(views), dim, seed).reshape(utterances, crops, -1, dim)
    for index, members in enumerate(np.array_split(np.arange(utterances), shards)):
        catalogue = _catalogue(members, views, crops)
        vectors = vectors_UCVD[members].reshape(-1, dim)
        written.append(write_shard(path, index, vectors, catalogue, declaration))
    finalise(path, declaration, written, utterances + len(rejects), list(rejects))
    return EmbeddingStore(path)


def overwrite_vector(store: EmbeddingStore, row: int, value: float) -> None:
    """Damage row `row` of shard 0 in place, as a failing disk might."""
    vectors = store.shard(0).vectors()
    writable = np.memmap(vectors.filename, vectors.dtype, "r+", vectors.offset, vectors.shape)
    writable[row] = value
    writable.flush()


def _catalogue(members: NDArray[np.int64], views: tuple[str, ...], crops: int) -> pa.Table:
    rows = [
        {"utterance_id": f"utt-{u:03d}", "speaker_id": f"spk-{u % SPEAKERS}", "view": view, "crop": crop}
        for u in members.tolist()
        for crop in range(crops)
        for view in views
    ]
    return pa.Table.from_pylist(rows)
