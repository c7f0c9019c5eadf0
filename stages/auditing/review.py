"""The second pass: each utterance against its speaker, each sound against what is usual at its SNR.

Vectors are centred and whitened within speakers first (within-class covariance normalisation; Hatch et al., Interspeech
2006), so that what differs between recordings of one person counts for little.

Shapes: U utterances, D embedding dimension, K speakers, W words of a signature.
"""

from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from reseed.stages.auditing.blocks import Place, Rows, Source, unit
from reseed.stages.auditing.duplicates import signatures
from reseed.stages.auditing.sharing import read, shared
from reseed.stages.auditing.survey import COSINE_EDGES, Floats, Survey, binned
from reseed.stages.auditing.tally import Tally, add_tallies
from reseed.stages.common.execution import Execute

MARGIN_EDGES = np.linspace(-2, 2, 801)
FEWEST = 3  # utterances of a speaker who is judged

KEPT = 200  # of the utterances nearest to other speakers
_RIDGE = 1.0  # times the mean eigenvalue, added to the covariance before it is inverted
_SOUNDS = 50_000  # that are told apart: babble is as many as there are utterances
_PRODUCTS = 1 << 23  # similarities with speakers in memory
_ALL_PRODUCTS = 4e10  # of all utterances with all speakers; beyond, only the doubtful of each block are compared
_DOUBTFUL = 256


@dataclass(frozen=True)
class Doubtful:
    """An utterance that lies nearer to another speaker than to its own: cosines with both."""

    utterance_id: str
    speaker_id: str
    other_id: str
    own: float
    other: float

    @property
    def margin(self) -> float:
        return self.own - self.other


@dataclass
class Review:
    """What the second pass has found.

    Attributes:
        margin_H: own less nearest other speaker, between `MARGIN_EDGES`; empty where not all were compared.
        own_H: cosine with the rest of the own speaker, between `COSINE_EDGES`.
        doubtful: the utterances of the lowest margins.
        energy: speaker -> sum of the squared lengths of its whitened vectors.
        noises, rooms: id -> cosines with the clean vector less what is usual at that view and SNR.
        kept: id -> cosines themselves, of noises.
        heard: id -> a row with that noise or room.
        signatures: of each block's utterances [U, W], where duplicates are found by hashing.
    """

    margin_H: NDArray[np.int64] = field(default_factory=lambda: np.zeros(len(MARGIN_EDGES) - 1, np.int64))
    own_H: NDArray[np.int64] = field(default_factory=lambda: np.zeros(len(COSINE_EDGES) - 1, np.int64))
    doubtful: list[Doubtful] = field(default_factory=list)
    energy: dict[str, float] = field(default_factory=dict)
    noises: dict[str, Tally] = field(default_factory=dict)
    kept: dict[str, Tally] = field(default_factory=dict)
    rooms: dict[str, Tally] = field(default_factory=dict)
    heard: dict[str, Place] = field(default_factory=dict)
    signatures: dict[int, NDArray[np.uint64]] = field(default_factory=dict)

    def add(self, other: "Review") -> None:
        """Take in what another block has found."""
        self.margin_H += other.margin_H
        self.own_H += other.own_H
        self.doubtful = sorted([*self.doubtful, *other.doubtful], key=lambda d: (d.margin, d.utterance_id))[:KEPT]
        for name, energy in other.energy.items():
            self.energy[name] = self.energy.get(name, 0.0) + energy
        for what in ("noises", "kept", "rooms"):
            add_tallies(getattr(self, what), getattr(other, what), most=_SOUNDS)
        for name, place in other.heard.items():
            if name in self.heard or len(self.heard) < 2 * _SOUNDS:
                self.heard[name] = min(place, self.heard.get(name, place))
        self.signatures.update(other.signatures)


@dataclass(frozen=True)
class Whitened:
    """Speakers in the whitened space.

    Attributes:
        mean_D, whiten_DD: of utterances; y = (x - mean) @ whiten.
        names: speakers of `FEWEST` utterances or more.
        sum_KD, count_K: of their whitened vectors.
    """

    mean_D: NDArray[np.float32]
    whiten_DD: NDArray[np.float32]
    names: list[str]
    sum_KD: NDArray[np.float32]
    count_K: NDArray[np.int64]

    @cached_property
    def number(self) -> dict[str, int]:
        """Speaker -> its row."""
        return {name: place for place, name in enumerate(self.names)}

    @cached_property
    def centre_KD(self) -> NDArray[np.float32]:
        """The direction of each."""
        return unit(self.sum_KD)


