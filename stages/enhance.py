"""`reseed enhance`: map a store of embeddings to a store of enhanced embeddings. No audio is opened.

Shapes: D embedding dimension, M rows of a shard.
"""

from functools import cache
from itertools import accumulate
from pathlib import Path

import torch

from reseed.stages.common.derived import Vectors, derive, derived_declaration
from reseed.stages.common.device import torch_device
from reseed.stages.common.plugins import plain
from reseed.stages.common.terminal import log
from reseed.stages.enhancers.base import Enhancer, enhance_vectors
from reseed.stages.enhancers.fitting import adapt
from reseed.stages.enhancers.folder import load_model
from reseed.stages.enhancers.table import enhancer_code
from reseed.store import EmbeddingStore, atomic
from reseed.store.inputs import EnhancedInputs
from reseed.store.url import AnyPath


def enhance(*, store: AnyPath, model: Path, enhanced: Path, seed: int, device: str = "cpu") -> str:
    """Enhance every vector of a store, shard by shard, into a store of the same catalogue; returns what came of it.

    A model that adapts first reads the whole store. Shards already sealed under the same declaration are kept, so
    that an interrupted run is resumed. Sampling noise
    comes from (seed, shard index) alone and is drawn on the CPU: it is the same in any process and on any device.

    Args:
        store: directory of the store to enhance.
        model: directory of a model trained on embeddings of the same space.
        enhanced: directory of the store to write; another store there is replaced.
        seed: seeds the sampling noise of enhancers that draw any.
        device: torch device, e.g. "cpu" or "cuda".

    Raises:
        ModelError: the model is missing, damaged, or was trained on another space or dimension.
        StoreError: the store is missing or damaged, holds vectors that are not finite, or is `enhanced` itself.
        ConfigError: no such device.
    """
    source = EmbeddingStore(store)
    enhancer, info = load_model(model, device)
    info.check_fits(source, model)
    plugins = enhancer_code(info.enhancer, info.config)
    if plugins != info.plugins:
        log(f"WARNING: {model} was trained by other code of {', '.join(plugins)}; train it again to be sure")
    declaration = derived_declaration(
        source,
        dim=enhancer.dim_out,
        space=f"{source.space}+{plain(info.enhancer)}:{info.weights_sha256[:8]}",
        inputs=EnhancedInputs(
            parent=source.fingerprint,
            method=info.enhancer,
            config=info.config,
            model=info.weights_sha256,
            seed=seed,
            adapted_to=atomic.digest([shard.digest for shard in source.shards]) if enhancer.adapts else "",
            plugins=plugins or None,
        ),
        model=model,
        weights_sha256=info.weights_sha256,
    )

    @cache
    def adapted() -> Enhancer:  # not before a shard asks: where all are there, nothing is read
        adapt(enhancer, source, torch_device(device))
        return enhancer

    rows = [shard.rows // len(source.views) for shard in source.shards]
    first = dict(zip((shard.index for shard in source.shards), accumulate(rows, initial=0), strict=False))

    def transform(raw_MD: Vectors, shard: int) -> Vectors:
        generator = shard_generator(seed, shard)
        return enhance_vectors(adapted(), raw_MD, generator, device, len(source.views), first[shard])

    derive(source, enhanced, declaration, transform, verb="enhance", model=model)
    return f"{enhanced}: {len(source):,} vectors of {source.path}, enhanced by {model}"


def shard_generator(seed: int, shard: int) -> torch.Generator:
    """Return the generator of one shard's sampling noise, on the CPU, seeded by a digest of (seed, shard)."""
    return torch.Generator().manual_seed(int(atomic.digest({"seed": seed, "shard": shard})[:15], 16))
