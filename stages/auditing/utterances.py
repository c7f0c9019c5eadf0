"""Which utterances a store holds, and the rule that all of it is as it was written.

Shapes: U utterances, D embedding dimension.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Self

import numpy as np

from reseed.stages.auditing.arrays import Hashes, hashed_ids, hashed_rows
from reseed.stages.auditing.blocks import AuditedBlock
from reseed.stages.auditing.evidence import Evidence, RuleGroup
from reseed.stages.auditing.finding import FAILED, PASSED, Finding
from reseed.stages.auditing.tally import Accumulator, Moments
from reseed.stages.common.prose import counted


@dataclass
class Utterances(Accumulator):
    """The utterances of a store.

    Attributes:
        misplaced: rows whose view and crop are not those that the order of rows declares.
        moments: of their unit vectors [D].
        hashes: by block, 64 bits of each utterance's id, its speaker's (0: unknown) and its clean vectors, [3, U].
    """

    misplaced: int
    moments: Moments
    hashes: dict[int, Hashes]

    @classmethod
    def of(cls, block: AuditedBlock) -> Self:
        reference_UD = np.ascontiguousarray(block.vectors_UCVD[:, :, block.store.reference])
        bits = hashed_rows(reference_UD.reshape(len(block.ids), -1)) if block.ids else np.empty(0, np.uint64)
        hashes = np.stack([hashed_ids(block.ids), hashed_ids(block.speakers), bits])
        moments = Moments.of(block.utterance_UD[block.usable_U])
        return cls(_misplaced(block), moments, {} if block.number is None else {block.number: hashes})

    @property
    def ids(self) -> Hashes:
        """Hashes of all ids, in the order of the store: [U]. This and the next two once every block is added."""
        return self._in_order[0]

    @property
    def speakers(self) -> Hashes:
        """Hashes of all speakers, 0 where unknown: [U]."""
        return self._in_order[1]

    @property
    def bits(self) -> Hashes:
        """Hashes of all clean vectors: [U]."""
        return self._in_order[2]

    @property
    def repeated(self) -> int:
        """How many ids are stored more than once."""
        return len(self.ids) - len(np.unique(self.ids))

    @cached_property
    def _in_order(self) -> Hashes:
        none = np.empty((3, 0), np.uint64)
        return np.concatenate([none, *(self.hashes[number] for number in sorted(self.hashes))], axis=1)


def files(evidence: Evidence) -> Finding:
    """Every file is as it was written, every row where it belongs."""
    utterances, problems = evidence[Utterances], evidence.store.problems
    of_other = evidence.other.problems if evidence.other else []
    parts = [
        f"{counted(count, what)}{then}"
        for count, what, then in (
            (len(problems), "damaged file", ", left out of all that follows"),
            (len(of_other), "damaged file", " of the other store"),
            (utterances.misplaced, "row", " out of order"),
            (utterances.repeated, "utterance id", " stored more than once"),
        )
        if count
    ]
    if parts:
        return Finding(FAILED, f"{'; '.join(parts)}.", [{"problem": problem} for problem in (*problems, *of_other)])
    shards = counted(len(evidence.store.header.shards), "shard")
    return Finding(PASSED, f"All files of {shards} have the digests they were written with.")


def _misplaced(block: AuditedBlock) -> int:
    store, utterances = block.store, len(block.ids)
    views = np.array(block.table["view"].to_pylist(), object)
    crops = block.table["crop"].to_numpy()
    right = (views == np.tile(np.array(store.views, object), utterances * store.crops)) & (
        crops == np.tile(np.repeat(np.arange(store.crops), len(store.views)), utterances)
    )
    return int((~right).sum())


GROUP = RuleGroup((files,), Utterances.of)
