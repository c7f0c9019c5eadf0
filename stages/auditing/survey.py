"""The first pass: what every block says of its vectors, of their drift and of who speaks, put together.

Shapes: U utterances, C crops, V views, R rows, D embedding dimension, H bins.
"""

from collections import Counter
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from reseed.stages.auditing.blocks import Place, Rows, Source, hashed_ids, hashed_rows
from reseed.stages.auditing.shards import Moments, Sketch, sketch
from reseed.stages.auditing.tally import Tally, add_tallies
from reseed.stages.common.execution import Execute

NORM_EDGES = np.logspace(-46, 46, 73_601)  # 0.3 % wide, over all that single precision holds
COSINE_EDGES = np.linspace(-1, 1, 201)
SNR_STEP_DB = 5.0

_KEPT = 10  # of the worst rows of each view, and of rows without direction
_SHOWN = 3000  # points of the projection, at most
_SPEAKER_ELEMENTS = 1 << 26  # of the sums over speakers: 512 MB

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Row:
    """One row among the worst, and what was added to it."""

    value: float
    place: Place
    snr_db: float | None = None
    noise_ids: tuple[str, ...] = ()
    rir_id: str | None = None


@dataclass(frozen=True)
class Point:
    """One row that the projection shows."""

    vector_D: NDArray[np.float32]
    place: Place
    speaker_id: str | None
    snr_db: float | None


@dataclass
class Survey:
    """What the first pass has found.

    Attributes:
        not_finite, zero: how many rows are not finite, and how many are zero.
        no_direction: the first of both.
        norm_H: how many rows fall between `NORM_EDGES`.
        shortest, longest: rows by norm.
        shards: moments of the unit vectors of each shard that is not wholly seen yet.
        sketches: the main directions of those that are.
        value_sum_D, value_squares_D: over finite rows, as stored.
        cosine_VH: cosines with the clean vector, by view and between `COSINE_EDGES`.
        cells: (view, SNR to `SNR_STEP_DB`) -> those cosines.
        farthest: the rows with the lowest cosines, by view.
        whole, spoken: moments of the utterances' unit vectors: of all, and of those whose speaker is known.
        speakers: speaker -> (utterances, sum of their unit vectors [D]).
        misplaced: rows whose view and crop are not those that the order of rows declares.
        unplaced: utterances of speakers for whom there was no memory left.
        id_hash, speaker_hash, vector_hash: 64 bits of each utterance's id, of its speaker's (0 where unknown) and of
            its clean vectors, by block: [U].
        points: what the projection shows.
    """

    dim: int
    views: int
    rows: int = 0
    not_finite: int = 0
    zero: int = 0
    no_direction: list[Place] = field(default_factory=list)
    not_finite_by_shard: dict[int, int] = field(default_factory=dict)
    norm_H: NDArray[np.int64] = field(default_factory=lambda: np.zeros(len(NORM_EDGES) - 1, np.int64))
    shortest: list[Row] = field(default_factory=list)
    longest: list[Row] = field(default_factory=list)
    shards: dict[int, Moments] = field(default_factory=dict)
    sketches: dict[int, Sketch] = field(default_factory=dict)
    cells: dict[tuple[int, float | None], Tally] = field(default_factory=dict)
    farthest: dict[int, list[Row]] = field(default_factory=dict)
    speakers: dict[str, tuple[int, Floats]] = field(default_factory=dict)
    unplaced: int = 0
    misplaced: int = 0
    id_hash: dict[int, NDArray[np.uint64]] = field(default_factory=dict)
    speaker_hash: dict[int, NDArray[np.uint64]] = field(default_factory=dict)
    vector_hash: dict[int, NDArray[np.uint64]] = field(default_factory=dict)
    points: list[Point] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.value_sum_D, self.value_squares_D = np.zeros(self.dim), np.zeros(self.dim)
        self.cosine_VH = np.zeros((self.views, len(COSINE_EDGES) - 1), np.int64)
        self.whole, self.spoken = Moments(self.dim), Moments(self.dim)

    def add(self, other: "Survey") -> None:
        """Take in what another block has found."""
        self.rows += other.rows
        self.not_finite += other.not_finite
        self.zero += other.zero
        self.no_direction = sorted([*self.no_direction, *other.no_direction])[:_KEPT]
        for shard, count in other.not_finite_by_shard.items():
            self.not_finite_by_shard[shard] = self.not_finite_by_shard.get(shard, 0) + count
        self.norm_H += other.norm_H
        self.cosine_VH += other.cosine_VH
        self.value_sum_D += other.value_sum_D
        self.value_squares_D += other.value_squares_D
        self.shortest = lowest([*self.shortest, *other.shortest])
        self.longest = lowest([*self.longest, *other.longest], reverse=True)
        for shard, moments in other.shards.items():
            self.shards.setdefault(shard, Moments(self.dim)).add(moments)
        add_tallies(self.cells, other.cells)
        for view, rows in other.farthest.items():
            self.farthest[view] = lowest([*self.farthest.get(view, []), *rows])
        self.whole.add(other.whole)
        self.spoken.add(other.spoken)
        self._add_speakers(other)
        self.misplaced += other.misplaced
        self.id_hash.update(other.id_hash)
        self.speaker_hash.update(other.speaker_hash)
        self.vector_hash.update(other.vector_hash)
        self.points += other.points

    @cached_property
    def ids(self) -> NDArray[np.uint64]:
        """Hashes of all ids, in the order of the store: [U]. This and the next two once the pass is over."""
        return in_order(self.id_hash)

    @cached_property
    def labels(self) -> NDArray[np.uint64]:
        """Hashes of all speakers, 0 where unknown: [U]."""
        return in_order(self.speaker_hash)

    @cached_property
    def bits(self) -> NDArray[np.uint64]:
        """Hashes of all clean vectors: [U]."""
        return in_order(self.vector_hash)

    def _add_speakers(self, other: "Survey") -> None:
        self.unplaced += other.unplaced
        for name, (count, sum_D) in other.speakers.items():
            known = self.speakers.get(name)
            if known is None and len(self.speakers) * self.dim >= _SPEAKER_ELEMENTS:
                self.unplaced += count
            else:
                self.speakers[name] = (count, sum_D) if known is None else (known[0] + count, known[1] + sum_D)


