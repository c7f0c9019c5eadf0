"""Sources whose rows have a vector for each view: columns of one table, or arrays of one folder.

Shapes: N rows of a batch, V views, D embedding dimension.
"""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import numpy as np
import pyarrow as pa

from reseed.stages.interop.exchange import Batch, ExportHeader, Reader
from reseed.store import StoreError

_VIEW = "view"


class ViewColumns:
    """Reads one column of vectors for each view, side by side; each row of the source becomes one for each view.

    Args:
        read: the reader of a format.
        columns: the column of each view, by its name; of the format npy, the array of the folder `source`.

    Raises:
        StoreError: a column that is missing, or a source that names a view in each row as well.
    """

    header: ExportHeader | None = None

    def __init__(self, read: Callable[[Path, str], Reader], source: Path, columns: Mapping[str, str]) -> None:
        self._source, self._columns = source, columns
        self._readers = [read(source, column) for column in columns.values()]
        self.files = list(dict.fromkeys(file for reader in self._readers for file in reader.files))

    def rows(self) -> Iterator[pa.Table]:
        """Yield every column but those of the vectors, each row once for each view."""
        for reader in self._readers[1:]:
            for _ in reader.rows():  # the format's own checks
                pass
        yield from map(self._with_views, self._readers[0].rows())

    def batches(self) -> Iterator[Batch]:
        """Yield rows with their vectors: of one row all views, in their order."""
        for batches in zip(*(reader.batches() for reader in self._readers), strict=True):
            dims = {batch.vectors.shape for batch in batches}
            if len(dims) > 1:
                named = ", ".join(self._columns.values())
                raise StoreError(f"{self._source}: {named} differ in shape; a store holds one dimension")
            vectors_NVD = np.stack([batch.vectors for batch in batches], axis=1)
            yield Batch(self._with_views(batches[0].rows), vectors_NVD.reshape(-1, vectors_NVD.shape[-1]))

    def _with_views(self, rows: pa.Table) -> pa.Table:
        if _VIEW in rows.column_names:
            raise StoreError(f"{self._source} has a column {_VIEW!r}, and columns are named for views; leave one out")
        kept = rows.drop_columns([name for name in self._columns.values() if name in rows.column_names])
        repeated = kept.take(pa.array(np.repeat(np.arange(len(kept)), len(self._columns))))
        return repeated.append_column(_VIEW, pa.array([*self._columns] * len(kept), pa.string()))
