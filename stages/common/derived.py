"""Stores derived from stores: every shard's vectors mapped, its catalogue kept; interrupted work is resumed.

Shapes: M rows of a shard, D dimensions of the source, K of what is derived.
"""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track

from reseed.stages.common.space import check_space
from reseed.stages.common.terminal import log
from reseed.store import (
    Declaration,
    EmbeddingStore,
    StoreError,
    finalise,
    read_seal,
    shard_name,
    write_shard,
)
from reseed.store.inputs import DerivedInputs, Parent
from reseed.store.outputs import check_apart, check_store
from reseed.store.shards import EXTRACT_AGAIN

Vectors = NDArray[Any]


def derived_declaration(
    source: EmbeddingStore, *, dim: int, space: str, inputs: DerivedInputs, model: Path, weights_sha256: str
) -> Declaration:
    """Declare a store of the same rows in another space."""
    return Declaration(
        dim=dim,
        dtype=source.header.declaration.dtype,
        vectors=source.header.declaration.vectors,
        views=source.recipes,
        crops=source.crops,
        space=space,
        inputs=inputs,
        lineage=(
            Parent(role="parent", path=str(source.path), digest=source.fingerprint),
            Parent(role="model", path=str(model), digest=weights_sha256),
        ),
    )


def derive(
    source: EmbeddingStore,
    target: Path,
    declaration: Declaration,
    transform: Callable[[Vectors, int], Vectors],
    *,
    verb: str,
    model: Path,
) -> None:
    """Write `target`: the vectors [M, K] that `transform(vectors [M, D], shard index)` makes of each shard.

    Shards already sealed under the same declaration are kept.

    Args:
        verb: the command, for messages: "enhance" or "map".
        model: directory of what transforms, for messages.

    Raises:
        StoreError: the source is damaged or holds vectors that are not finite, or is `target` itself.
    """
    check_apart([target], [source.path, model], StoreError)
    check_store(target)
    names = [shard_name(shard.index, declaration.fingerprint, shard.digest) for shard in source.shards]
    missing = [place for place, name in enumerate(names) if read_seal(target, name, declaration.vectors) is None]
    log(f"{verb} {source.path} by {model}: {len(missing)} of {len(source.shards)} shards to do")
    check_space(target, sum(source.shards[place].rows for place in missing), declaration)
    for position in track(missing, verb, console=Console(stderr=True), disable=not sys.stderr.isatty()):
        shard, reader = source.shards[position], source.shard(position)
        vectors_MD = reader.vectors()
        reader.check_finite(vectors_MD, EXTRACT_AGAIN)
        vectors_MK = np.asarray(transform(vectors_MD, shard.index))
        reader.check_finite(vectors_MK, f"model {model} makes no numbers of it; train it anew")
        write_shard(target, shard.index, vectors_MK, reader.rows(), declaration, source=shard.digest)
    finalise(target, declaration, names, source.header.expected, source.rejects())
