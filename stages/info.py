"""`info`: what a store holds and what it was made from."""

from dataclasses import asdict, dataclass
from typing import Any, Self

from reseed.stages.common.terminal import lines
from reseed.store import EmbeddingStore, Header
from reseed.store.url import AnyPath
from reseed.store.versions import Version, versions


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


@dataclass(frozen=True)
class History:
    """The states of a store, as data and in words."""

    states: list[Version]

    @classmethod
    def of(cls, store: AnyPath) -> Self:
        """Read the log of a store.

        Raises:
            StoreError: not a store, or its log is damaged.
        """
        return cls(versions(store))

    def to_json(self) -> list[dict[str, Any]]:
        """Return them as JSON."""
        return [asdict(each) for each in self.states]

    def summary(self) -> str:
        """Return them in words, one a line, the present one last."""
        head = ("version", "made (UTC)", "by", "rows", "utterances", "")
        rows = [head, *(self._row(each) for each in self.states)]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        return lines("  ".join(map(str.ljust, row, widths)).rstrip() for row in rows)

    def _row(self, state: Version) -> tuple[str, ...]:
        made = state.made[:16].replace("T", " ") or "?"
        by = state.by or ("made" if state.number == 1 else "?")
        return (str(state.number), made, by, str(state.rows), str(state.utterances), state.state)


def info(*, store: AnyPath, version: int | None = None) -> Info:
    """Open a store and say what it holds.

    Args:
        version: number of an earlier state; None: the present one.

    Raises:
        StoreError: not a store, or a file of it is missing or cut.
    """
    return Info(EmbeddingStore(store, version=version).header)
