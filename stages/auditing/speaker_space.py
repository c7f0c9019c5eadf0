"""The space in which speakers are compared, and how alike they are in it.

Vectors are centred and whitened within speakers (within-class covariance normalisation; Hatch et al., Interspeech
2006), so that what differs between recordings of one person counts for little.

Shapes: U utterances, D embedding dimension, K speakers.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Self

import numpy as np

from reseed.stages.auditing.arrays import Float32, Float64, Indices, Mask, unit
from reseed.stages.auditing.blocks import AuditedBlock
from reseed.stages.auditing.tally import Accumulator, Moments

FEWEST = 3  # utterances of a speaker who is judged
FALLS_APART = 0.25  # of the middle speaker's cohesion, below which a speaker does not hold together
MOST = 20_000  # speakers, up to which every pair is compared

_SUMMED_ELEMENTS = 1 << 26  # of the sums over speakers: 512 MB
_RIDGE = 1.0  # times the mean eigenvalue, added to the covariance before it is inverted
_PRODUCTS = 1 << 23  # similarities with speakers in memory
_PAIRS = 50  # of speakers that are most alike
_BLOCK = 2048


@dataclass(frozen=True)
class SpeakerSpace:
    """Speakers in the whitened space.

    Attributes:
        mean_D, whiten_DD: of utterances; y = (x - mean) @ whiten.
        names: speakers of `FEWEST` utterances or more.
        sum_KD, count_K: of their whitened vectors.
    """

    mean_D: Float32
    whiten_DD: Float32
    names: list[str]
    sum_KD: Float32
    count_K: Indices

    @cached_property
    def number(self) -> dict[str, int]:
        """Speaker -> its row."""
        return {name: place for place, name in enumerate(self.names)}

    @cached_property
    def centre_KD(self) -> Float32:
        """The direction of each."""
        return unit(self.sum_KD)

    def nearest_others(self, vector_UD: Float32, code_U: Indices) -> tuple[Float32, Indices]:
        """Return the highest cosine of each utterance with another speaker, and with which: [U] each."""
        unit_UD = unit(vector_UD)
        other_U, nearest_U = np.empty(len(unit_UD), np.float32), np.empty(len(unit_UD), np.int64)
        step = max(1, _PRODUCTS // len(self.centre_KD))
        for first in range(0, len(unit_UD), step):
            part = slice(first, first + step)
            cosine_UK = unit_UD[part] @ self.centre_KD.T
            row = np.arange(len(cosine_UK))
            cosine_UK[row, code_U[part]] = -2
            nearest_U[part] = cosine_UK.argmax(axis=1)
            other_U[part] = cosine_UK[row, nearest_U[part]]
        return other_U, nearest_U

    def cohesion(self, energy: Mapping[str, float]) -> dict[str, float]:
        """Return the mean cosine of two different utterances of each speaker, its lengths averaged.

        Args:
            energy: speaker -> sum of the squared lengths of its whitened vectors.
        """
        energy_K, within_K = self._within(energy)
        mean_K = energy_K / self.count_K if len(energy_K) else energy_K
        return dict(zip(self.names, (within_K / np.where(mean_K > 0, mean_K, 1)).tolist(), strict=True))

    def alike(self, energy: Mapping[str, float]) -> list["AlikePair"]:
        """Return the pairs of speakers that are most alike, highest first.

        Speakers who do not hold together are like nobody.
        """
        if not 2 <= len(self.names) <= MOST:
            return []
        within_K, cohesion_K = self._within(energy)[1], np.array(list(self.cohesion(energy).values()))
        holds_K = cohesion_K > FALLS_APART * max(float(np.median(cohesion_K)), 0.0)
        scale_K = np.sqrt(np.where(holds_K & (within_K > 0), within_K, np.inf)) * self.count_K
        scaled_KD = self.sum_KD / scale_K[:, None].astype(np.float32)
        found: list[tuple[float, int, int]] = []
        for first in range(0, len(scaled_KD), _BLOCK):
            ratio = scaled_KD[first : first + _BLOCK] @ scaled_KD.T
            ratio[np.arange(len(scaled_KD)) <= first + np.arange(len(ratio))[:, None]] = -np.inf  # each pair once
            kept = np.argpartition(ratio.ravel(), -min(_PAIRS, ratio.size))[-_PAIRS:]
            rows, columns = np.divmod(kept, len(scaled_KD))
            found += zip(ratio.ravel()[kept].tolist(), (first + rows).tolist(), columns.tolist(), strict=True)
        best = sorted((pair for pair in found if np.isfinite(pair[0])), key=lambda pair: (-pair[0], *pair[1:]))
        return [
            AlikePair(self.names[a], self.names[b], ratio, int(self.count_K[[a, b]].sum()))
            for ratio, a, b in best[:_PAIRS]
        ]

    def _within(self, energy: Mapping[str, float]) -> tuple[Float64, Float64]:
        """Return the energy of each speaker, and the mean product of two different utterances of it."""
        energy_K = np.array([energy.get(name, 0.0) for name in self.names])
        square_K = np.einsum("kd,kd->k", self.sum_KD, self.sum_KD, dtype=np.float64)
        return energy_K, (square_K - energy_K) / np.maximum(self.count_K * (self.count_K - 1), 1)


@dataclass(frozen=True)
class AlikePair:
    """Two speakers, compared with how alike each is to itself.

    Attributes:
        ratio: the mean product of an utterance of one and one of the other, over the geometric mean of such products
            within each: 1 is one person.
        utterances: of both.
    """

    first: str
    second: str
    ratio: float
    utterances: int


@dataclass
class SpeakerSums(Accumulator):
    """The unit vectors of the utterances whose speaker is known.

    Attributes:
        sums: speaker -> (utterances, sum of their vectors [D]).
        left_out: utterances of speakers for whom there was no memory left.
    """

    moments: Moments
    sums: dict[str, tuple[int, Float64]] = field(default_factory=dict)
    left_out: int = 0

    @classmethod
    def of(cls, block: AuditedBlock) -> Self:
        named = [name is not None and usable for name, usable in zip(block.speakers, block.usable_U, strict=True)]
        known = np.flatnonzero(named)
        found = cls(Moments.of(block.utterance_UD[known]))
        if known.size:
            unique, code = np.unique([str(block.speakers[row]) for row in known], return_inverse=True)
            order = np.argsort(code, kind="stable")
            starts = np.searchsorted(code[order], np.arange(len(unique)))
            sums = np.add.reduceat(block.utterance_UD[known[order]].astype(np.float64), starts, axis=0)
            found.sums = dict(zip(unique.tolist(), zip(np.bincount(code).tolist(), sums, strict=True), strict=True))
        return found

    def add(self, other: Self) -> None:
        """Take in what another block says."""
        self.moments.add(other.moments)
        self.left_out += other.left_out
        for name, (count, sum_D) in other.sums.items():
            known = self.sums.get(name)
            if known is None and len(self.sums) * len(sum_D) >= _SUMMED_ELEMENTS:
                self.left_out += count
            else:
                self.sums[name] = (count, sum_D) if known is None else (known[0] + count, known[1] + sum_D)

    @property
    def freedom(self) -> int:
        return self.moments.count - len(self.sums)

    @property
    def within_scatter(self) -> Float64:
        """The sum of squares within speakers, [D, D]: of each utterance less the mean of its speaker."""
        scatter_DD = self.moments.second_DD.copy()
        for count, sum_D in self.sums.values():
            scatter_DD -= np.outer(sum_D, sum_D) / count
        return scatter_DD

    def space(self, mean_D: Float64) -> SpeakerSpace:
        """Whiten by the covariance within speakers, or, where labels or sums are missing, only centre.

        Args:
            mean_D: of all utterances, also of those whose speaker is not known.
        """
        counts = {name: count for name, (count, _) in sorted(self.sums.items()) if count >= FEWEST}
        is_known = counts and not self.left_out
        whiten_DD = whitening(self.within_scatter, self.freedom) if is_known else np.eye(len(mean_D))
        sums = [(self.sums[name][1] - count * mean_D) @ whiten_DD for name, count in counts.items()]
        return SpeakerSpace(
            mean_D.astype(np.float32),
            whiten_DD.astype(np.float32),
            list(counts),
            np.array(sums, np.float32).reshape(len(counts), len(mean_D)),
            np.array(list(counts.values()), np.int64),
        )


def whitening(scatter_DD: Float64, freedom: int) -> Float64:
    """Return what makes a covariance within speakers the unit matrix, a ridge added."""
    value_D, axes_DD = np.linalg.eigh(scatter_DD / max(freedom, 1))
    value_D = value_D.clip(min=0)  # what is negative is rounding
    return axes_DD / np.sqrt(value_D + _RIDGE * value_D.mean() + 1e-12)


def regrouping(unit_UD: Float32, label_U: Mask) -> float | None:
    """Return how much better the utterances of two speakers fall into two other groups than into two by their labels.

    Where half of the utterances of two speakers are exchanged, two groups across the labels hold together better than
    the labels do. Of two persons who sound alike, or of one under two ids, no grouping does much better.

    Returns:
        Mean cosine within groups over that within labels; None unless each group has `FEWEST` - 1 of both speakers.
    """
    group_U = _halves(unit_UD)
    both = min(int((group & label).sum()) for group in (group_U, ~group_U) for label in (label_U, ~label_U))
    by_label, by_group = (_mean_within(unit_UD, split) for split in (label_U, group_U))
    return by_group / by_label if both >= FEWEST - 1 and by_label > 0 else None


def _halves(vectors_UD: Float32) -> Mask:
    """Split vectors into two groups: by the main axis, then by the nearer mean until nothing changes (2-means)."""
    centred_UD = vectors_UD - vectors_UD.mean(axis=0)
    group_U = centred_UD @ np.linalg.svd(centred_UD, full_matrices=False)[2][0] > 0
    for _ in range(20):
        if not group_U.any() or group_U.all():
            break
        means_2D = np.stack([vectors_UD[group_U].mean(axis=0), vectors_UD[~group_U].mean(axis=0)])
        nearer_U = ((vectors_UD - means_2D[0]) ** 2).sum(axis=1) < ((vectors_UD - means_2D[1]) ** 2).sum(axis=1)
        if (nearer_U == group_U).all():
            break
        group_U = nearer_U
    return group_U


def _mean_within(unit_UD: Float32, split_U: Mask) -> float:
    """Return the mean cosine of two different vectors of one side of a split."""
    total, pairs = 0.0, 0
    for side in (unit_UD[split_U], unit_UD[~split_U]):
        total += float((side.sum(axis=0) ** 2).sum()) - len(side)
        pairs += len(side) * (len(side) - 1)
    return total / max(pairs, 1)