@dataclass(frozen=True)
class Surveyor:
    """Surveys a block by its number, in any process."""

    source: Source

    def __call__(self, number: int) -> Survey:
        rows, source = self.source.read(number), self.source
        survey = Survey(source.dim, len(source.views), rows=rows.table.num_rows)
        _survey_norms(survey, rows, source.blocks[number].shard)
        _survey_drift(survey, rows)
        _survey_speakers(survey, rows)
        judged = np.ascontiguousarray(rows.vectors_UCVD[:, :, source.judged]).reshape(len(rows.ids), -1)
        survey.id_hash[number] = hashed_ids(rows.ids)
        survey.speaker_hash[number] = hashed_ids(rows.speakers)
        survey.vector_hash[number] = hashed_rows(judged)
        survey.points = _points(rows)
        survey.misplaced = _misplaced(rows)
        return survey


def survey(source: Source, execute: Execute) -> Survey:
    """Pass over a store once."""
    total, missing = Survey(source.dim, len(source.views)), Counter(block.shard for block in source.blocks)
    for found in execute(Surveyor(source), range(len(source.blocks))):
        total.add(found)
        for shard in found.shards:
            missing[shard] -= 1
            if not missing[shard]:
                total.sketches[shard] = sketch(total.shards.pop(shard))
    return total


def in_order(by_block: dict[int, NDArray[np.uint64]]) -> NDArray[np.uint64]:
    """Return what blocks say of their utterances, in the order of the store."""
    if not by_block:
        return np.empty(0, np.uint64)
    return np.concatenate([by_block[number] for number in sorted(by_block)])


def lowest(rows: list[Row], reverse: bool = False) -> list[Row]:
    """Return the few rows of the lowest values (or, reversed, of the highest), the same whatever order they came in."""
    return sorted(rows, key=lambda row: (-row.value if reverse else row.value, row.place))[:_KEPT]


def binned(snr_db: NDArray[np.float32]) -> NDArray[np.float32]:
    """Round SNRs to the middle of their bins; NaN where nothing was added."""
    bins: NDArray[np.float32] = np.round(snr_db / SNR_STEP_DB) * np.float32(SNR_STEP_DB)
    return bins


