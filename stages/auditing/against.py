"""Two stores side by side: what they share and should not, or how one has drifted from the other.

Shapes: U utterances, C crops, V views, D and E embedding dimensions of the two.
"""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from reseed.stages.auditing.blocks import Rows, Source, hashed_ids
from reseed.stages.auditing.sharing import read, shared
from reseed.stages.auditing.survey import Row, Survey, lowest
from reseed.stages.auditing.tally import Tally, add_tallies
from reseed.stages.common.execution import Execute
from reseed.store.format import Header

Floats = NDArray[np.float64]

LEAKAGE, VERSIONS, PARENT = "leakage", "versions", "parent"
RELATIONS = (LEAKAGE, VERSIONS, PARENT)

_KEPT = 20
_MOSTLY = 0.5  # of the larger store's utterances, from which on two stores are versions of one


def relation(own: Header, other: Header, shared_utterances: int) -> str:
    """Say what two stores are to each other: enhanced and its parent, two versions of one, or train and evaluation.

    Versions share most of the larger one's utterances: where the smaller one lies within the larger, that is leakage.
    """
    if any(parent["digest"] == other.fingerprint for parent in own.declaration.lineage if parent["role"] == "parent"):
        return PARENT
    return VERSIONS if shared_utterances > _MOSTLY * max(own.stored, other.stored, 1) else LEAKAGE


@dataclass
class Comparison:
    """What the aligned rows of two stores show, by the views that both have.

    Attributes:
        drift: view -> cosine of a row with the same row of the other store; where both have one dimension.
        residual: view -> cosine of a row with the clean vector of the other store.
        before: view -> the same of the other store's own row.
        farthest: rows that have drifted most.
        count, sums and products: of clean utterance vectors, for `similarity`.
    """

    dims: tuple[int, int]
    drift: dict[str, Tally] = field(default_factory=dict)
    residual: dict[str, Tally] = field(default_factory=dict)
    before: dict[str, Tally] = field(default_factory=dict)
    farthest: list[Row] = field(default_factory=list)
    count: int = 0

    def __post_init__(self) -> None:
        first, second = self.dims
        self.sum_D, self.sum_E = np.zeros(first), np.zeros(second)
        self.own_DD, self.other_EE = np.zeros((first, first)), np.zeros((second, second))
        self.cross_DE = np.zeros((first, second))

    def add(self, other: "Comparison") -> None:
        """Take in what another block has found."""
        for name in ("drift", "residual", "before"):
            add_tallies(getattr(self, name), getattr(other, name))
        self.farthest = lowest([*self.farthest, *other.farthest])
        self.count += other.count
        for name in ("sum_D", "sum_E", "own_DD", "other_EE", "cross_DE"):
            setattr(self, name, getattr(self, name) + getattr(other, name))

    @property
    def similarity(self) -> float:
        """Linear centred kernel alignment of clean utterance vectors, 0..1 (Kornblith et al., ICML 2019).

        Comparable across spaces and dimensions: rotations and a common scale do not change it.
        """
        n = max(self.count, 1)
        cross = ((self.cross_DE / n - np.outer(self.sum_D, self.sum_E) / n**2) ** 2).sum()
        own = ((self.own_DD / n - np.outer(self.sum_D, self.sum_D) / n**2) ** 2).sum()
        other = ((self.other_EE / n - np.outer(self.sum_E, self.sum_E) / n**2) ** 2).sum()
        return float(cross / np.sqrt(own * other)) if own > 0 and other > 0 else float("nan")


def shared_utterances(own: Survey, other: Survey) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the numbers of the utterances that two stores both have, by id, in either; in the order of the first."""
    _, here, there = np.intersect1d(own.ids, other.ids, return_indices=True)
    order = np.argsort(here)
    return here[order], there[order]


def shared_speakers(own: Survey, other: Survey) -> NDArray[np.int64]:
    """Return an utterance of each speaker that both stores have, by its number in the first."""
    marks, first = np.unique(own.labels, return_index=True)
    return first[(marks != 0) & np.isin(marks, other.labels)]


def relabelled(
    own: Survey, other: Survey, here: NDArray[np.int64], there: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Keep those whose speaker is another in the other store; both must know one."""
    mine, theirs = own.labels[here], other.labels[there]
    differ = (mine != theirs) & (mine != 0) & (theirs != 0)
    return here[differ], there[differ]


