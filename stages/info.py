"""`info`: what a store holds and what it was made from."""

from dataclasses import asdict, dataclass
from typing import Any

from reseed.stages.common.terminal import lines
from reseed.store import EmbeddingStore, Header
from reseed.store.url import AnyPath


@dataclass(frozen=True)
class Info:
    """The header of a store, as data and in words."""

    header: Header

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON."""
        return {**asdict(self.header), "declaration": self.header.declaration.to_json()}

    def summary(self) -> str:
        """Return it in words, a fact a line."""
        header, declared = self.header, self.header.declaration
        rows = sum(shard.rows for shard in header.shards)
        size = sum(file.bytes for shard in header.shards for file in shard.files)
        facts = {
            "vectors": f"{rows} x {declared.dim} {declared.dtype} in {len(header.shards)} shards, {size / 1e6:.1f} MB",
            "utterances": f"{header.stored} stored, {header.rejected} rejected, {header.expected} expected",
            "crops": str(declared.crops),
            "views": ", ".join(declared.views),
            "space": declared.space,
            "fingerprint": header.fingerprint,
            **{f"from {parent.role}": f"{parent.path} ({parent.digest[:8]})" for parent in declared.lineage},
            **{f"edit {number}": edit.what for number, edit in enumerate(declared.inputs.edits, 1)},
        }
        return lines(f"{name:16} {value}" for name, value in facts.items())


def info(*, store: AnyPath) -> Info:
    """Open a store and say what it holds.

    Raises:
        StoreError: not a store, or a file of it is missing or cut.
    """
    return Info(EmbeddingStore(store).header)
