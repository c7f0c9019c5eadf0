"""`all-pairs`: every pair of the utterances of a store -> neighbours.parquet, score histograms and their EER.

Shapes: U utterances, D embedding dimension, K neighbours, H bins.
"""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from reseed.stages.common.speakers import speaker_codes
from reseed.stages.common.terminal import lines
from reseed.stages.scoring.all_pairs import BINS, PairScan, histogram_eer, histogram_quantiles, scan_pairs
from reseed.stages.scoring.cosine import utterance_embeddings
from reseed.stages.search.search import is_worth_an_index, search_in, without
from reseed.store import EmbeddingStore, ScoringError, StoreError
from reseed.store.outputs import check_apart, check_table_output
from reseed.store.sealed import table_writer
from reseed.store.url import AnyPath

NEIGHBOURS_SCHEMA = pa.schema(
    {
        "utterance_id": pa.string(),
        "rank": pa.int32(),
        "neighbour_id": pa.string(),
        "score": pa.float32(),
        "same_speaker": pa.bool_(),
    }
)
_QUANTILES = (0.01, 0.5, 0.99)
_BLOCK_ELEMENTS = 1 << 21  # of vectors turned to unit length at a time: 16 MB in double precision
_BLOCK_U = 8192


@dataclass(frozen=True)
class AllPairs:
    """What all pairs of a store show.

    Attributes:
        pairs: of different utterances, each counted once.
        same_speaker, different_speaker: those of known speakers; the rest are in no histogram.
        eer: an upper bound, from scores known by their bin; a fraction. None where a class is missing.
        eer_resolution: how far below it the EER may lie at most.
        bins: of equal width over cosines from -1 to 1.
        same_quantiles, different_quantiles: cosines at 1, 50 and 99 % of each class; empty where it has no pair.
    """

    store: AnyPath
    view: str
    neighbours: Path
    utterances: int
    top: int
    pairs: int
    same_speaker: int
    different_speaker: int
    eer: float | None
    eer_resolution: float | None
    bins: int
    same_quantiles: list[float]
    different_quantiles: list[float]

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON."""
        return {**asdict(self), "store": str(self.store), "neighbours": str(self.neighbours)}

    def summary(self) -> str:
        """Return it in a few lines."""
        counted = f"{self.store}, {self.view}: {self.pairs:,} pairs of {self.utterances:,} utterances"
        kinds = f"{self.same_speaker:,} of one speaker, {self.different_speaker:,} of two"
        named = [("one speaker", self.same_quantiles), ("two speakers", self.different_quantiles)]
        told = [f"{counted} ({kinds})"]
        if self.eer is not None and self.eer_resolution is not None:
            told.append(f"EER {self.eer:.3%}, at most {self.eer_resolution:.3%} too high ({self.bins} bins)")
        else:
            told.append("no EER: it needs pairs of one speaker and of two, by the speakers the store names")
        told += [f"cosines of {who} at 1, 50, 99 %: {_listed(values)}" for who, values in named if values]
        return lines([*told, f"the {self.top} nearest of each: {self.neighbours}"])


def all_pairs(*, store: AnyPath, view: str, top: int, neighbours: Path, device: str = "cpu") -> AllPairs:
    """Score every pair of utterances of one view by cosine (mean of crops), and keep the nearest of each.

    The matrix of all scores is never held: memory is that of the vectors in single precision, their ids and
    `top` neighbours of each.

    Args:
        neighbours: written; one row per utterance and rank; same_speaker is null where a speaker is unknown.

    Raises:
        StoreError: the store or the view is missing.
        ScoringError: fewer than two utterances, or a vector without direction.
    """
    check_apart([neighbours], [store], ScoringError)
    check_table_output(neighbours, "a file of neighbours", NEIGHBOURS_SCHEMA, error=ScoringError)
    source = EmbeddingStore(store)
    if view not in source.views:
        raise StoreError(f"{store} has the views {', '.join(source.views)}, not {view!r}; name one of them")
    unit_UD = _unit_vectors(source, view)
    ids, speaker_U = source.utterance_ids(), speaker_codes(source)
    scan = scan_pairs(unit_UD, speaker_U, top, device)
    _write(neighbours, scan, ids, speaker_U)
    same, different = int(scan.same_H.sum()), int(scan.different_H.sum())
    low, high = histogram_eer(scan.same_H, scan.different_H) if same and different else (None, None)
    return AllPairs(
        store=store,
        view=view,
        neighbours=neighbours,
        utterances=len(ids),
        top=scan.neighbour_UK.shape[1],
        pairs=len(ids) * (len(ids) - 1) // 2,
        same_speaker=same,
        different_speaker=different,
        eer=high,
        eer_resolution=None if high is None or low is None else high - low,
        bins=BINS,
        same_quantiles=histogram_quantiles(scan.same_H, _QUANTILES),
        different_quantiles=histogram_quantiles(scan.different_H, _QUANTILES),
    )


@dataclass(frozen=True)
class NearestOfAll:
    """The nearest of each utterance of a store, which are all that is looked for.

    Attributes:
        recall: share of the 10 nearest that the index finds, as measured when it was made; None: found exactly.
    """

    store: AnyPath
    view: str
    neighbours: Path
    utterances: int
    nearest: int
    recall: float | None
    how: str

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON."""
        return {**asdict(self), "store": str(self.store), "neighbours": str(self.neighbours)}

    def summary(self) -> str:
        """Return it in a line."""
        found = f"the {self.nearest} nearest of each of {self.utterances:,} utterances, {self.how}"
        return f"{self.store}, {self.view}: {found}: {self.neighbours}"


