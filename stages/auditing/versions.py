"""The rule that two versions of a store hold the same vectors, and how far a store has moved from its parent.

Shapes: U utterances that both stores have, C crops, D and E embedding dimensions of the two.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import numpy as np

from reseed.stages.auditing.arrays import Float64, Indices, hashed_ids
from reseed.stages.auditing.blocks import AuditedBlock, AuditedStore
from reseed.stages.auditing.evidence import Evidence, RuleGroup, added_up
from reseed.stages.auditing.finding import FAILED, PASSED, SKIPPED, Finding, Offender
from reseed.stages.auditing.other_store import LEAKAGE, NOT_COMPARED, PARENT, VERSIONS, OtherStore, other_store
from reseed.stages.auditing.tally import Accumulator, Least, Outlier, Tally, outliers
from reseed.stages.auditing.utterances import Utterances
from reseed.stages.auditing.workspace import read
from reseed.stages.common.prose import counted, first_few

_SAME = 0.999
_FIRST = 20


@dataclass
class CrossMoments(Accumulator):
    """Count, sums and second moments of the same utterances in two spaces."""

    count: int
    sum_D: Float64
    sum_E: Float64
    own_DD: Float64
    other_EE: Float64
    cross_DE: Float64

    @classmethod
    def of(cls, own_UD: Float64, other_UE: Float64) -> Self:
        sums, squares = (own_UD.sum(axis=0), other_UE.sum(axis=0)), (own_UD.T @ own_UD, other_UE.T @ other_UE)
        return cls(len(own_UD), *sums, *squares, own_UD.T @ other_UE)

    @property
    def similarity(self) -> float:
        """Linear centred kernel alignment, 0..1 (Kornblith et al., ICML 2019).

        Comparable across spaces and dimensions: rotations and a common scale do not change it.
        """
        n = max(self.count, 1)
        cross = ((self.cross_DE / n - np.outer(self.sum_D, self.sum_E) / n**2) ** 2).sum()
        own = ((self.own_DD / n - np.outer(self.sum_D, self.sum_D) / n**2) ** 2).sum()
        other = ((self.other_EE / n - np.outer(self.sum_E, self.sum_E) / n**2) ** 2).sum()
        return float(cross / np.sqrt(own * other)) if own > 0 and other > 0 else float("nan")


@dataclass
class Comparison(Accumulator):
    """What the rows that two stores share show, by the views that both have.

    Attributes:
        moments: of clean utterance vectors.
        drift: view -> cosine of a row with the same row of the other store; where both have one dimension.
        after: view -> cosine of a row with the clean vector of the other store.
        before: view -> the same of the other store's own row.
        farthest: rows that have drifted most.
    """

    moments: CrossMoments
    drift: dict[str, Tally] = field(default_factory=dict)
    after: dict[str, Tally] = field(default_factory=dict)
    before: dict[str, Tally] = field(default_factory=dict)
    farthest: Least[Outlier] = field(default_factory=Least)


@dataclass(frozen=True)
class ComparisonReview:
    """Gathers comparisons with the other store; in a file, hashes of its ids and where each lies."""

    other: AuditedStore
    file: Path

    def __call__(self, block: AuditedBlock) -> Comparison:
        hashes, numbers = read(self.file)["hashes"], read(self.file)["numbers"]
        wanted = hashed_ids(block.ids)
        at = np.searchsorted(hashes, wanted).clip(max=len(hashes) - 1)
        here = np.flatnonzero(hashes[at] == wanted) if len(hashes) else np.empty(0, np.int64)
        theirs = self.other.taken(numbers[at[here]] if here.size else here)
        usable_U = block.usable_U[here] & theirs.usable_U
        own_UD, other_UE = block.utterance_UD[here][usable_U], theirs.utterance_UD[usable_U]
        found = Comparison(CrossMoments.of(own_UD.astype(np.float64), other_UE.astype(np.float64)))
        if here.size and block.store.dim == self.other.dim:
            self._compare_views(found, block, here, theirs)
        return found

    def _compare_views(self, found: Comparison, block: AuditedBlock, here: Indices, theirs: AuditedBlock) -> None:
        crops, clean = min(block.store.crops, self.other.crops), self.other.clean
        for own_view, view in enumerate(block.store.views):
            if view not in self.other.views:
                continue
            other_view = self.other.views.index(view)
            own_UCD, usable_UC = block.unit_UCVD[here, :crops, own_view], block.usable_UCV[here, :crops, own_view]
            cosine_UC = np.einsum("ucd,ucd->uc", own_UCD, theirs.unit_UCVD[:, :crops, other_view])
            known_UC = usable_UC & theirs.usable_UCV[:, :crops, other_view]
            found.drift[view] = Tally.of(cosine_UC[known_UC])
            row_UC = (here[:, None] * block.store.crops + np.arange(crops)) * len(block.store.views) + own_view
            found.farthest.add(outliers(block, row_UC.ravel(), np.where(known_UC, cosine_UC, np.inf).ravel()))
            if clean is not None:
                clean_UC = theirs.usable_UCV[:, :crops, clean]
                after_UC = np.einsum("ucd,ucd->uc", own_UCD, theirs.unit_UCVD[:, :crops, clean])
                found.after[view] = Tally.of(after_UC[usable_UC & clean_UC])
                found.before[view] = Tally.of(theirs.cosine_UCV[:, :crops, other_view][known_UC & clean_UC])


def compared(evidence: Evidence) -> Comparison | None:
    """Conclude how the rows that both stores have differ; None where the two are train and evaluation."""
    other = evidence.conclude(other_store)
    if other is None or other.relation == LEAKAGE:
        return None
    order = np.argsort(other.utterances.ids, kind="stable")
    file = evidence.workspace.write(hashes=other.utterances.ids[order], numbers=order)
    (comparison,) = added_up(evidence.store, [ComparisonReview(other.store, file)], evidence.execute)
    assert isinstance(comparison, Comparison)
    return comparison


def versions(evidence: Evidence) -> Finding:
    """The other store's vectors of the same rows are the same."""
    other, comparison = evidence.conclude(other_store), evidence.conclude(compared)
    if other is None:
        return Finding(SKIPPED, NOT_COMPARED)
    if comparison is None:
        return Finding(SKIPPED, f"{other.says} (--relation versions or parent says otherwise).")
    if not comparison.moments.count:
        return Finding(SKIPPED, f"{other.store.path} has no utterance with a direction in common with it.")
    alike = f"similarity of the clean spaces (linear CKA) {comparison.moments.similarity:.3f}"
    rows = _rows(evidence, other, comparison)
    same_space = other.relation == VERSIONS and other.space == evidence.store.header.declaration.space
    parts = [_drifted(comparison) if same_space else "", _relabelled(evidence, other)]
    if any(parts):
        says = "; ".join(filter(None, [*parts, alike]))
        return Finding(FAILED, f"{says[0].upper()}{says[1:]}.", rows)
    if same_space:
        return Finding(PASSED, f"Vectors of the same rows are the same; {alike}.", rows)
    what = "It was made from that store" if other.relation == PARENT else f"That store is of {other.space}"
    return Finding(PASSED, f"{what}; {alike}.", rows)


