"""`reseed export`: a store's vectors and catalogue in a format that other programs read.

Shapes: D embedding dimension, N rows of a batch.
"""

import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from rich.console import Console
from rich.progress import track

from reseed.stages.interop.columns import conform
from reseed.stages.interop.exchange import BATCH_ROWS, Batch, ExportedView, ExportHeader
from reseed.stages.interop.table import format_called
from reseed.store import ConfigError, EmbeddingStore, StoreError
from reseed.store.outputs import check_apart
from reseed.store.url import AnyPath


def export(*, store: AnyPath, output: Path, format: str, view: str | None = None, version: int | None = None) -> str:
    """Write a store, or one of its views, for other programs; `output` is whole or absent. Rejects are not exported.

    Each shard is hashed before it is read: a damaged vector does not leave.

    Args:
        output: a file (parquet) or a directory (kaldi, npy, webdataset); an older export of that format is replaced,
            anything else is not.
        format: a name in `reseed.stages.interop.table.FORMATS`.
        version: number of an earlier state; None: the present one.

    Returns:
        One sentence on what was written.

    Raises:
        ConfigError: no such format or view.
        StoreError: the store is damaged or empty, or something else is at `output`.
        WriteError: the disk is full or read-only.
    """
    opened = EmbeddingStore(store, check=True, version=version)
    if view is not None and view not in opened.views:
        raise ConfigError(f"{store}: no view {view!r}; there are {', '.join(opened.views)}")
    check_apart([output], [store])
    if len(opened) == 0:
        raise StoreError(f"{store} holds no vectors; there is nothing to export")
    header = _header(opened, format, view)
    format_called(format).write(output, header, _batches(opened, header.rows, view))
    views = ", ".join(shown.name for shown in header.views)
    return f"{output}: {header.rows} x {header.dim} vectors of {store}, views {views}, written as {format}"


def _header(store: EmbeddingStore, kind: str, view: str | None) -> ExportHeader:
    declared = store.header.declaration
    views = [ExportedView(name=name, recipe=recipe) for name, recipe in store.recipes.items() if view in (None, name)]
    return ExportHeader(
        kind=kind,
        rows=len(store) * len(views) // len(store.views),
        dim=store.dim,
        dtype=declared.dtype,
        views=views,
        crops=store.crops,
        space=store.space,
        fingerprint=store.fingerprint,
        inputs=declared.inputs.to_json(),
        lineage=declared.lineage_digests(),
    )


def _batches(store: EmbeddingStore, expected: int, view: str | None) -> Iterator[Batch]:
    """Yield the rows of one view, or all, shard by shard; raises StoreError unless there are as many as expected."""
    positions = range(len(store.shards))
    # A column that is null throughout one shard has another type there.
    schema = pa.unify_schemas([store.shard(at).rows().schema for at in positions], promote_options="permissive")
    exported = 0
    for at in track(positions, "export", console=Console(stderr=True), disable=not sys.stderr.isatty()):
        shard = Batch(conform(store.shard(at).rows(), schema), store.shard(at).vectors())
        chosen = np.arange(len(shard)) if view is None else np.flatnonzero(pc.equal(shard.rows["view"], view))
        for start in range(0, len(chosen), BATCH_ROWS):
            yield shard.take(chosen[start : start + BATCH_ROWS])
        exported += len(chosen)
    if exported != expected:
        raise StoreError(f"{store.path}: {exported} rows instead of {expected}; extract the store again")
