"""`annotate`: derived columns (labels, voice activity, quality) into the catalogue of a store."""

from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
from pyarrow import csv

from reseed import store as stores
from reseed.store import StoreError
from reseed.store.annotation import KEYS
from reseed.store.atomic import sha256_file
from reseed.store.outputs import check_apart
from reseed.store.tables import TableFile

_TABLE = TableFile("a table of columns to add", "reseed quality", StoreError)


def annotate(*, store: Path, table: Path, columns: Sequence[str] = ()) -> str:
    """Add columns of a table (.parquet, or .csv with a head) to the catalogue of a store, row by row by their ids.

    Args:
        table: `utterance_id`, perhaps `view` (or `condition`, as `reseed quality` calls it) and `crop`, and columns; it
            lists no utterance that the store neither holds nor rejected.
        columns: which of these; none: all.

    Returns:
        One sentence on what was added.

    Raises:
        StoreError: no store, no such table or column, ids that come twice or that the store does not have, a column of
            the store's own, or another edit is under way; nothing is changed.
    """
    stores.EmbeddingStore(store)  # the lock would make a folder
    check_apart([store], [table], StoreError)
    values = _read(table)
    given = [name for name in values.column_names if name not in KEYS]
    if missing := [name for name in columns if name not in given] or (["utterance_id"] if not given else []):
        raise StoreError(f"{table} has no column {missing[0]!r} to add; there are {', '.join(given) or 'none'}")
    chosen = list(dict.fromkeys(columns)) or given
    source = f"{sha256_file(table)} {' '.join(chosen)}"
    header, rows = stores.annotate(store, values, chosen, source)
    of = sum(shard.rows for shard in header.shards)
    return f"{store}: {', '.join(chosen)} added to {rows} of {of} rows"


def _read(table: Path) -> pa.Table:
    if table.suffix == ".csv":
        try:
            texts = csv.ConvertOptions(column_types={"utterance_id": pa.string(), "view": pa.string()})
            values = csv.read_csv(table, convert_options=texts)
        except (OSError, pa.ArrowException) as error:
            raise StoreError(f"{table} is not a table with a head ({error}); give .csv or .parquet") from error
    else:
        with _TABLE.open(table) as file:
            values = file.read()
    if "utterance_id" not in values.column_names:
        raise StoreError(f"{table} has no column utterance_id, by which rows are found")
    if "view" not in values.column_names:
        values = values.rename_columns(["view" if name == "condition" else name for name in values.column_names])
    return values.combine_chunks()
