"""`reseed map`: map a store of one side into the space that an alignment shares. No audio is opened."""

from pathlib import Path

import numpy as np
import torch

from reseed.stages.aligners.base import Alignment, Side
from reseed.stages.aligners.folder import load_alignment
from reseed.stages.aligners.table import aligner_code
from reseed.stages.common.derived import Vectors, derive, derived_declaration
from reseed.store import EmbeddingStore
from reseed.store.inputs import MappedInputs

_BATCH = 65_536


def map_store(*, store: Path, model: Path, side: Side, mapped: Path) -> str:
    """Map every vector of a store, shard by shard, and return one sentence on it; finished shards are kept.

    Args:
        store: directory of the store to map.
        model: directory of an alignment whose `side` is the store's space.
        mapped: directory of the store to write.

    Raises:
        ModelError: the alignment is missing or damaged, or the store is of the other side or of neither.
        StoreError: the store is missing or damaged, holds vectors that are not finite, or is `mapped` itself.
    """
    source = EmbeddingStore(store)
    alignment, info = load_alignment(model)
    info.check_side(source.space, side, store, model)
    inputs = MappedInputs(
        parent=source.fingerprint,
        method=info.method,
        config=info.config,
        alignment=info.weights_sha256,
        side=side,
        plugins=aligner_code(info.method) or None,
    )
    declaration = derived_declaration(
        source, dim=info.shared_dim, space=info.space, inputs=inputs, model=model, weights_sha256=info.weights_sha256
    )
    derive(
        source,
        mapped,
        declaration,
        lambda vectors_MD, shard: _mapped(alignment, side, vectors_MD),
        verb="map",
        model=model,
    )
    return f"{mapped}: {len(source)} vectors of the {side} side in the space {info.space}"


def _mapped(alignment: Alignment, side: Side, vectors_MD: Vectors) -> Vectors:
    with torch.no_grad():
        parts = torch.from_numpy(np.array(vectors_MD, np.float32)).split(_BATCH)
        return np.concatenate([alignment.map(side, part).numpy() for part in parts])
