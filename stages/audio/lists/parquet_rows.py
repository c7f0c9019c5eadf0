"""Lists in Parquet, a batch of rows at a time; of Hugging Face's structs {bytes, path} the path."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from reseed.stages.audio.lists.columns import read_columns
from reseed.stages.audio.lists.row import Row
from reseed.stages.audio.remote.url import AnyPath
from reseed.store import ManifestError

_BATCH = 4096


def parquet_rows(source: AnyPath) -> Iterator[Row]:
    """Yield each row, of those columns that are read.

    Raises:
        ManifestError: it is no Parquet, or holds the recordings themselves.
    """
    try:
        with pq.ParquetFile(source if isinstance(source, Path) else source.open()) as file:
            schema = file.schema_arrow
            for name in schema.names:
                if pa.types.is_struct(schema.field(name).type) and _holds_bytes(file, name):
                    raise ManifestError(
                        f"{source} holds the recordings themselves (column {name}), which is not read: write them to "
                        "files, and list these"
                    )
            wanted = [name for name in read_columns(schema.names) if not _is_bytes(schema.field(name).type)]
            number = 0
            others = {name: None for name in schema.names if name not in wanted}
            columns = [_leaf(schema, name) for name in wanted]
            for batch in file.iter_batches(_BATCH, columns=columns or None):
                for values in batch.to_pylist():
                    number += 1
                    yield Row(f"row {number}", {**values, **others})
    except (OSError, pa.ArrowException, ValueError) as error:
        raise ManifestError(f"{source} cannot be read as Parquet ({error})") from error


def _is_bytes(kind: Any) -> bool:
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind))


def _leaf(schema: pa.Schema, name: str) -> str:
    kind = schema.field(name).type
    has_path = pa.types.is_struct(kind) and any(field.name == "path" for field in kind)
    return f"{name}.path" if has_path else name


def _holds_bytes(file: pq.ParquetFile, name: str) -> bool:
    """Whether the member `bytes` of a struct is there and not always null."""
    metadata = file.metadata
    for group in range(metadata.num_row_groups):
        for index in range(metadata.num_columns):
            column = metadata.row_group(group).column(index)
            if column.path_in_schema == f"{name}.bytes":
                statistics = column.statistics
                if statistics is None or statistics.null_count != column.num_values:
                    return True
    return False
