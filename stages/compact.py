"""`compact`: join small shards of a store."""

from pathlib import Path

from reseed import store as stores


def compact(*, store: Path, rows: int) -> str:
    """Join neighbouring shards until each holds about `rows` rows; no vector changes.

    Returns:
        One sentence on how many shards there are now.
    """
    return f"{store}: {len(stores.compact(store, rows_per_shard=rows).shards)} shards"
