"""The rule that the shards of a store are of one kind: each lies where the others spread.

Shapes: D embedding dimension, K directions kept of a shard.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from typing import Self

import numpy as np

from reseed.stages.auditing.arrays import Float32, Float64
from reseed.stages.auditing.blocks import AuditedBlock
from reseed.stages.auditing.evidence import Evidence, RuleGroup
from reseed.stages.auditing.finding import FAILED, LISTED, PASSED, SKIPPED, Finding
from reseed.stages.auditing.tally import Accumulator, Moments
from reseed.stages.common.prose import counted, first_few

Directions = tuple[Float32, Float32]  # energies [K] and the unit vectors along which they lie [D, K]

_KEPT_K = 32
_SHARE = 0.8  # of the others' energy, that the directions span by which a shard is judged
_EACH = 256  # shards, up to which each is compared with the others alone; beyond, with all
_LEAST_CAPTURED = 0.5  # of the middle shard's


@dataclass
class ShardMoments(Accumulator):
    """Moments of the unit vectors of a shard, of the `share` of its blocks that is added."""

    moments: Moments
    share: Fraction


@dataclass
class Shards(Accumulator):
    """How the vectors of each shard spread.

    Attributes:
        unfinished: shards of which not every block is added.
        directions: the main ones of the others.
    """

    unfinished: dict[int, ShardMoments]
    directions: dict[int, Directions]

    @classmethod
    def of(cls, block: AuditedBlock) -> Self:
        found = cls({}, {})
        if block.number is not None:
            slices = block.store.slices
            shard = slices[block.number].shard
            share = Fraction(1, sum(part.shard == shard for part in slices))
            found.unfinished[shard] = ShardMoments(Moments.of(block.unit_UCVD[block.usable_UCV]), share)
        return found._finished()

    def add(self, other: Self) -> None:
        """Take in what another block says."""
        super().add(other)
        self._finished()

    @cached_property
    def captured(self) -> dict[int, float]:
        """How much of each shard's energy lies where the others spread, see `captured`; once every block is added."""
        return captured(self.directions)

    def _finished(self) -> Self:
        """Keep of finished shards their main directions alone: their moments are large."""
        for shard in [shard for shard, found in self.unfinished.items() if found.share == 1]:
            self.directions[shard] = main_directions(self.unfinished.pop(shard).moments)
        return self


def shards(evidence: Evidence) -> Finding:
    """Every shard is of the same backbone as the others."""
    captured, names = evidence[Shards].captured, evidence.store.header.shards
    if len(captured) < 3:
        return Finding(SKIPPED, "With fewer than three shards none can be told from the others.")
    middle = float(np.median(list(captured.values())))
    foreign = sorted((share, shard) for shard, share in captured.items() if share < _LEAST_CAPTURED * middle)
    usual = f"{middle:.0%} of a shard's energy usually lies where the others spread"
    if foreign:
        which = first_few(names[shard].name for _, shard in foreign)
        rows = [{"shard": names[shard].name, "within the others": f"{share:.0%}"} for share, shard in foreign]
        says = f"{counted(len(foreign), 'shard')} of another backbone: {which}; {usual}."
        return Finding(FAILED, says, rows[:LISTED])
    return Finding(PASSED, f"All spread alike; {usual}, at least {min(captured.values()):.0%}.")


def main_directions(moments: Moments) -> Directions:
    """Return the main directions of a shard and the energy along each; none where it has no vector."""
    if not moments.count:
        return np.zeros(0, np.float32), np.zeros((len(moments.sum_D), 0), np.float32)
    value_D, axes_DD = np.linalg.eigh(moments.second_DD / moments.count)
    kept = slice(-_KEPT_K, None)
    return value_D[kept].clip(min=0).astype(np.float32), np.ascontiguousarray(axes_DD[:, kept], np.float32)


def captured(directions: Mapping[int, Directions]) -> dict[int, float]:
    """Return how much of each shard's energy lies where the other shards spread, a fraction.

    The second moment of a shard of the same backbone is spanned by the main directions of the others, whoever speaks
    in it; that of another backbone is not. Nothing is said of fewer than two shards.
    """
    filled = {shard: found for shard, found in directions.items() if found[0].size}
    if len(filled) < 2:
        return {}
    total_DD: Float64 = sum((_restored(found) for found in filled.values()), np.zeros((1, 1)))
    shares = {}
    everything_DK = _spanning(total_DD) if len(filled) > _EACH else None
    for shard, (value_K, axes_DK) in filled.items():
        rest_DK = _spanning(total_DD - _restored((value_K, axes_DK))) if everything_DK is None else everything_DK
        inside_K = ((rest_DK.T @ axes_DK) ** 2).sum(axis=0)
        shares[shard] = float((value_K * inside_K).sum() / value_K.sum())
    return shares


def _restored(directions: Directions) -> Float64:
    value_K, axes_DK = directions
    return ((axes_DK * value_K) @ axes_DK.T).astype(np.float64)


def _spanning(second_DD: Float64) -> Float64:
    """Return the fewest main directions that hold `_SHARE` of the energy, [D, K]."""
    value_D, axes_DD = np.linalg.eigh(second_DD)
    share_D = np.cumsum(value_D[::-1]) / value_D.sum()
    return axes_DD[:, ::-1][:, : int(np.searchsorted(share_D, _SHARE)) + 1]


GROUP = RuleGroup((shards,), Shards.of)
