"""What passes between a store and a foreign format: batches of rows with their vectors, and a header about them all.

Shapes: D embedding dimension, N rows of a batch.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Literal, Protocol, TypeVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pydantic import ValidationError

from reseed.stages.common.section import Section
from reseed.store import StoreError
from reseed.store.bounded import lines
from reseed.store.sealed import parse_sealed

BATCH_ROWS = 16_384  # 32 MiB of 512-d float32: bounds the memory of every reader and writer here

_NAME, _VERSION = "reseed-export", 1

Vectors = NDArray[np.floating[Any]]
Item = TypeVar("Item")


@dataclass(frozen=True)
class Batch:
    """Some rows of a catalogue and their vectors [N, D]."""

    rows: pa.Table
    vectors: Vectors

    def __len__(self) -> int:
        return len(self.vectors)

    def take(self, index: NDArray[np.integer[Any]]) -> "Batch":
        """Return the rows at the positions `index`, in its order."""
        return Batch(self.rows.take(pa.array(index)), self.vectors[index])

    def cut(self, start: int, stop: int) -> "Batch":
        """Return rows `start` to `stop`, without a copy."""
        return Batch(self.rows.slice(start, stop - start), self.vectors[start:stop])


class ExportedView(Section):
    """A view by its name, and the recipe it was rendered by."""

    name: str
    recipe: Any


class ExportHeader(Section):
    """What a store says of itself, carried by its export. No path of the machine is among it: exports travel.

    Attributes:
        kind: name in the table of formats.
        rows: vectors exported.
        dim: embedding dimension D.
        dtype: of the store's vectors; an export may hold a wider type.
        views: the exported views, in row order.
        crops: crops per utterance.
        space: the embedding space.
        fingerprint: of the exported store.
        inputs: what the exported store was declared to be made from.
        lineage: role and digest of what the exported store was derived from.
        files: SHA-256 of the files of an exported directory, by name.
    """

    format: Literal["reseed-export"] = "reseed-export"
    version: Literal[1] = 1
    kind: str
    rows: int
    dim: int
    dtype: str
    views: list[ExportedView]
    crops: int
    space: str
    fingerprint: str
    inputs: dict[str, Any]
    lineage: list[dict[str, str]]
    files: dict[str, str] = {}


class Reader(Protocol):
    """A source of embeddings, in the order in which it holds them.

    Attributes:
        header: what the exporting store said of itself; None where the source is not an export of reseed's.
        files: every file whose bytes decide what is read.
    """

    header: ExportHeader | None
    files: list[Path]

    def rows(self) -> Iterator[pa.Table]:
        """Yield the catalogue alone, under the source's own names; vectors are not read if that can be helped."""
        ...

    def batches(self) -> Iterator[Batch]:
        """Yield the same rows with their vectors, in batches that bound the memory.

        Raises:
            StoreError: a file that cannot be read, or vectors of unlike dimensions.
        """
        ...


@dataclass(frozen=True)
class Format:
    """One way to write embeddings for others and to read theirs.

    Attributes:
        write: (output, header, batches): writes `output` whole or not at all.
        read: (source, name of the column of vectors) -> a Reader.
    """

    write: Callable[[Path, ExportHeader, Iterator[Batch]], None]
    read: Callable[[Path, str], Reader]


class Dimension:
    """The dimension of a source's vectors: the first one sets it, the others must have it."""

    def __init__(self, where: Path) -> None:
        self._where = where
        self._first: tuple[int, str] | None = None

    @property
    def dim(self) -> int:
        """The dimension D; raises StoreError where no vector has been met."""
        if self._first is None:
            raise StoreError(
                f"{self._where} begins with {BATCH_ROWS} rows without a vector; import those that have one"
            )
        return self._first[0]

    def check(self, dim: int, name: str) -> None:
        """Raise StoreError if the vector called `name` has not the dimension of the first; names both."""
        self._first = self._first or (dim, name)
        if dim != self._first[0]:
            raise StoreError(
                f"{self._where}: {name} has {dim} dimensions, {self._first[1]} has {self._first[0]}; "
                "a store holds one dimension, so import them apart"
            )

    def vector(self, array: NDArray[Any], name: str) -> NDArray[Any]:
        """Return `array` as a vector [D] of the source's dimension; [1, D] counts as one.

        Raises:
            StoreError: a matrix, something that is not numbers, or another dimension.
        """
        if array.ndim not in (1, 2) or array.shape[:-1] not in ((), (1,)) or array.dtype.kind not in "fiu":
            raise StoreError(
                f"{self._where}: {name} holds {array.dtype} {list(array.shape)}, not one vector of numbers"
            )
        self.check(array.shape[-1], name)
        return array.reshape(-1)


def chunked(items: Iterable[Item]) -> Iterator[list[Item]]:
    """Yield lists of `BATCH_ROWS` items; the last may be shorter."""
    rest = iter(items)
    while chunk := list(islice(rest, BATCH_ROWS)):
        yield chunk


def rechunked(batches: Iterable[Batch], rows: int) -> Iterator[Batch]:
    """Yield the same rows in batches of exactly `rows`; the last may be shorter. Only what spans batches is copied."""
    held: list[Batch] = []
    wanted = rows
    for batch in batches:
        start = 0
        while len(batch) - start >= wanted:
            held.append(batch.cut(start, start + wanted))
            start += wanted
            yield _joined(held)
            held, wanted = [], rows
        if start < len(batch):
            held.append(batch.cut(start, len(batch)))
            wanted -= len(batch) - start
    if held:
        yield _joined(held)


def numbered_lines(path: Path) -> Iterator[tuple[int, str]]:
    """Yield the lines of a UTF-8 text with their numbers, from 1; raises StoreError where it is none."""
    try:
        yield from enumerate(lines(path), start=1)
    except UnicodeDecodeError as error:
        raise StoreError(f"{path} is not a text in UTF-8 ({error.reason} at byte {error.start}); convert it") from None
    except (OSError, ValueError) as error:
        raise StoreError(f"{path} cannot be read ({error}); give a text of lines") from None


def parse_header(text: str | bytes, where: Path) -> ExportHeader | None:
    """Return the header in a JSON text; None where it is another program's.

    Raises:
        StoreError: it is cut, altered or of another version.
    """
    try:
        raw = parse_sealed(text if isinstance(text, str) else text.decode())
        if not isinstance(raw, dict) or raw.get("format") != _NAME:
            return None
        if raw.get("version") != _VERSION:
            raise StoreError(f"{where}: export version {raw.get('version')!r}; this reseed reads {_VERSION}")
        return ExportHeader.model_validate(raw)
    except ValidationError as error:
        first = error.errors()[0]
        fault = f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
    except ValueError as error:
        fault = str(error)
    raise StoreError(f"{where}: what the export says of itself is damaged ({fault}); export the store again")


def _joined(batches: list[Batch]) -> Batch:
    if len(batches) == 1:
        return batches[0]
    return Batch(
        pa.concat_tables([batch.rows for batch in batches]), np.concatenate([batch.vectors for batch in batches])
    )
