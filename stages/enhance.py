"""`reseed enhance`: map a store of embeddings to a store of enhanced embeddings. No audio is opened.

Shapes: D embedding dimension, M rows of a shard.
"""

from pathlib import Path

import torch

from reseed.stages.common.derived import Vectors, derive, derived_declaration
from reseed.stages.enhancers.base import enhance_vectors
from reseed.stages.enhancers.folder import ModelInfo, load_model
from reseed.store import Declaration, EmbeddingStore, atomic
from reseed.store.inputs import EnhancedInputs


def enhance(*, store: Path, model: Path, enhanced: Path, seed: int, device: str = "cpu") -> None:
    """Enhance every vector of a store, shard by shard, into a store of the same catalogue.

    Shards already sealed under the same declaration are kept, so that an interrupted run is resumed. Sampling noise
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
    network, info = load_model(model, device)
    info.check_fits(source, model)
    declaration = declare(source, model, info, seed)

    def enhanced_vectors(raw_MD: Vectors, shard: int) -> Vectors:
        return enhance_vectors(network, raw_MD, shard_generator(seed, shard), device)

    derive(source, enhanced, declaration, enhanced_vectors, verb="enhance", model=model)


def declare(source: EmbeddingStore, model: Path, info: ModelInfo, seed: int) -> Declaration:
    """Declare the enhanced store: the parent's rows, in a space named after the parent's and the model."""
    inputs = EnhancedInputs(
        parent=source.fingerprint, method=info.enhancer, config=info.config, model=info.weights_sha256, seed=seed
    )
    space = f"{source.space}+{info.enhancer}:{info.weights_sha256[:8]}"
    return derived_declaration(
        source, dim=source.dim, space=space, inputs=inputs, model=model, weights_sha256=info.weights_sha256
    )


def shard_generator(seed: int, shard: int) -> torch.Generator:
    """Return the generator of one shard's sampling noise, on the CPU, seeded by a digest of (seed, shard)."""
    return torch.Generator().manual_seed(int(atomic.digest({"seed": seed, "shard": shard})[:15], 16))
