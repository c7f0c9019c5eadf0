"""`copy`: the same store at another place, on this machine or elsewhere."""

import sys
from functools import partial

from rich.console import Console
from rich.progress import track

from reseed.store.copying import copy_store
from reseed.store.url import AnyPath


def copy(*, source: AnyPath, target: AnyPath, version: int | None = None) -> str:
    """Copy a store; every file is compared with its digest, and the same command goes on where it was interrupted.

    Args:
        source: a store, a folder of this machine or elsewhere.
        target: where it is to be; another store there is replaced.
        version: number of an earlier state to copy; None: the present one.

    Returns:
        One sentence on what was done.

    Raises:
        StoreError: `source` is no store or damaged, or something else is at `target`.
        WriteError: `target` cannot be written.
    """
    shown = partial(track, description="copy", console=Console(stderr=True), disable=not sys.stderr.isatty())
    copied = copy_store(source, target, shown, version)
    size = sum(file.bytes for shard in copied.header.shards for file in shard.files)
    files = sum(len(shard.files) for shard in copied.header.shards)
    return f"{target}: the store {source}, {size / 1e6:.1f} MB in {files} files, {copied.files} of them copied now"
