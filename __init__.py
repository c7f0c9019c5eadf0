"""reseed: noise-robust speaker embeddings, offline.

What a program imports, by name; everything is loaded when it is first asked for, so that `import reseed` takes
milliseconds and needs neither torch nor matplotlib.

    from reseed import EmbeddingStore, Enhancer

    clean, noisy = EmbeddingStore("runs/demo/stores/ge2e/train").pairs("clean", "noise")
    better = Enhancer.load("runs/demo/models/vire").enhance(noisy)

`EmbeddingStore` reads a store and `StoreDataset` gives it to PyTorch, `Enhancer` applies a trained model to arrays;
`VectorEnhancer` does so in a service, where there need be no torch; `embed` makes vectors of a few recordings, and
`evaluate` measures scores and returns `Metrics`.
Every error raised on purpose is a `ReseedError`: `ConfigError`, `ManifestError`, `AudioError`, `StoreError`,
`ModelError` or `ScoringError`. All else is reached by the command line, and may move between versions.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from reseed.stages.enhancers.library import Enhancer
    from reseed.stages.enhancers.vectors import VectorEnhancer
    from reseed.stages.evaluation.arrays import Metrics, evaluate
    from reseed.stages.extraction.files import embed
    from reseed.stages.training.cache.dataset import StoreDataset
    from reseed.store import (
        AudioError,
        ConfigError,
        EmbeddingStore,
        ManifestError,
        ModelError,
        ReseedError,
        ScoringError,
        StoreError,
    )

__all__ = [
    "AudioError",
    "ConfigError",
    "EmbeddingStore",
    "Enhancer",
    "ManifestError",
    "Metrics",
    "ModelError",
    "ReseedError",
    "ScoringError",
    "StoreDataset",
    "StoreError",
    "VectorEnhancer",
    "embed",
    "evaluate",
]
_MODULES = {
    "Enhancer": "reseed.stages.enhancers.library",
    "Metrics": "reseed.stages.evaluation.arrays",
    "StoreDataset": "reseed.stages.training.cache.dataset",
    "VectorEnhancer": "reseed.stages.enhancers.vectors",
    "embed": "reseed.stages.extraction.files",
    "evaluate": "reseed.stages.evaluation.arrays",
}


def __getattr__(name: str) -> Any:
    """Import a public name when it is first asked for (PEP 562)."""
    if name not in __all__:
        raise AttributeError(f"module 'reseed' has no attribute {name!r}; it has {', '.join(__all__)}")
    return getattr(importlib.import_module(_MODULES.get(name, "reseed.store")), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