def _relabelled(evidence: Evidence, other: OtherStore) -> str:
    """Name the utterances whose speaker is another one in the other store; both must know one."""
    speakers, others = evidence[Utterances].speakers[other.here], other.utterances.speakers[other.there]
    relabelled = other.here[(speakers != others) & (speakers != 0) & (others != 0)]
    if not relabelled.size:
        return ""
    names = first_few((name for name, _ in evidence.store.names(relabelled[:_FIRST])), relabelled.size)
    return f"{counted(relabelled.size, 'utterance')} under another speaker ({names})"


def _rows(evidence: Evidence, other: OtherStore, comparison: Comparison) -> list[Offender]:
    """Return cosines by view, then the rows that differ most."""
    rows: list[Offender] = []
    for view, tally in comparison.drift.items():
        row: dict[str, str | int | float] = {"view": view, "rows": tally.count, "mean cosine": round(tally.mean, 4)}
        if view in comparison.after and other.relation == PARENT:
            row["with clean, before"] = round(comparison.before[view].mean, 4)
            row["with clean, after"] = round(comparison.after[view].mean, 4)
        rows.append(row)
    for found in comparison.farthest.items if other.relation == VERSIONS else ():
        row = {"utterance": found.key.utterance_id, "view": found.key.view, "cosine": round(found.value, 5)}
        rows.append(evidence.with_replay(row, found.key))
    return rows


def _drifted(comparison: Comparison) -> str:
    if all(row.value >= _SAME for row in comparison.farthest.items):
        return ""
    means = {view: tally.mean for view, tally in comparison.drift.items()}
    worst = min(means, key=lambda view: means[view])
    return f"vectors of one space differ, most in {worst} (mean cosine {means[worst]:.4f})"


GROUP = RuleGroup((versions,))
