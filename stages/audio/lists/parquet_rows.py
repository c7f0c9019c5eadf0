"""Lists in Parquet, a batch of rows at a time, with paths or with the recordings themselves.

Of Hugging Face's structs {bytes, path} the bytes are the recording where there are any, and the path is its name.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from reseed.stages.audio.cells import swollen
from reseed.stages.audio.lists.columns import has_path, path_column, read_columns
from reseed.stages.audio.lists.places import Place
from reseed.stages.audio.lists.row import Row
from reseed.stages.audio.location import Cell, Location
from reseed.store import ManifestError
from reseed.store.url import AnyPath

_BATCH = 4096


def parquet_rows(source: AnyPath) -> Iterator[Row]:
    """Yield each row, of those columns that are read.

    Raises:
        ManifestError: it is no Parquet, or has recordings in several columns.
    """
    try:
        with pq.ParquetFile(source if isinstance(source, Path) else source.open()) as file:
            table = _Table(source, file.schema_arrow, _bytes_column(source, file.schema_arrow))
            number = 0
            for group in range(file.num_row_groups):
                for values, is_held in _group(file, group, table):
                    yield table.row(number, values, is_held)
                    number += 1
    except (OSError, pa.ArrowException, ValueError) as error:
        raise ManifestError(f"{source} cannot be read as Parquet ({error})") from error


@dataclass(frozen=True)
class _Table:
    """One table.

    Attributes:
        held: the column that the recordings are in, "audio.bytes"; None: there are only paths.
    """

    source: AnyPath
    schema: pa.Schema
    held: str | None

    @property
    def columns(self) -> list[str]:
        """Those that are read to list it."""
        wanted = [name for name in read_columns(self.schema.names) if not _is_bytes(self.schema.field(name).type)]
        held = (self.held or "").removesuffix(".bytes")
        if held in self.schema.names and held not in wanted and _leaf(self.schema, held) != held:
            wanted.append(held)  # for the name in its path
        return [_leaf(self.schema, name) for name in wanted]

    def row(self, number: int, values: dict[str, Any], is_held: bool) -> Row:
        """Return one row; `is_held`: its recording is in the table."""
        place, others = f"row {number + 1}", {name: None for name in self.schema.names if name not in values}
        if not is_held or self.held is None:
            return Row(place, {**values, **others})
        struct = values.get(self.held.split(".")[0])
        path = struct.get("path") if isinstance(struct, Mapping) else None
        name = str(PurePosixPath(path).with_suffix("")) if path else f"{Path(self.source.name).stem}-{number:06}"
        location = Location(str(self.source), Cell(self.held, number))
        return Row(place, {**values, **others}, inside=Place(location, name), is_whole=True)


def _group(file: pq.ParquetFile, group: int, table: _Table) -> Iterator[tuple[dict[str, Any], bool]]:
    """Yield the values of each row of a group, and whether its recording is in the table."""
    rows, columns = file.metadata.row_group(group).num_rows, table.columns
    nulls = rows if table.held is None else _nulls(file, group, table.held)
    if nulls not in (0, rows) and swollen(file, group, str(table.held)):
        nulls = 0  # each is a reject once it is opened
    if nulls in (0, rows):
        batches = file.iter_batches(_BATCH, [group], columns) if columns else iter(())
        count = 0
        for batch in batches:
            for values in batch.to_pylist():
                yield values, nulls == 0
                count += 1
        yield from (({}, nulls == 0) for _ in range(count, rows))
        return
    top, *member = str(table.held).split(".")
    for batch in file.iter_batches(1, [group], [*columns, str(table.held)]):
        for values in batch.to_pylist():
            found = values.get(top)
            is_held = (found.pop("bytes") if member and found else found) is not None
            yield {name: value for name, value in values.items() if member or name != top}, is_held


def _bytes_column(source: AnyPath, schema: pa.Schema) -> str | None:
    """Return the column that holds recordings; None: there is none.

    Raises:
        ManifestError: several do, and none is called as a column of paths is.
    """
    found = dict(_bytes_columns(schema))
    if has_path(found):
        return found[path_column([*found])]
    if len(found) > 1:
        raise ManifestError(f"{source} has recordings in several columns, {', '.join(found)}: call one of them audio")
    return next(iter(found.values()), None)


def _bytes_columns(schema: pa.Schema) -> Iterator[tuple[str, str]]:
    for name in schema.names:
        kind = schema.field(name).type
        if any(character in name for character in ":/[]."):
            continue
        if pa.types.is_struct(kind) and any(field.name == "bytes" and _is_bytes(field.type) for field in kind):
            yield name, f"{name}.bytes"
        elif _is_bytes(kind) and (has_path([name]) or name.lower() in ("bytes", "audio_bytes", "wav_bytes")):
            yield name, name


def _is_bytes(kind: Any) -> bool:
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind))


def _leaf(schema: pa.Schema, name: str) -> str:
    kind = schema.field(name).type
    is_named = pa.types.is_struct(kind) and any(field.name == "path" for field in kind)
    return f"{name}.path" if is_named else name


def _nulls(file: pq.ParquetFile, group: int, column: str) -> int | None:
    """Return how many values of a column are missing in a group of rows; None: that is not written down."""
    metadata = file.metadata.row_group(group)
    for index in range(metadata.num_columns):
        found = metadata.column(index)
        if found.path_in_schema == column and found.statistics is not None and found.statistics.has_null_count:
            return int(found.statistics.null_count)
    return None
