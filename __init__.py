"""reseed: noise-robust speaker embeddings, offline.

What a program imports, by name; everything is loaded when it is first asked for, so that `import reseed` takes
milliseconds and needs neither torch nor matplotlib.

    from reseed import EmbeddingStore, Enhancer

    clean, noisy = EmbeddingStore("runs/demo/stores/ge2e/train").pairs("clean", "noise")
    better = Enhancer.load("runs/demo/models/vire").enhance(noisy)
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from reseed.stages.enhancers.library import Enhancer
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

_LIES_IN = {
    "AudioError": "reseed.store",
    "ConfigError": "reseed.store",
    "EmbeddingStore": "reseed.store",
    "Enhancer": "reseed.stages.enhancers.library",
    "ManifestError": "reseed.store",
    "ModelError": "reseed.store",
    "ReseedError": "reseed.store",
    "ScoringError": "reseed.store",
    "StoreError": "reseed.store",
}

__all__ = [
    "AudioError",
    "ConfigError",
    "EmbeddingStore",
    "Enhancer",
    "ManifestError",
    "ModelError",
    "ReseedError",
    "ScoringError",
    "StoreError",
]


def __getattr__(name: str) -> Any:
    """Import a public name when it is first asked for (PEP 562)."""
    if name not in _LIES_IN:
        raise AttributeError(f"module 'reseed' has no attribute {name!r}; it has {', '.join(__all__)}")
    return getattr(importlib.import_module(_LIES_IN[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
