"""Rules on the vectors themselves: finite, of like length, spread over several dimensions.

Thresholds were set on real recordings: sound stores stay well clear of them, faults that were put in do not.

Shapes: R rows, D embedding dimension, H bins.
"""

from collections import Counter
from dataclasses import dataclass
from typing import Self

import numpy as np

from reseed.stages.auditing.arrays import Counts, Float64
from reseed.stages.auditing.blocks import AuditedBlock, RowKey
from reseed.stages.auditing.evidence import Evidence, RuleGroup
from reseed.stages.auditing.finding import FAILED, LISTED, PASSED, SKIPPED, Finding
from reseed.stages.auditing.tally import MOST_ROWS, Accumulator, Least, Outlier, outliers, quantile
from reseed.stages.auditing.utterances import Utterances
from reseed.stages.common.prose import counted

NORM_EDGES = np.logspace(-46, 46, 73_601)  # 0.3 % wide, over all that single precision holds

_LENGTH = 20.0  # times longer or shorter than the middle norm
_LEAST_RANK = 1.2
_CONSTANT = 1e-6  # of the widest dimension's spread


@dataclass
class Vectors(Accumulator):
    """The vectors of a store as they are stored.

    Attributes:
        not_finite: how many rows are not finite, by shard.
        zero: how many rows are zero.
        no_direction: the first of both.
        norm_H: how many rows fall between `NORM_EDGES`.
        shortest, longest: rows by norm, the latter by its negative.
        sum_D, squares_D: over rows with a direction.
    """

    rows: int
    not_finite: Counter[int]
    zero: int
    no_direction: Least[RowKey]
    norm_H: Counts
    shortest: Least[Outlier]
    longest: Least[Outlier]
    sum_D: Float64
    squares_D: Float64

    @classmethod
    def of(cls, block: AuditedBlock) -> Self:
        norm_R, usable_R = block.norm_UCV.ravel(), block.usable_UCV.ravel()
        finite_R = np.isfinite(norm_R)
        kept_R = np.flatnonzero(usable_R)
        flat_RD = block.vectors_UCVD.reshape(-1, block.store.dim)[kept_R]
        return cls(
            rows=len(norm_R),
            not_finite=_by_shard(block, int((~finite_R).sum())),
            zero=int((finite_R & ~usable_R).sum()),
            no_direction=Least([block.key(row) for row in np.flatnonzero(~usable_R)[:MOST_ROWS].tolist()]),
            norm_H=np.histogram(norm_R[kept_R].clip(NORM_EDGES[0], NORM_EDGES[-1]), NORM_EDGES)[0],
            shortest=outliers(block, kept_R, norm_R[kept_R]),
            longest=outliers(block, kept_R, -norm_R[kept_R]),
            sum_D=flat_RD.sum(axis=0, dtype=np.float64),
            squares_D=np.einsum("rd,rd->d", flat_RD, flat_RD, dtype=np.float64),
        )

    @property
    def mean_D(self) -> Float64:
        """Mean of each dimension over the rows with a direction."""
        return self.sum_D / max(int(self.norm_H.sum()), 1)

    @property
    def spread_D(self) -> Float64:
        """Standard deviation of each dimension over the same."""
        mean_squares_D: Float64 = self.squares_D / max(int(self.norm_H.sum()), 1)
        return np.sqrt(np.maximum(mean_squares_D - self.mean_D**2, 0.0))


def finite(evidence: Evidence) -> Finding:
    """Every vector is finite and has a direction."""
    vectors, not_finite = evidence[Vectors], evidence[Vectors].not_finite.total()
    if not_finite or vectors.zero:
        names = evidence.store.header.shards
        where = ", ".join(f"{count} in {names[shard].name}" for shard, count in vectors.not_finite.items())
        parts = [
            f"{counted(not_finite, 'row')} NaN or infinite ({where})" if not_finite else "",
            f"{counted(vectors.zero, 'row')} zero" if vectors.zero else "",
        ]
        rows = [evidence.offender(key) for key in vectors.no_direction.items[:LISTED]]
        return Finding(FAILED, f"{' and '.join(filter(None, parts))}, of {vectors.rows:,}.", rows)
    return Finding(PASSED, f"All {vectors.rows:,} vectors are finite and none is zero.")


def norms(evidence: Evidence) -> Finding:
    """No vector is far longer or shorter than the others."""
    vectors = evidence[Vectors]
    low, middle, high = (quantile(vectors.norm_H, NORM_EDGES, share) for share in (0.01, 0.5, 0.99))
    if middle is None:
        return Finding(SKIPPED, "No vector has a length.")
    shortest_and_longest = (*vectors.shortest.items, *vectors.longest.items)
    far = [row for row in shortest_and_longest if not middle / _LENGTH <= abs(row.value) <= middle * _LENGTH]
    usual = f"norms lie between {low:.3g} and {high:.3g} (1 and 99 %), {middle:.3g} in the middle"
    if far:
        rows = [{**evidence.offender(row.key), "norm": round(abs(row.value), 6)} for row in far]
        return Finding(FAILED, f"Some vectors are over {_LENGTH:g} times longer or shorter; {usual}.", rows)
    return Finding(PASSED, f"No vector stands out; {usual}.")


def dimensions(evidence: Evidence) -> Finding:
    """The vectors spread over several dimensions."""
    moments, spread_D = evidence[Utterances].moments, evidence[Vectors].spread_D
    if moments.count < 2:
        return Finding(SKIPPED, "There are fewer than two utterances.")
    constant, rank = int((spread_D <= _CONSTANT * spread_D.max()).sum()), moments.effective_rank
    says = f"Effective rank {rank:.1f} of {len(spread_D)} dimensions; {constant} never change."
    failed = rank < _LEAST_RANK or constant > len(spread_D) / 2
    return Finding(FAILED if failed else PASSED, says)


def _by_shard(block: AuditedBlock, count: int) -> Counter[int]:
    return Counter({block.store.slices[block.number].shard: count} if count and block.number is not None else {})


GROUP = RuleGroup((finite, norms, dimensions), Vectors.of)
