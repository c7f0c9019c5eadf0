"""Which rows of a source become which rows of a store, decided from their names alone, before a vector is read.

Shapes: N rows of the source, U utterances, K rows per utterance (crops x views).
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from reseed.stages.common.prose import first_few
from reseed.store import Reject, StoreError

STAGE = "import"

Index = NDArray[np.int64]


@dataclass(frozen=True)
class Scan:
    """The names of all rows of a source: about 20 bytes a row, and each utterance id once.

    Attributes:
        utterance_ids: the distinct ids [U], as they first appear.
        utterance_N, view_N: positions in `utterance_ids` (-1: no id) and `views`.
        crop_N: crop numbers.
        views: the distinct views, as they first appear.
        schema: of the whole catalogue.
    """

    utterance_ids: pa.Array
    utterance_N: NDArray[np.integer[Any]]
    crop_N: NDArray[np.integer[Any]]
    view_N: NDArray[np.integer[Any]]
    views: list[str]
    schema: pa.Schema


@dataclass(frozen=True)
class ImportPlan:
    """What to take from a source, and in which order.

    Attributes:
        views, crops: of the store.
        rows: of the source, N.
        order: source rows to take, in the row order of the store: utterances as they first appear, crop, view.
        rejects: utterances that are not complete, and why.
        expected: utterances in the source; those planned and the rejects together.
    """

    views: list[str]
    crops: int
    rows: int
    order: Index
    rejects: list[Reject]
    expected: int

    @property
    def per_utterance(self) -> int:
        return self.crops * len(self.views)

    @cached_property
    def is_in_order(self) -> bool:
        """Whether the source can be read from front to back."""
        return bool((np.diff(self.order) > 0).all())


def scan(tables: Iterable[pa.Table], where: Path) -> Scan:
    """Read the names of all rows; `tables` are those of `Columns.catalogue`.

    Raises:
        StoreError: no rows, or columns whose types differ from place to place.
    """
    ids, views, crops, schema = [], [], [], pa.schema([])
    for table in tables:
        ids.append(table["utterance_id"].combine_chunks().dictionary_encode())
        views.append(table["view"].combine_chunks().dictionary_encode())
        crops.append(table["crop"].to_numpy())
        try:
            schema = pa.unify_schemas([schema, table.schema], promote_options="permissive")
        except pa.ArrowException as error:
            raise StoreError(f"{where}: columns change their type from row to row ({error}); make them alike") from None
    if not ids:
        raise StoreError(f"{where} holds no rows; there is nothing to import")
    utterance_ids, utterance_N = _coded(ids)
    named_views, view_N = _coded(views)
    return Scan(utterance_ids, utterance_N, np.concatenate(crops), view_N, named_views.to_pylist(), schema)


def make_plan(scanned: Scan, views: Iterable[str], where: Path) -> ImportPlan:
    """Plan the rows of a store: every utterance in all crops and views, or rejected.

    Args:
        views: the wanted order of views; others that the source holds follow as they first appear.

    Raises:
        StoreError: crops not numbered from 0, or not one complete utterance.
    """
    names = [name for name in dict.fromkeys([*views, *scanned.views]) if name in scanned.views]
    crops = _count_crops(scanned.crop_N, where)
    rows = np.flatnonzero(scanned.utterance_N >= 0)
    rank_V = np.array([names.index(name) for name in scanned.views], np.int64)
    cell = _cells(scanned, rank_V, rows, len(names), crops)
    order = np.argsort(cell, kind="stable")
    keep, rejects = _complete(cell[order], scanned.utterance_ids, names, crops)
    missing = np.flatnonzero(scanned.utterance_N < 0)
    rejects += [Reject(f"row {row}", STAGE, "has no utterance id") for row in missing.tolist()]
    if not keep.any():
        raise StoreError(f"{where}: no utterance can be stored; the first, {_shown(rejects[0])}")
    return ImportPlan(
        names, crops, len(scanned.crop_N), rows[order[keep]], rejects, len(scanned.utterance_ids) + len(missing)
    )


def _coded(chunks: list[pa.DictionaryArray]) -> tuple[pa.Array, NDArray[np.integer[Any]]]:
    joined = pa.chunked_array(chunks).unify_dictionaries()
    codes = [pc.fill_null(chunk.indices, -1).to_numpy() for chunk in joined.chunks]
    return joined.chunk(0).dictionary, np.concatenate(codes)


def _count_crops(crop_N: NDArray[np.integer[Any]], where: Path) -> int:
    found = np.unique(crop_N)
    if not np.array_equal(found, np.arange(len(found))):
        shown = ", ".join(map(str, found[:5].tolist()))
        raise StoreError(f"{where}: crops are numbered {shown}{', ...' * (len(found) > 5)}; number them from 0")
    return len(found)


def _cells(scanned: Scan, rank_V: Index, rows: Index, n_views: int, crops: int) -> Index:
    """Return one number for each row, which sorts by utterance, crop and view: U x K cells, each to be filled once."""
    utterance = scanned.utterance_N[rows].astype(np.int64)
    cells: Index = (utterance * crops + scanned.crop_N[rows]) * n_views + rank_V[scanned.view_N[rows]]
    return cells


def _complete(cell: Index, ids: pa.Array, views: list[str], crops: int) -> tuple[NDArray[np.bool_], list[Reject]]:
    """Say of sorted cells which rows belong to utterances that fill each of their cells once; reject the others."""
    per_utterance = crops * len(views)
    utterance = cell // per_utterance
    is_bad = np.bincount(utterance, minlength=len(ids)) != per_utterance
    is_bad[utterance[1:][np.diff(cell) == 0]] = True
    rejects = []
    for bad in np.flatnonzero(is_bad).tolist():
        mine = slice(*np.searchsorted(utterance, [bad, bad + 1]))
        filled = np.bincount(cell[mine] % per_utterance, minlength=per_utterance)
        rejects.append(Reject(ids[bad].as_py(), STAGE, _reason(filled, views)))
    return ~is_bad[utterance], rejects


def _reason(filled: Index, views: list[str]) -> str:
    """Say which crops and views [K] an utterance has more than once or, failing that, which it lacks."""
    is_repeated = bool((filled > 1).any())
    at_fault = np.flatnonzero(filled > 1 if is_repeated else filled == 0).tolist()
    named = first_few(cell_name(cell, views) for cell in at_fault)
    return f"has {named} more than once" if is_repeated else f"lacks {named}"


def cell_name(cell: int, views: list[str]) -> str:
    """Return crop and view in words, of the K of an utterance the one at `cell`."""
    return f"crop {cell // len(views)} view {views[cell % len(views)]}"


def _shown(reject: Reject) -> str:
    return f"{reject.utterance_id[:80]!r}, {reject.reason}"
