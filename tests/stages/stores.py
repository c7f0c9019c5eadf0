"""A synthetic store for tests: speaker clusters, seen clean and through views that each shift and blur them.

Shapes: D embedding dimension, N utterances x crops, U utterances, V views.
"""

from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from reseed.store import Declaration, EmbeddingStore, Reject, finalise, write_shard
from reseed.store.inputs import DeclaredInputs

SPEAKERS = 6


def clustered_vectors(n_crops: int, n_views: int, dim: int, seed: int = 0) -> NDArray[np.float32]:
    """Return unit vectors [N, V, D]: the first view holds the clusters, the others are shifted and blurred."""
    rng = np.random.default_rng(seed)
    centre_SD = np.random.default_rng(99).normal(size=(SPEAKERS, dim))
    shift_VD = np.random.default_rng(98).normal(size=(n_views, dim))
    clean_ND = centre_SD[np.arange(n_crops) % SPEAKERS] + 0.3 * rng.normal(size=(n_crops, dim))
    blur_NVD = shift_VD + 0.3 * rng.normal(size=(n_crops, n_views, dim))
    blur_NVD[:, 0] = 0.0
    vectors_NVD = clean_ND[:, None] + blur_NVD
    return (vectors_NVD / np.linalg.norm(vectors_NVD, axis=-1, keepdims=True)).astype(np.float32)


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
