"""`reseed map`: map a store of one side into the space that an alignment shares. No audio is opened."""

from pathlib import Path

import numpy as np
import torch

from stages.aligners import Alignment, Side
from stages.alignment_model import AlignmentInfo, load_alignment
from store import Declaration, EmbeddingStore, StoreError, finalise, read_rejects, read_seal, shard_name, write_shard
from store.format import REJECTS_NAME

_BATCH = 65_536


def map_store(*, store: Path, model: Path, side: Side, mapped: Path) -> str:
    """Map every vector of a store, shard by shard, and return one sentence on it; finished shards are kept.

    Args:
        store: directory of the store to map.
        model: directory of an alignment whose `side` is the store's space.
        mapped: directory of the store to write.

    Raises:
        ModelError: the alignment is missing or damaged, or the store is of the other side or of neither.
        StoreError: the store is missing or damaged, or is `mapped` itself.
    """
    source = EmbeddingStore(store)
    alignment, info = load_alignment(model)
    info.check_side(source.space, side, store, model)
    if mapped.resolve() == store.resolve():
        raise StoreError(f"{mapped} is the store to be mapped; write the mapped store elsewhere")
    declaration = _declare(source, model, info, side)
    names = [shard_name(shard.index, declaration.fingerprint, shard.digest) for shard in source.shards]
    for position, (shard, name) in enumerate(zip(source.shards, names, strict=True)):
        if read_seal(mapped, name, declaration.vectors) is None:
            vectors_MK = _mapped(alignment, side, np.asarray(source.shard_vectors(position), np.float32))
            rows = source.shard_rows(position)
            write_shard(mapped, shard.index, vectors_MK, rows, declaration, source=shard.digest)
    finalise(mapped, declaration, names, source.header.expected, read_rejects(source.path / REJECTS_NAME))
    return f"{mapped}: {len(source)} vectors of the {side} side in the space {info.space}"


def _mapped(alignment: Alignment, side: Side, vectors_MD: np.ndarray) -> np.ndarray:
    with torch.no_grad():
        parts = torch.from_numpy(np.array(vectors_MD)).split(_BATCH)
        return np.concatenate([alignment.map(side, part).numpy() for part in parts])


def _declare(source: EmbeddingStore, model: Path, info: AlignmentInfo, side: Side) -> Declaration:
    return Declaration(
        dim=info.shared_dim,
        dtype=source.header.declaration.dtype,
        vectors=source.header.declaration.vectors,
        views=source.recipes,
        crops=source.crops,
        space=info.space,
        inputs={
            "parent": source.fingerprint,
            "alignment": info.weights_sha256,
            "enhancer": info.method,
            "config": info.config,
            "side": side,
        },
        lineage=[
            {"role": "parent", "path": str(source.path), "digest": source.fingerprint},
            {"role": "model", "path": str(model), "digest": info.weights_sha256},
        ],
    )
