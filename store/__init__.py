"""What is remembered: format 1 of the embedding store, its writer and its reader. Never imports torch."""

from store.errors import (
    AudioError,
    ConfigError,
    ManifestError,
    ModelError,
    ReseedError,
    ScoringError,
    StoreError,
)
from store.format import Declaration, Header, Reject, Shard
from store.reader import EmbeddingStore
from store.writer import begin_store, finalise, is_finalised, read_rejects, read_seal, write_rejects, write_shard

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
    "begin_store",
    "finalise",
    "is_finalised",
    "read_rejects",
    "read_seal",
    "write_rejects",
    "write_shard",
]
