"""`expire`: remove earlier states of a store."""

from datetime import datetime
from pathlib import Path

from reseed.stages.common.space import in_bytes
from reseed.store.expiry import expire as expire_store


def expire(*, store: Path, keep: int = 1, before: datetime | None = None) -> str:
    """Remove earlier states of a store and the files that only they name.

    Args:
        keep: so many of the latest states stay, the present one among them.
        before: of the others only those that another state had replaced by then.

    Returns:
        One sentence on what is gone.

    Raises:
        StoreError: no store, or another edit is under way; nothing is removed.
    """
    expired = expire_store(store, keep=keep, before=before)
    if not expired.versions:
        return f"{store}: no version to expire"
    numbers = ", ".join(str(each.number) for each in expired.versions)
    many = "s" if len(expired.versions) > 1 else ""
    return f"{store}: version{many} {numbers} expired, {in_bytes(expired.bytes)} free again"
