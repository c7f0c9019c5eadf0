"""What is remembered: format 1 of the embedding store, its writer and its reader. Never imports torch.

What needs numpy and Arrow is loaded when it is first asked for: a command can be interrupted before that.
"""

import importlib
from typing import TYPE_CHECKING, Any

from reseed.store.errors import (
    AudioError,
    ConfigError,
    ManifestError,
    ModelError,
    ReseedError,
    ScoringError,
    StoreBusyError,
    StoreChangedError,
    StoreError,
    Terminated,
    WriteError,
)

if TYPE_CHECKING:
    from reseed.store.annotation import annotate
    from reseed.store.edit import append_shards, compact, convert, drop, edited
    from reseed.store.format import Declaration, Header, Reject, Shard, shard_name
    from reseed.store.reader import EmbeddingStore
    from reseed.store.seals import read_seal
    from reseed.store.verify import problems, undamaged
    from reseed.store.versions import Change
    from reseed.store.writer import finalise, is_finalised, read_rejects, write_rejects, write_shard

__all__ = [
    "AudioError",
    "Change",
    "ConfigError",
    "Declaration",
    "EmbeddingStore",
    "Header",
    "ManifestError",
    "ModelError",
    "Reject",
    "ReseedError",
    "ScoringError",
    "Shard",
    "StoreBusyError",
    "StoreChangedError",
    "StoreError",
    "Terminated",
    "WriteError",
    "annotate",
    "append_shards",
    "compact",
    "convert",
    "drop",
    "edited",
    "finalise",
    "is_finalised",
    "problems",
    "read_rejects",
    "read_seal",
    "shard_name",
    "undamaged",
    "write_rejects",
    "write_shard",
]


_MODULES = ("annotation", "edit", "format", "reader", "seals", "verify", "versions", "writer")


def __getattr__(name: str) -> Any:
    """Import a public name when it is first asked for (PEP 562)."""
    for module in (
        ("annotation", "edit", "format", "reader", "seals", "verify", "versions", "writer") if name in __all__ else ()
    ):
        found = importlib.import_module(f"reseed.store.{module}")
        if hasattr(found, name):
            return getattr(found, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
