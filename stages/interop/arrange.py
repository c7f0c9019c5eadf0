"""Bring the rows of a source into the order of a store.

Shapes: D embedding dimension, N rows of the source.
"""

import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa

from reseed.stages.interop.exchange import Batch, rechunked
from reseed.stages.interop.plan import ImportPlan
from reseed.store.atomic import directory_of, writing


def arranged(batches: Iterable[Batch], plan: ImportPlan, rows: int, scratch: Path) -> Iterator[Batch]:
    """Yield the planned rows in the order of the plan, in batches of `rows`; the last may be shorter.

    A source in that order is streamed: memory is that of two batches. Of any other the vectors are first copied to a
    nameless file in the directory `scratch`, as large as they are, and the catalogue is held in memory.
    """
    if plan.is_in_order:
        return rechunked(_kept(batches, plan), rows)
    return _sorted(batches, plan, rows, scratch)


def _kept(batches: Iterable[Batch], plan: ImportPlan) -> Iterator[Batch]:
    keep_N = np.zeros(plan.rows, bool)
    keep_N[plan.order] = True
    start = 0
    for batch in batches:
        keep = keep_N[start : start + len(batch)]
        start += len(batch)
        yield batch if keep.all() else batch.take(np.flatnonzero(keep))


def _sorted(batches: Iterable[Batch], plan: ImportPlan, rows: int, scratch: Path) -> Iterator[Batch]:
    everything = _copied(batches, scratch)
    for start in range(0, len(plan.order), rows):
        yield everything.take(plan.order[start : start + rows])


def _copied(batches: Iterable[Batch], scratch: Path) -> Batch:
    """Return all rows as one batch, its vectors mapped from a file that vanishes with the map."""
    tables = []
    copy = scratch / "copy of vectors that are not in order"  # its name is for messages alone
    with writing(copy), directory_of(copy), tempfile.TemporaryFile(dir=scratch) as file:
        for batch in batches:
            tables.append(batch.rows)
            file.write(np.ascontiguousarray(batch.vectors).data)
        file.flush()
        rows = pa.concat_tables(tables)
        return Batch(rows, np.memmap(file, batch.vectors.dtype, "r", shape=(len(rows), batch.vectors.shape[1])))