def nearest_of_all(*, store: AnyPath, view: str, nearest: int, neighbours: Path) -> NearestOfAll:
    """Find the nearest of each utterance of one view; of a large store by an index, which is made where it is missing.

    Memory is flat, beside the ids and the index.

    Args:
        neighbours: written, as by `all_pairs`; fewer rows of an utterance of which the index has fewer candidates.

    Raises:
        StoreError: the store or the view is missing.
        ScoringError: fewer than two utterances.
    """
    check_apart([neighbours], [store], ScoringError)
    check_table_output(neighbours, "a file of neighbours", NEIGHBOURS_SCHEMA, error=ScoringError)
    source = EmbeddingStore(store)
    utterances = source.header.stored
    if utterances < 2:
        raise ScoringError(f"{store} has {utterances} utterances; neighbours need two at least")
    search = search_in(source, view, index=is_worth_an_index(source) or None)
    ids, codes_U, first = pa.array(source.utterance_ids(), pa.string()), speaker_codes(source), 0
    with table_writer(neighbours, NEIGHBOURS_SCHEMA, compression="zstd") as writer:
        for unit_UD in search.blocks(_BLOCK_U):
            rows_U = np.arange(first, first + len(unit_UD))
            found_UK, cosine_UK = without(rows_U, *search.nearest(unit_UD, nearest + 1))
            writer.write_table(_table(ids, codes_U, rows_U, found_UK, cosine_UK))
            first += len(unit_UD)
    most = min(nearest, utterances - 1)
    return NearestOfAll(store, view, neighbours, utterances, most, search.recall, search.in_words())


def _unit_vectors(source: EmbeddingStore, view: str) -> NDArray[np.float32]:
    """Return the unit vectors of all utterances, [U, D], a few at a time in double precision."""
    index, crops = source.views.index(view), source.crops
    unit_UD = np.empty((len(source) // len(source.views) // crops, source.dim), np.float32)
    step, done = max(1, _BLOCK_ELEMENTS // (crops * source.dim)), 0
    for vectors_UCVD in source.utterance_blocks():
        for first in range(0, len(vectors_UCVD), step):
            part_UCD = vectors_UCVD[first : first + step, :, index]
            try:
                unit_UD[done : done + len(part_UCD)] = utterance_embeddings(part_UCD)
            except ScoringError as error:
                raise ScoringError(f"{source.path}, view {view}, from utterance {done} on: {error}") from error
            done += len(part_UCD)
    return unit_UD


def _write(path: Path, scan: PairScan, ids: list[str], speaker_U: NDArray[np.int64]) -> None:
    id_U = pa.array(ids, pa.string())
    with table_writer(path, NEIGHBOURS_SCHEMA, compression="zstd") as writer:
        for first in range(0, len(ids), _BLOCK_U):
            part = slice(first, first + _BLOCK_U)
            rows_U = np.arange(first, min(first + _BLOCK_U, len(ids)))
            writer.write_table(_table(id_U, speaker_U, rows_U, scan.neighbour_UK[part], scan.score_UK[part]))


def _table(
    id_U: pa.Array,
    speaker_U: NDArray[np.int64],
    rows_A: NDArray[np.int64],
    neighbour_AK: NDArray[np.int64],
    score_AK: NDArray[np.float32],
) -> pa.Table:
    """Return the rows of some utterances A; a neighbour of a negative number is none."""
    top = neighbour_AK.shape[1]
    is_one, rank = neighbour_AK.ravel() >= 0, np.tile(np.arange(1, top + 1, dtype=np.int32), len(rows_A))
    row, neighbour = np.repeat(rows_A, top)[is_one], neighbour_AK.ravel()[is_one]
    unknown = (speaker_U[row] < 0) | (speaker_U[neighbour] < 0)
    columns = [
        id_U.take(pa.array(row)),
        pa.array(rank[is_one]),
        id_U.take(pa.array(neighbour)),
        pa.array(score_AK.ravel()[is_one]),
        pa.array(speaker_U[row] == speaker_U[neighbour], mask=unknown),
    ]
    return pa.table(columns, schema=NEIGHBOURS_SCHEMA)


def _listed(values: list[float]) -> str:
    return ", ".join(f"{value:.3f}" for value in values)