def _survey_norms(survey: Survey, rows: Rows, shard: int) -> None:
    norm_R, usable_R = rows.norm_UCV.ravel(), rows.usable_UCV.ravel()
    finite_R = np.isfinite(norm_R)
    survey.not_finite = int((~finite_R).sum())
    survey.zero = int((finite_R & ~usable_R).sum())
    survey.no_direction = [rows.place(row) for row in np.flatnonzero(~usable_R)[:_KEPT].tolist()]
    if survey.not_finite:
        survey.not_finite_by_shard[shard] = survey.not_finite
    kept_R = np.flatnonzero(usable_R)
    survey.norm_H = np.histogram(norm_R[kept_R].clip(NORM_EDGES[0], NORM_EDGES[-1]), NORM_EDGES)[0]
    order = kept_R[np.argsort(norm_R[kept_R], kind="stable")]
    named = lambda chosen: [Row(float(norm_R[row]), rows.place(row)) for row in chosen.tolist()]  # noqa: E731
    survey.shortest, survey.longest = named(order[:_KEPT]), named(order[: -_KEPT - 1 : -1])
    flat_RD = rows.vectors_UCVD.reshape(-1, survey.dim)[kept_R]
    survey.value_sum_D = flat_RD.sum(axis=0, dtype=np.float64)
    survey.value_squares_D = np.einsum("rd,rd->d", flat_RD, flat_RD, dtype=np.float64)
    survey.shards[shard] = Moments.of(rows.unit_UCVD.reshape(-1, survey.dim)[kept_R])
    survey.whole = Moments.of(rows.utterance_UD[rows.whole_U])


def _survey_drift(survey: Survey, rows: Rows) -> None:
    source = rows.source
    if source.clean is None:
        return
    for view in range(survey.views):
        cosine_UC, snr_UC = rows.cosine_UCV[:, :, view], rows.snr_UCV[:, :, view]
        known = np.isfinite(cosine_UC)
        if view == source.clean or not known.any():
            continue
        survey.cosine_VH[view] = np.histogram(cosine_UC[known].clip(-1, 1), COSINE_EDGES)[0]
        bins = binned(snr_UC[known])
        for bin_db in np.unique(bins).tolist():
            drawn = not np.isnan(bin_db)
            chosen = cosine_UC[known][bins == bin_db if drawn else np.isnan(bins)]
            survey.cells[view, bin_db if drawn else None] = Tally.of(chosen)
        flat = np.where(known, cosine_UC, np.inf).ravel()
        found = []
        for place in np.argsort(flat, kind="stable")[: min(_KEPT, int(known.sum()))].tolist():
            row, snr = place * survey.views + view, float(snr_UC.ravel()[place])
            added = None if np.isnan(snr) else snr
            found.append(Row(float(flat[place]), rows.place(row), added, *rows.added(row)))
        survey.farthest[view] = found


def _survey_speakers(survey: Survey, rows: Rows) -> None:
    names = np.array([name if whole else None for name, whole in zip(rows.speakers, rows.whole_U, strict=True)], object)
    known = np.flatnonzero([name is not None for name in names])
    if not known.size:
        return
    survey.spoken = Moments.of(rows.utterance_UD[known])
    unique, code = np.unique(names[known].astype(str), return_inverse=True)
    order = np.argsort(code, kind="stable")
    starts = np.searchsorted(code[order], np.arange(len(unique)))
    added = np.add.reduceat(rows.utterance_UD[known[order]].astype(np.float64), starts, axis=0)
    counts = np.bincount(code)
    survey.speakers = dict(zip(unique.tolist(), zip(counts.tolist(), added, strict=True), strict=True))


def _misplaced(rows: Rows) -> int:
    source, utterances = rows.source, len(rows.ids)
    views = np.array(rows.table["view"].to_pylist(), object)
    crops = rows.table["crop"].to_numpy()
    right = (views == np.tile(np.array(source.views, object), utterances * source.crops)) & (
        crops == np.tile(np.repeat(np.arange(source.crops), len(source.views)), utterances)
    )
    return int((~right).sum())


def _points(rows: Rows) -> list[Point]:
    """Choose utterances evenly over the whole store, all their views, one crop of each."""
    source = rows.source
    every = -(-source.utterances * len(source.views) // _SHOWN)
    first = int(hashed_ids(rows.ids[:1])[0] % np.uint64(every)) if rows.ids else 0
    chosen = [place for place in range(first, len(rows.ids), every) if rows.usable_UCV[place, 0].all()]
    points = []
    for place in chosen:
        for view, name in enumerate(source.views):
            snr = float(rows.snr_UCV[place, 0, view])
            points.append(
                Point(
                    rows.unit_UCVD[place, 0, view].copy(),
                    Place(rows.ids[place], name, 0),
                    rows.speakers[place],
                    None if np.isnan(snr) else snr,
                )
            )
    return points