def whitened(survey: Survey) -> Whitened:
    """Whiten by the covariance within speakers, or, where labels are missing, only centre."""
    mean_D, several = survey.whole.mean_D, {k: v for k, v in survey.speakers.items() if v[0] > 1}
    names = sorted(name for name, (count, _) in several.items() if count >= FEWEST)
    whiten_DD = np.eye(survey.dim)
    if names and not survey.unplaced:  # else not all sums are known
        whiten_DD = whitening(within_scatter(survey), survey.spoken.count - len(survey.speakers))
    sums = [(several[name][1] - several[name][0] * mean_D) @ whiten_DD for name in names]
    return Whitened(
        mean_D.astype(np.float32),
        whiten_DD.astype(np.float32),
        names,
        np.array(sums, np.float32).reshape(len(names), survey.dim),
        np.array([several[name][0] for name in names], np.int64),
    )


def within_scatter(survey: Survey) -> Floats:
    """Return the sum of squares within speakers, [D, D]: of each utterance less the mean of its speaker."""
    scatter_DD: Floats = survey.spoken.second_DD.copy()
    for count, sum_D in survey.speakers.values():
        scatter_DD -= np.outer(sum_D, sum_D) / count
    return scatter_DD


def whitening(scatter_DD: Floats, freedom: int) -> Floats:
    """Return what makes a covariance within speakers the unit matrix, a ridge added."""
    value_D, axes_DD = np.linalg.eigh(scatter_DD / max(freedom, 1))
    value_D = value_D.clip(min=0)  # what is negative is rounding
    whiten_DD: Floats = axes_DD / np.sqrt(value_D + _RIDGE * value_D.mean() + 1e-12)
    return whiten_DD


@dataclass(frozen=True)
class Reviewer:
    """Reviews a block by its number, in any process; what all blocks share lies in a file."""

    source: Source
    shared: Path
    expected: dict[tuple[int, float | None], float]
    by_hashing: bool
    exhaustive: bool

    def __call__(self, number: int) -> Review:
        rows, found = self.source.read(number), Review()
        speakers = _speakers(self.shared)
        centred_UD = rows.utterance_UD - speakers.mean_D
        if self.by_hashing:
            found.signatures[number] = signatures(centred_UD, rows.whole_U, number)
        _review_speakers(found, rows, centred_UD @ speakers.whiten_DD, speakers, self.exhaustive)
        _review_sounds(found, rows, self.expected)
        return found


def review(
    source: Source,
    survey: Survey,
    speakers: Whitened,
    execute: Execute,
    *,
    by_hashing: bool,
    folder: Path | None = None,
) -> Review:
    """Pass over a store a second time.

    Args:
        by_hashing: take signatures for `duplicates`.
        folder: where a file may lie that all workers read (default: the system's folder for such).
    """
    total = Review()
    expected = {cell: tally.mean for cell, tally in survey.cells.items()}
    exhaustive = source.utterances * len(speakers.names) <= _ALL_PRODUCTS
    arrays = {**vars(speakers), "names": np.array(speakers.names, dtype=np.str_)}
    with shared(folder, **arrays) as file:
        for found in execute(Reviewer(source, file, expected, by_hashing, exhaustive), range(len(source.blocks))):
            total.add(found)
    return total


@lru_cache(maxsize=1)
def _speakers(path: Path) -> Whitened:
    """Keep the speakers of a pass: every block of it needs them."""
    arrays = read(path)
    return Whitened(**{**arrays, "names": arrays["names"].tolist()})


