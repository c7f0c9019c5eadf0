"""`compact`: join small shards of a store, and halve it."""

from dataclasses import replace
from pathlib import Path

from reseed import store as stores
from reseed.stages.common.space import tell_of_versions
from reseed.store import Declaration, StoreError


def compact(*, store: Path, rows: int, dtype: str | None = None) -> str:
    """Join neighbouring shards until each holds about `rows` rows; no vector changes, but for what `dtype` says.

    Args:
        dtype: what vectors are stored as from now on; "float16" rounds each as its extraction in float16 would have.

    Returns:
        One sentence on how many shards there are now.

    Raises:
        StoreError: no store, vectors of float16 that are to be more than that, or that are not finite in it.
    """

    def stored_as(declaration: Declaration) -> Declaration:
        if dtype is not None and (declaration.dtype, dtype) == ("float16", "float32"):
            raise StoreError(f"{store} holds float16, and what was rounded does not come back; extract it in float32")
        return replace(declaration, dtype=dtype or declaration.dtype)

    if dtype is not None:
        stores.convert(store, f"compact to {dtype}", stored_as)
    header = stores.compact(store, rows_per_shard=rows)
    tell_of_versions(store)
    return f"{store}: {len(header.shards)} shards" + (f" of {header.declaration.dtype}" if dtype else "")
