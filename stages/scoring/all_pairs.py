"""Every pair of a set of embeddings, without their matrix: nearest neighbours, and score histograms by class.

Shapes: U utterances, D embedding dimension, A and B rows of two blocks, K neighbours, H bins of a histogram.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from reseed.stages.scoring.metrics import eer
from reseed.store.errors import ScoringError

if TYPE_CHECKING:
    from torch import Tensor

BINS = 8192  # of equal width over -1..1

_BLOCK_U = 1024

Counts = NDArray[np.int64]


@dataclass(frozen=True)
class PairScan:
    """What a pass over all pairs has found.

    Attributes:
        neighbour_UK: rows of the nearest others of each row, the nearest first; of equal scores the lower row first.
        score_UK: their cosines.
        same_H, different_H: how many pairs of one and of two known speakers fall in each bin of the cosine.
    """

    neighbour_UK: NDArray[np.int64]
    score_UK: NDArray[np.float32]
    same_H: Counts
    different_H: Counts


def scan_pairs(
    unit_UD: NDArray[np.float32], speaker_U: NDArray[np.integer[Any]], top: int, device: str = "cpu"
) -> PairScan:
    """Score all U (U - 1) / 2 pairs in single precision, block by block; each pair is computed once.

    Memory beyond the vectors: a few blocks of 2,048 x 2,048 scores, and K scores and rows per utterance.

    Args:
        unit_UD: unit rows; may be a memory map.
        speaker_U: speaker of each row, negative where unknown: such pairs are in no histogram.
        top: K; fewer where there are not so many others.
        device: any device of PyTorch.

    Raises:
        ScoringError: fewer than two rows, or top below 1.
    """
    if len(unit_UD) < 2 or top < 1:
        raise ScoringError(f"all pairs need two embeddings and a top of 1 at least; got {len(unit_UD)} and {top}")
    nearest = _Nearest(len(unit_UD), min(top, len(unit_UD) - 1), device)
    histograms = np.zeros((2, BINS), np.int64)
    for first, second, cosine_AB in _blocks(unit_UD, device):
        nearest.add(first, second, cosine_AB)
        if first != second:
            nearest.add(second, first, cosine_AB.T)
        histograms += _histograms(cosine_AB, speaker_U[first], speaker_U[second], first == second)
    neighbour_UK, score_UK = nearest.ordered()
    return PairScan(neighbour_UK, score_UK, histograms[0], histograms[1])


def histogram_eer(same_H: Counts, different_H: Counts) -> tuple[float, float]:
    """Return bounds of the EER (convention "rocch", a fraction) of scores known by their bin alone.

    The upper bound ties all scores of a bin, the lower one puts its same-speaker scores above its others; whatever
    the order within bins, the EER lies between.

    Raises:
        ScoringError: a class has no pair.
    """
    targets, nontargets = np.flatnonzero(same_H), np.flatnonzero(different_H)
    low, high = (
        eer(targets + lead, nontargets, target_weights=same_H[targets], nontarget_weights=different_H[nontargets])
        for lead in (0.5, 0.0)
    )
    return low, high


def histogram_quantiles(count_H: Counts, shares: tuple[float, ...]) -> list[float]:
    """Return the cosines below which these shares of the pairs lie, as centres of bins; none where there are none."""
    if not count_H.any():
        return []
    bins = np.searchsorted(np.cumsum(count_H), np.asarray(shares) * count_H.sum())
    return [float((number + 0.5) * 2 / BINS - 1) for number in bins]


class _Nearest:
    """The K best of each row so far, on the device."""

    def __init__(self, rows: int, top: int, device: str) -> None:
        import torch

        self.score_UK = torch.full((rows, top), -torch.inf, device=device)
        self.neighbour_UK = torch.zeros((rows, top), dtype=torch.int64, device=device)

    def add(self, rows: slice, others: slice, cosine_AB: "Tensor") -> None:
        """Take in a block; only rows of which a score beats the worst one kept are looked through."""
        import torch

        worst_A = self.score_UK[rows].amin(dim=1)
        better = (cosine_AB.amax(dim=1) > worst_A).nonzero()[:, 0]
        if not len(better):
            return
        found = cosine_AB[better].topk(min(self.score_UK.shape[1], cosine_AB.shape[1]), dim=1, sorted=False)
        row = better + rows.start
        score = torch.cat([self.score_UK[row], found.values], dim=1)
        neighbour = torch.cat([self.neighbour_UK[row], found.indices + others.start], dim=1)
        kept = score.topk(self.score_UK.shape[1], dim=1, sorted=False)
        self.score_UK[row], self.neighbour_UK[row] = kept.values, neighbour.gather(1, kept.indices)

    def ordered(self) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        neighbour_UK, score_UK = self.neighbour_UK.cpu().numpy(), self.score_UK.cpu().numpy()
        order = np.lexsort((neighbour_UK, -score_UK), axis=1)
        return np.take_along_axis(neighbour_UK, order, 1), np.take_along_axis(score_UK, order, 1)


def _blocks(unit_UD: NDArray[np.float32], device: str) -> Iterator[tuple[slice, slice, "Tensor"]]:
    """Yield the blocks on and above the diagonal; a row's score with itself is minus infinity."""
    import torch

    cuts = [slice(first, min(first + _BLOCK_U, len(unit_UD))) for first in range(0, len(unit_UD), _BLOCK_U)]
    for number, first in enumerate(cuts):
        rows_AD = torch.from_numpy(np.array(unit_UD[first], np.float32)).to(device)
        for second in cuts[number:]:
            cosine_AB = rows_AD @ torch.from_numpy(np.array(unit_UD[second], np.float32)).to(device).T
            cosine_AB.clamp_(-1, 1)
            if first == second:
                cosine_AB.fill_diagonal_(-torch.inf)
            yield first, second, cosine_AB


