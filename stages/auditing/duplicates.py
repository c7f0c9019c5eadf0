"""The rule that no recording is stored twice: equal bits, or vectors that all but coincide.

Every pair is compared up to `EXACT` utterances; beyond, pairs are found by hashing.

Shapes: U and P utterances of two stores, D embedding dimension, W words of a signature.
"""

from dataclasses import dataclass, field
from functools import partial

import numpy as np

from reseed.stages.auditing.arrays import Float32, Hashes
from reseed.stages.auditing.blocks import AuditedBlock, AuditedStore
from reseed.stages.auditing.evidence import Evidence, RuleGroup
from reseed.stages.auditing.finding import FAILED, LISTED, PASSED, Finding, Offender, Unchecked
from reseed.stages.auditing.near_pairs import MOST_PAIRS, NEAR, Pairs, confirmed, equal_pairs, hashed_pairs, near_pairs
from reseed.stages.auditing.near_pairs import signatures as signatures_of
from reseed.stages.auditing.provenance import manifest_check
from reseed.stages.auditing.tally import Accumulator
from reseed.stages.auditing.utterances import Utterances
from reseed.stages.common.prose import counted

EXACT = 100_000


@dataclass(frozen=True)
class Duplicate:
    """Two utterances that are one recording, by their vectors; `is_exact` where every bit is equal."""

    first: str
    second: str
    cosine: float
    is_exact: bool


@dataclass
class Signatures(Accumulator):
    """By block, on which side of random hyperplanes each utterance lies, [U, W]; from the second pass.

    Nothing is kept of a store whose pairs are all compared.
    """

    by_block: dict[int, Hashes] = field(default_factory=dict)


@dataclass(frozen=True)
class SignatureReview:
    """Gathers signatures of vectors less their mean, or nothing."""

    mean_D: Float32 | None

    def __call__(self, block: AuditedBlock) -> Signatures:
        if self.mean_D is None or block.number is None:
            return Signatures()
        return Signatures({block.number: signatures_of(block.utterance_UD - self.mean_D, block.usable_U, block.number)})


def review(evidence: Evidence) -> SignatureReview:
    """Return what gathers `Signatures`."""
    return SignatureReview(mean_of(evidence) if evidence.store.utterances > EXACT else None)


def duplicates_within(evidence: Evidence) -> list[Duplicate]:
    """Conclude which utterances of a store are one recording."""
    store, hashed = evidence.store, evidence[Signatures].by_block
    centred = partial(store.centred_vectors, mean_D=mean_of(evidence))
    equal = equal_pairs(evidence[Utterances].bits)
    if hashed:
        near = hashed_pairs(np.concatenate([hashed[number] for number in sorted(hashed)]))
    else:
        near = near_pairs(centred(np.arange(store.utterances)))
    pairs, cosines = confirmed(np.unique(np.sort(np.concatenate([equal, near]), axis=1), axis=0), centred)
    return duplicates_of(store, store, pairs, cosines, np.sort(equal, axis=1))


def duplicates(evidence: Evidence) -> Finding:
    """No recording is stored under two ids."""
    found, check = evidence.conclude(duplicates_within), evidence.conclude(manifest_check)
    rows: list[Offender] = [
        evidence.with_replay(
            {
                "utterance": pair.first,
                "again as": pair.second,
                "found by": "equal bits" if pair.is_exact else f"cosine {pair.cosine:.4f}, centred",
            },
            evidence.store.key(pair.second),
        )
        for pair in found
    ]
    count = len(found)
    if not isinstance(check, Unchecked):
        known = {frozenset((pair.first, pair.second)) for pair in found}
        rows += [
            {"utterance": first, "again as": second, "found by": "one recording in the manifest"}
            for first, second in check.same_recording.first
            if frozenset((first, second)) not in known
        ]
        count = max(count, check.same_recording.count)
    if rows:
        most = "At least " if len(found) >= MOST_PAIRS else ""
        return Finding(FAILED, f"{most}{counted(count, 'pair')} of ids for one recording.", rows[: 2 * LISTED])
    how = f"by hashing, beyond {EXACT:,}" if evidence[Signatures].by_block else "of every pair"
    utterances = evidence[Utterances].moments.count
    return Finding(PASSED, f"No two of {utterances:,} utterances have a centred cosine of {NEAR} ({how}).")


def mean_of(evidence: Evidence) -> Float32:
    """Return the mean of the utterances of a store, [D], less which they are compared."""
    return evidence[Utterances].moments.mean_D.astype(np.float32)


def duplicates_of(
    store: AuditedStore, other: AuditedStore, pairs: Pairs, cosines: Float32, equal: Pairs
) -> list[Duplicate]:
    """Name pairs of utterances of two stores by their numbers; `equal` are those of equal bits."""
    exact = set(map(tuple, equal.tolist()))
    firsts, seconds = store.names(pairs[:, 0]), other.names(pairs[:, 1])
    return [
        Duplicate(first, second, cosine, tuple(pair) in exact)
        for (first, _), (second, _), cosine, pair in zip(firsts, seconds, cosines.tolist(), pairs.tolist(), strict=True)
    ]


GROUP = RuleGroup((duplicates,), review=review)