def _review_speakers(
    found: Review, rows: Rows, white_UD: NDArray[np.float32], speakers: Whitened, exhaustive: bool
) -> None:
    """Compare each utterance with the rest of its speaker, and with the others."""
    code_U = np.array([-1 if name is None else speakers.number.get(name, -1) for name in rows.speakers], np.int64)
    own = np.flatnonzero((code_U >= 0) & rows.whole_U)
    if not own.size:
        return
    code, vector_UD = code_U[own], white_UD[own]
    energy_K = np.bincount(code, np.einsum("ud,ud->u", vector_UD, vector_UD))
    found.energy = {speakers.names[place]: float(energy_K[place]) for place in np.unique(code).tolist()}
    own_U = _cosines(vector_UD, speakers.sum_KD[code] - vector_UD)
    found.own_H = np.histogram(own_U.clip(-1, 1), COSINE_EDGES)[0]
    if len(speakers.names) < 2:
        return
    least = np.arange(own.size) if exhaustive else np.sort(np.argsort(own_U, kind="stable")[:_DOUBTFUL])
    other_U, nearest_U = _nearest_others(vector_UD[least], code[least], speakers)
    margin_U = own_U[least] - other_U
    if exhaustive:
        found.margin_H = np.histogram(margin_U.clip(-2, 2), MARGIN_EDGES)[0]
    for place in np.argsort(margin_U, kind="stable")[:KEPT].tolist():
        if margin_U[place] < 0:
            row = least[place]
            name, other = speakers.names[code[row]], speakers.names[nearest_U[place]]
            found.doubtful.append(Doubtful(rows.ids[own[row]], name, other, float(own_U[row]), float(other_U[place])))


def _nearest_others(
    vector_UD: NDArray[np.float32], code_U: NDArray[np.int64], speakers: Whitened
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Return the highest cosine of each utterance with another speaker, and which, a few utterances at a time."""
    centre_KD, unit_UD = speakers.centre_KD, unit(vector_UD)
    other_U, nearest_U = np.empty(len(unit_UD), np.float32), np.empty(len(unit_UD), np.int64)
    step = max(1, _PRODUCTS // len(centre_KD))
    for first in range(0, len(unit_UD), step):
        part = slice(first, first + step)
        cosine_UK = unit_UD[part] @ centre_KD.T
        cosine_UK[np.arange(len(cosine_UK)), code_U[part]] = -2
        nearest_U[part] = cosine_UK.argmax(axis=1)
        other_U[part] = cosine_UK[np.arange(len(cosine_UK)), nearest_U[part]]
    return other_U, nearest_U


def _cosines(first_UD: NDArray[np.float32], second_UD: NDArray[np.float32]) -> NDArray[np.float32]:
    lengths = np.linalg.norm(first_UD, axis=1) * np.linalg.norm(second_UD, axis=1)
    cosines: NDArray[np.float32] = np.einsum("ud,ud->u", first_UD, second_UD) / np.where(lengths > 0, lengths, 1)
    return cosines


def _review_sounds(found: Review, rows: Rows, expected: dict[tuple[int, float | None], float]) -> None:
    """Say of each noise and each room how much more or less it moves vectors than is usual at its view and SNR."""
    cosine_R = rows.cosine_UCV.astype(np.float64).ravel()
    view_R = np.arange(len(cosine_R)) % len(rows.source.views)
    bin_R = binned(rows.snr_UCV.ravel())
    usual_R = np.full(len(cosine_R), np.nan)
    for (view, bin_db), mean in expected.items():
        usual_R[(view_R == view) & (np.isnan(bin_R) if bin_db is None else bin_R == bin_db)] = mean
    excess_R = cosine_R - usual_R
    for column, excesses in (("noise_ids", found.noises), ("rir_id", found.rooms)):
        row_S, code_S, names = rows.sounds(column)
        known = np.isfinite(excess_R[row_S])
        row_S, code_S = row_S[known], code_S[known]
        _tally(excesses, names, code_S, excess_R[row_S])
        if column == "noise_ids":
            _tally(found.kept, names, code_S, cosine_R[row_S])
        for code, first in zip(*np.unique(code_S, return_index=True), strict=True):
            found.heard[names[code]] = rows.place(int(row_S[first]))


def _tally(tallies: dict[str, Tally], names: list[str], code_S: NDArray[np.int64], value_S: Floats) -> None:
    counts, sums, squares = (np.bincount(code_S, weights) for weights in (None, value_S, value_S**2))
    least = np.full(len(counts), np.inf)
    np.minimum.at(least, code_S, value_S)
    for code in np.flatnonzero(counts).tolist():
        tallies[names[code]] = Tally(int(counts[code]), float(sums[code]), float(squares[code]), float(1 - least[code]))
