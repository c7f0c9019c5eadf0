"""The store that one is compared with: what the two are to each other, and which utterances and speakers they share."""

from dataclasses import dataclass

import numpy as np

from reseed.stages.auditing.arrays import Indices
from reseed.stages.auditing.blocks import AuditedStore
from reseed.stages.auditing.evidence import Evidence, added_up
from reseed.stages.auditing.utterances import Utterances
from reseed.store import Header

LEAKAGE, VERSIONS, PARENT = "leakage", "versions", "parent"
RELATIONS = (LEAKAGE, VERSIONS, PARENT)

NOT_COMPARED = "No other store was given with --against."

_MOSTLY = 0.5  # of the larger store's utterances, from which on two stores are versions of one


@dataclass(frozen=True)
class OtherStore:
    """The other store, and what the two are to each other.

    Attributes:
        relation: "leakage" (training or evaluation beside it), "versions" or "parent".
        is_assumed: nobody said what they are; lineage and shared ids did.
        here, there: the numbers of the utterances that both have, by id, in the order of the store that is audited.
    """

    store: AuditedStore
    utterances: Utterances
    relation: str
    is_assumed: bool
    here: Indices
    there: Indices

    @property
    def space(self) -> str:
        return self.store.header.declaration.space

    @property
    def says(self) -> str:
        """The relation as a sentence has it."""
        kinds = {
            LEAKAGE: "training or evaluation beside it",
            VERSIONS: "another version of it",
            PARENT: "what it was made from",
        }
        return f"{self.store.path} is {'taken for ' if self.is_assumed else ''}{kinds[self.relation]}"


def other_store(evidence: Evidence) -> OtherStore | None:
    """Conclude what the other store is, where there is one."""
    if evidence.other is None:
        return None
    (utterances,) = added_up(evidence.other, [Utterances.of], evidence.execute)
    assert isinstance(utterances, Utterances)
    _, here, there = np.intersect1d(evidence[Utterances].ids, utterances.ids, return_indices=True)
    order = np.argsort(here)
    relation = evidence.relation or _relation(evidence.store.header, evidence.other.header, len(here))
    return OtherStore(evidence.other, utterances, relation, evidence.relation is None, here[order], there[order])


def _relation(header: Header, other: Header, shared_utterances: int) -> str:
    """Say what two stores are to each other: enhanced and its parent, two versions of one, or train and evaluation.

    Versions share most of the larger one's utterances: where the smaller one lies within the larger, that is leakage.
    """
    parent = header.declaration.parent("parent")
    if parent is not None and parent.digest == other.fingerprint:
        return PARENT
    return VERSIONS if shared_utterances > _MOSTLY * max(header.stored, other.stored, 1) else LEAKAGE