@dataclass(frozen=True)
class Comparer:
    """Compares a block with the rows of the other store, in any process; where each lies there is in a file."""

    source: Source
    other: Source
    shared: Path

    def __call__(self, number: int) -> Comparison:
        rows = self.source.read(number)
        hashes, places = read(self.shared)["hashes"], read(self.shared)["places"]
        wanted = hashed_ids(rows.ids)
        at = np.searchsorted(hashes, wanted).clip(max=len(hashes) - 1)
        here = np.flatnonzero(hashes[at] == wanted) if len(hashes) else np.empty(0, np.int64)
        found = Comparison((self.source.dim, self.other.dim))
        if here.size:
            _compare(found, rows, here, self.other, places[at[here]])
        return found


def compare(
    source: Source, other: Source, other_survey: Survey, execute: Execute, folder: Path | None = None
) -> Comparison:
    """Compare the rows of the utterances that two stores share."""
    hashes = other_survey.ids
    order = np.argsort(hashes, kind="stable")
    total = Comparison((source.dim, other.dim))
    with shared(folder, hashes=hashes[order], places=order) as file:
        for found in execute(Comparer(source, other, file), range(len(source.blocks))):
            total.add(found)
    return total


def _compare(found: Comparison, rows: Rows, here: NDArray[np.int64], other: Source, there: NDArray[np.int64]) -> None:
    source, step = rows.source, other.crops * len(other.views)
    crops = min(source.crops, other.crops)
    their_rows = there[:, None] * step + np.arange(step)
    theirs = Rows(
        other,
        np.asarray(other.store.take(their_rows.ravel()), np.float32).reshape(
            -1, other.crops, len(other.views), other.dim
        ),
        rows.table.slice(0, 0),
    )
    both = [(place, other.views.index(view)) for place, view in enumerate(source.views) if view in other.views]
    if source.dim == other.dim:
        drifts = []
        for own_view, their_view in both:
            view = source.views[own_view]
            mine = rows.unit_UCVD[here, :crops, own_view]
            ours_ok = rows.usable_UCV[here, :crops, own_view]
            cosine_UC = np.einsum("ucd,ucd->uc", mine, theirs.unit_UCVD[:, :crops, their_view])
            known = ours_ok & theirs.usable_UCV[:, :crops, their_view]
            found.drift[view] = Tally.of(cosine_UC[known])
            flat = np.where(known, cosine_UC, np.inf).ravel()
            for place in np.argsort(flat, kind="stable")[: min(_KEPT, int(known.sum()))].tolist():
                utterance, crop = divmod(place, crops)
                row = (int(here[utterance]) * source.crops + crop) * len(source.views) + own_view
                drifts.append(Row(float(flat[place]), rows.place(row)))
            if other.clean is not None:
                clean_ok = theirs.usable_UCV[:, :crops, other.clean]
                cosine_UC = np.einsum("ucd,ucd->uc", mine, theirs.unit_UCVD[:, :crops, other.clean])
                found.residual[view] = Tally.of(cosine_UC[ours_ok & clean_ok])
                found.before[view] = Tally.of(theirs.cosine_UCV[:, :crops, their_view][known & clean_ok])
        found.farthest = lowest(drifts)
    whole = rows.whole_U[here] & theirs.whole_U
    own_UD = rows.utterance_UD[here][whole].astype(np.float64)
    their_UE = theirs.utterance_UD[whole].astype(np.float64)
    found.count = len(own_UD)
    found.sum_D, found.sum_E = own_UD.sum(axis=0), their_UE.sum(axis=0)
    found.own_DD, found.other_EE, found.cross_DE = own_UD.T @ own_UD, their_UE.T @ their_UE, own_UD.T @ their_UE
