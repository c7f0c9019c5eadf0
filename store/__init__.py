"""What is remembered: format 1 of the embedding store, its writer and its reader. Never imports torch."""

from reseed.store.edit import append_shards, compact, drop, edited
from reseed.store.errors import (
    AudioError,
    ConfigError,
    ManifestError,
    ModelError,
    ReseedError,
    ScoringError,
    StoreError,
    Terminated,
)
from reseed.store.format import Declaration, Header, Reject, Shard, shard_name
from reseed.store.reader import EmbeddingStore
from reseed.store.verify import problems, undamaged
from reseed.store.writer import finalise, is_finalised, read_rejects, read_seal, write_rejects, write_shard

__all__ = [
    "AudioError",
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
    "StoreError",
    "Terminated",
    "append_shards",
    "compact",
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
