"""Score normalisation against a cohort: S-norm (all of it) and adaptive S-norm (the nearest of it).

Shapes: U utterances, M cohort vectors, B of them in a block, K kept cosines, D embedding dimension, P trials.
"""

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from reseed.stages.scoring.curves import Floats
from reseed.store.errors import ScoringError

if TYPE_CHECKING:
    from torch import Tensor

Statistics = tuple[Floats, Floats]

_BLOCK_U = 1024
_BLOCK_M = 4096
_NO_SPREAD = 1e-9  # cosines of a cohort of equal vectors differ by rounding


def check_size(size: int, top: int | None) -> None:
    """Raise ScoringError where a cohort has fewer vectors than are taken of it; None: fewer than two."""
    if size < (top or 2):
        raise ScoringError(f"the cohort has {size} vectors, fewer than {top or 2}; give a larger one or lower the top")


def cohort_statistics(
    vectors_UD: Floats, cohort_MD: Floats | Iterable[Floats], top: int | None, device: str = "cpu"
) -> Statistics:
    """Return mean and (population) standard deviation of the `top` highest cosines of each row with a cohort: [U] each.

    Rows and cohort are multiplied block by block, in double precision; of each row no more than `top` cosines are
    kept, so that memory does not grow with the cohort.

    Args:
        vectors_UD: unit rows, see `utterance_embeddings`.
        cohort_MD: unit rows, or an iterable of blocks of them that is gone through once.
        top: how many, e.g. 300; None: the whole cohort, as in S-norm.
        device: any device of PyTorch.

    Raises:
        ScoringError: the cohort has fewer than `top` vectors (or none), another dimension, or too little variety for
            a standard deviation above zero.
    """
    if top is not None and top < 2:
        raise ScoringError(f"a standard deviation needs the top 2 of a cohort at least, not {top}")
    gathered = _Moments(len(vectors_UD)) if top is None else _Highest(len(vectors_UD), top)
    size = 0
    for block_BD in _cohort_blocks(cohort_MD):
        if block_BD.shape[1] != vectors_UD.shape[1]:
            raise ScoringError(f"the cohort has {block_BD.shape[1]} dimensions, the trials {vectors_UD.shape[1]}")
        size += len(block_BD)
        for rows, cosine_UB in _cosines(vectors_UD, block_BD, device):
            gathered.add(rows, cosine_UB)
    check_size(size, top)
    mean_U, deviation_U = gathered.statistics()
    flat_U = deviation_U <= _NO_SPREAD
    if flat_U.any():
        raise ScoringError(
            f"the {top or size} cohort cosines of {flat_U.sum()} vectors are all equal, the first at row "
            f"{np.flatnonzero(flat_U)[0]}, so they cannot scale a score; give a cohort of different utterances"
        )
    return mean_U, deviation_U


def normalise(score_P: Floats, pairs_P2: NDArray[np.integer[Any]], enrolment: Statistics, test: Statistics) -> Floats:
    """Return scores normalised on both sides: half the sum of ((s - mean) / deviation) of enrolment and of test, [P].

    Args:
        score_P: cosines.
        pairs_P2: row of the enrolment and row of the test utterance of each trial.
        enrolment, test: mean and deviation per utterance, see `cohort_statistics`.

    Source: S-norm, Kenny (Odyssey 2010); with the top of the cohort for each side by itself, AS-norm1 of Matějka et
    al. (Interspeech 2017), equation 5.
    """
    (mean_E, deviation_E), (mean_T, deviation_T) = enrolment, test
    row_E, row_T = pairs_P2[:, 0], pairs_P2[:, 1]
    by_enrolment_P = (score_P - mean_E[row_E]) / deviation_E[row_E]
    by_test_P = (score_P - mean_T[row_T]) / deviation_T[row_T]
    normalised_P: Floats = 0.5 * (by_enrolment_P + by_test_P)
    return normalised_P


class _Highest:
    """The highest cosines of each row so far, [U, K], in no order."""

    def __init__(self, rows: int, top: int) -> None:
        self.top = top
        self.kept_UK = np.full((rows, top), -np.inf)

    def add(self, rows: slice, cosine_UB: "Tensor") -> None:
        import torch

        seen = torch.from_numpy(self.kept_UK[rows]).to(cosine_UB.device)
        highest_UK = torch.cat([seen, cosine_UB], dim=1).topk(self.top, dim=1, sorted=False).values
        self.kept_UK[rows] = highest_UK.cpu().numpy()

    def statistics(self) -> Statistics:
        return self.kept_UK.mean(axis=1), self.kept_UK.std(axis=1)


class _Moments:
    """Mean of all cosines of each row so far and the sum of their squared distances from it, [U] each.

    Source: Chan, Golub and LeVeque (1979), which loses no digits where sums of squares would.
    """

    def __init__(self, rows: int) -> None:
        self.count_U, self.mean_U, self.squares_U = np.zeros((3, rows))

    def add(self, rows: slice, cosine_UB: "Tensor") -> None:
        more = cosine_UB.shape[1]
        block_mean_U = cosine_UB.mean(dim=1)
        block_squares_U = (cosine_UB - block_mean_U[:, None]).square_().sum(dim=1).cpu().numpy()
        total_U = self.count_U[rows] + more
        step_U = block_mean_U.cpu().numpy() - self.mean_U[rows]
        self.squares_U[rows] += block_squares_U + step_U**2 * self.count_U[rows] * more / total_U
        self.mean_U[rows] += step_U * more / total_U
        self.count_U[rows] = total_U

    def statistics(self) -> Statistics:
        return self.mean_U, np.sqrt(self.squares_U / self.count_U)


def _cohort_blocks(cohort_MD: Floats | Iterable[Floats]) -> Iterator[Floats]:
    for part_MD in [cohort_MD] if isinstance(cohort_MD, np.ndarray) else cohort_MD:
        for first in range(0, len(part_MD), _BLOCK_M):
            yield part_MD[first : first + _BLOCK_M]


def _cosines(vectors_UD: Floats, cohort_BD: Floats, device: str) -> Iterator[tuple[slice, "Tensor"]]:
    """Yield the cosines of a block of rows with a block of the cohort, float64 on the device."""
    import torch

    cohort = torch.from_numpy(np.ascontiguousarray(cohort_BD, np.float64)).to(device)
    for first in range(0, len(vectors_UD), _BLOCK_U):
        rows = slice(first, first + _BLOCK_U)
        yield rows, torch.from_numpy(np.ascontiguousarray(vectors_UD[rows], np.float64)).to(device) @ cohort.T
