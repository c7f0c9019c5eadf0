"""`leakage`: the manifests, or the stores, of training and evaluation -> what they share, by content.

Shapes: U utterances, D embedding dimension.
"""

from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path

import numpy as np

from reseed.stages.audio.manifest import Manifest
from reseed.stages.audio.shared import FIRST, Shared, shared, write_shared
from reseed.store import EmbeddingStore

VECTORS = "vectors"  # the role of a store


def leakage(*, training: Mapping[str, Path], evaluation: Mapping[str, Path], found: Path | None = None) -> list[str]:
    """Return what both sides hear, a sentence each; nothing where they are apart.

    Args:
        training, evaluation: what recordings are ("utterances", "babble", "noise", "music", "rir") -> their manifest;
            of stores, "vectors" -> the store.
        found: the same as JSON, to write.

    Raises:
        ManifestError: a manifest cannot be read.
        StoreError: a folder that is no store.
    """
    sides = (training, evaluation)
    every = shared(*({role: Manifest(path) for role, path in side.items() if role != VECTORS} for side in sides))
    if VECTORS in training and VECTORS in evaluation:
        every += _shared_vectors(training[VECTORS], evaluation[VECTORS])
    if found is not None:
        write_shared(found, every)
    return [str(each) for each in every]


def _shared_vectors(training: Path, evaluation: Path) -> list[Shared]:
    """Return which utterances of evaluation have the very vectors, in the first crop and view, of one of training."""
    heard, tested = (_first_vectors(EmbeddingStore(path)) for path in (training, evaluation))
    both = [(heard[digest], name) for digest, name in tested.items() if digest in heard]
    return [Shared("vector", VECTORS, VECTORS, len(both), len(tested), both[:FIRST])] if both else []


def _first_vectors(store: EmbeddingStore) -> dict[bytes, str]:
    """Return the utterance that has each vector of the first crop and view, by the digest of its bytes."""
    blocks = (block_UCVD[:, 0, 0] for block_UCVD in store.utterance_blocks())
    vectors = (np.ascontiguousarray(vector_D, np.float32) for block_UD in blocks for vector_D in block_UD)
    return {
        sha256(vector_D.tobytes()).digest(): name for vector_D, name in zip(vectors, store.utterance_ids(), strict=True)
    }