def _histograms(
    cosine_AB: "Tensor", speaker_A: NDArray[np.integer[Any]], speaker_B: NDArray[np.integer[Any]], diagonal: bool
) -> Counts:
    """Return how many pairs of one speaker and of two fall in each bin: [2, H]."""
    import torch

    known_A, known_B = speaker_A >= 0, speaker_B >= 0
    if not known_A.all() or not known_B.all():
        known = [torch.from_numpy(np.flatnonzero(known)).to(cosine_AB.device) for known in (known_A, known_B)]
        cosine_AB = cosine_AB.index_select(0, known[0]).index_select(1, known[1])
        speaker_A, speaker_B = speaker_A[known_A], speaker_B[known_B]
    # Same-speaker pairs are few: found among sorted speakers, not by a mask of the whole block.
    same = torch.from_numpy(_equal_pairs(speaker_A, speaker_B)).to(cosine_AB.device)
    same_H, all_H = _counts(cosine_AB[same[0], same[1]]), _counts(cosine_AB)
    if diagonal:  # each pair lies there twice; minus infinity is in no bin
        same_H, all_H = same_H // 2, all_H // 2
    return np.stack([same_H, all_H - same_H])


def _counts(cosine: "Tensor") -> Counts:
    counted: Counts = cosine.histc(BINS, -1, 1).cpu().numpy().astype(np.int64)  # exact below 2^24 per bin
    return counted


def _equal_pairs(speaker_A: NDArray[np.integer[Any]], speaker_B: NDArray[np.integer[Any]]) -> NDArray[np.int64]:
    """Return the pairs of rows [2, pairs] whose speakers are equal."""
    order_B = np.argsort(speaker_B, kind="stable")
    sorted_B = speaker_B[order_B]
    start_A, stop_A = (np.searchsorted(sorted_B, speaker_A, side) for side in ("left", "right"))
    count_A = stop_A - start_A
    turn = np.arange(count_A.sum()) - np.repeat(np.cumsum(count_A) - count_A, count_A)
    row = np.repeat(np.arange(len(speaker_A)), count_A)
    return np.stack([row, order_B[np.repeat(start_A, count_A) + turn]])
