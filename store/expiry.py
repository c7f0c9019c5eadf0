"""Remove earlier states of a store, and the files that none of those left names."""

from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path

from reseed.store.format import VERSIONS, header_path
from reseed.store.header import read_header
from reseed.store.lock import editing
from reseed.store.states import complete_removal, remove_versions
from reseed.store.versions import Version, files_of_versions, rejects_path, versions


@dataclass(frozen=True)
class Expired:
    """Which states were removed, and how many bytes of the disk are free now."""

    versions: list[Version]
    bytes: int


def expire(store: Path, *, keep: int = 1, before: datetime | None = None) -> Expired:
    """Remove earlier states of a store; the present one always stays.

    Args:
        keep: so many of the latest that can be read stay, the present one among them.
        before: of the others only those that another one had replaced by then.

    Raises:
        StoreError: no store, a damaged log, or another edit is under way; nothing is removed.
    """
    read_header(store)  # the lock would make a folder
    with editing(store):
        complete_removal(store)
        known = versions(store)
        gone = _expiring(known, keep, before)
        left = [each.number for each in known if each.state == "kept" and each not in gone]
        needed = {str(header_path(Path(), number)) for number in left}
        needed |= {str(rejects_path(Path(), number)) for number in left}
        for number in left:
            shards = read_header(store, number).shards
            needed |= {f"{VERSIONS}/{file.name}" for shard in shards for file in shard.files}
        names = sorted(files_of_versions(store) - needed)
        found = [(store / name).stat() for name in names]
        remove_versions(store, names)
        return Expired(gone, sum(each.st_size for each in found if each.st_nlink == 1))


def _expiring(known: list[Version], keep: int, before: datetime | None) -> list[Version]:
    replaced = {each.number: following.made for each, following in pairwise(known)}
    kept = [each for each in known if each.state == "kept"]
    older = kept[: max(0, len(kept) - (keep - 1))]
    if before is None:
        return older
    limit = before.astimezone(UTC)
    return [each for each in older if datetime.fromisoformat(replaced[each.number] or limit.isoformat()) < limit]
