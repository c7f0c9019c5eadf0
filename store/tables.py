"""Parquet files that one command writes and others read: opened in one place, and refused where they are damaged."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from reseed.store.errors import ReseedError
from reseed.store.sealed import DamagedError, check_table


@dataclass(frozen=True)
class TableFile:
    """A kind of such files.

    Attributes:
        noun: what it is called, "a score file".
        command: what makes one, "reseed score".
        error: what is raised where a file is missing, damaged, not Parquet, or lacks a column.
    """

    noun: str
    command: str
    error: type[ReseedError]

    @contextmanager
    def open(self, path: Path) -> Iterator[pq.ParquetFile]:
        """Yield the file, once its digest is right; what is wrong with it later is refused in the same words."""
        try:
            check_table(path)
            # not `read_table`: it imports pandas, which takes a second
            with pq.ParquetFile(path, page_checksum_verification=True) as file:
                yield file
        except FileNotFoundError:
            raise self.error(f"{path} does not exist; make it with `{self.command}`") from None
        except DamagedError as error:
            again = f"remove it and make it again with `{self.command}` (of a run: `reseed run`)"
            raise self.error(f"{path} is damaged: {error}; {again}") from error
        except (OSError, KeyError, ValueError, pa.ArrowException) as error:
            raise self.error(f"{path} is not {self.noun} ({error}); make it with `{self.command}`") from error

    def read(self, path: Path, schema: pa.Schema) -> pa.Table:
        """Return the columns of a schema, in its types."""
        with self.open(path) as file:
            return self.columns(file, schema.names).select(schema.names).cast(schema).combine_chunks()

    def columns(self, file: pq.ParquetFile, names: Sequence[str]) -> pa.Table:
        """Return some columns of an opened file."""
        self.require(file, names)
        return file.read(list(names))

    def require(self, file: pq.ParquetFile, names: Sequence[str]) -> None:
        """Check that an opened file has some columns."""
        if missing := [name for name in names if name not in file.schema_arrow.names]:
            raise pa.ArrowInvalid(f"it lacks the column {', '.join(missing)}")
