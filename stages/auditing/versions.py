"""The rule that two versions of a store hold the same vectors, and how far a store has moved from its parent.

Shapes: U utterances that both stores have, C crops, D and E embedding dimensions of the two.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import numpy as np

from reseed.stages.auditing.arrays import Float64, Indices, Mask, hashed_ids
from reseed.stages.auditing.blocks import AuditedBlock, AuditedStore
from reseed.stages.auditing.evidence import Evidence, Rule, RuleGroup, added_up
from reseed.stages.auditing.finding import FAILED, PASSED, SKIPPED, Finding, FirstFew, Offender, Relabelled
from reseed.stages.auditing.other_store import LEAKAGE, NOT_COMPARED, PARENT, VERSIONS, OtherStore, other_store
from reseed.stages.auditing.tally import Accumulator, Least, Outlier, Tally
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
        crops, clean, drifts = min(block.store.crops, self.other.crops), self.other.clean, []
        for own_view, view in enumerate(block.store.views):
            if view not in self.other.views:
                continue
            other_view = self.other.views.index(view)
            own_UCD, usable_UC = block.unit_UCVD[here, :crops, own_view], block.usable_UCV[here, :crops, own_view]
            cosine_UC = np.einsum("ucd,ucd->uc", own_UCD, theirs.unit_UCVD[:, :crops, other_view])
            known_UC = usable_UC & theirs.usable_UCV[:, :crops, other_view]
            found.drift[view] = Tally.of(cosine_UC[known_UC])
            drifts += _lowest(block, here, own_view, np.where(known_UC, cosine_UC, np.inf))
            if clean is not None:
                clean_UC = theirs.usable_UCV[:, :crops, clean]
                after_UC = np.einsum("ucd,ucd->uc", own_UCD, theirs.unit_UCVD[:, :crops, clean])
                found.after[view] = Tally.of(after_UC[usable_UC & clean_UC])
                found.before[view] = Tally.of(theirs.cosine_UCV[:, :crops, other_view][known_UC & clean_UC])
        found.farthest.add(Least(drifts))


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
    """Judge whether vectors of one space, or the speakers of utterances, differ between two versions."""
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
    parts = [
        _drifted(comparison) if same_space else "",
        _relabelled_in_words(_relabelled(evidence, other)),
    ]
    if any(parts):
        says = "; ".join(filter(None, [*parts, alike]))
        return Finding(FAILED, f"{says[0].upper()}{says[1:]}.", rows)
    if same_space:
        return Finding(PASSED, f"Vectors of the same rows are the same; {alike}.", rows)
    what = "It was made from that store" if other.relation == PARENT else f"That store is of {other.space}"
    return Finding(PASSED, f"{what}; {alike}.", rows)


def _lowest(block: AuditedBlock, here: Indices, view: int, cosine_UC: Float64) -> list[Outlier]:
    """Name the rows of the lowest cosines of a view; what is not known is infinite."""
    store, found = block.store, []
    flat = cosine_UC.ravel()
    for place in np.argsort(flat, kind="stable")[: min(_FIRST, int(np.isfinite(flat).sum()))].tolist():
        utterance, crop = divmod(place, cosine_UC.shape[1])
        row = (int(here[utterance]) * store.crops + crop) * len(store.views) + view
        found.append(Outlier(float(flat[place]), block.key(row)))
    return found


def _relabelled(evidence: Evidence, other: OtherStore) -> FirstFew[Relabelled]:
    """Return the utterances whose speaker is another one in the other store; both must know one."""
    speakers, others = evidence[Utterances].speakers[other.here], other.utterances.speakers[other.there]
    differ: Mask = (speakers != others) & (speakers != 0) & (others != 0)
    here = evidence.store.names(other.here[differ][:_FIRST])
    there = other.store.names(other.there[differ][:_FIRST])
    rows = [Relabelled(name, str(one), str(another)) for (name, one), (_, another) in zip(here, there, strict=True)]
    return FirstFew(int(differ.sum()), rows)


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


def _relabelled_in_words(relabelled: FirstFew[Relabelled]) -> str:
    if not relabelled.count:
        return ""
    names = first_few((found.utterance_id for found in relabelled.first), relabelled.count)
    return f"{counted(relabelled.count, 'utterance')} under another speaker ({names})"


GROUP = RuleGroup({"versions": Rule("the other store's vectors of the same rows are the same", versions)})
