"""Auto: the canonical correlations of two sides, damped as held-out utterances say is best; no labels, no gradient.

    A, B  = (C + shrinkage * mean eigenvalue of C * I)^(-1/2)   C: covariance of all shared rows of a side
    U S V = A K B                                               K: covariance of the two sides
    z     = normalise((x - mean) A U S^emphasis)                and likewise with B and V on the test side

Few utterances do not tell how two sides correlate: a thousand of them show correlations up to 0.9 between whitened
sides of 192 and 256 dimensions that have nothing in common. Shrinkage keeps what varies little from being blown up,
emphasis weighs down what agrees little. How much of either is wanted depends on the networks and on the speech, so
candidates are learnt from three quarters of the utterances and judged on the rest: from the clean view of half of an
utterance's crops on the enrolment side it is looked for, among all others, by the other crops on the test side in
every view. The criterion is that of the enhancer `auto`: cross-entropy of a softmax of cosines at the best scale, of
which clean speech counts for as much as all noise. Utterances that lie together in a store, often of one speaker, are
held out together.

Shapes: C crops, D and E dimensions of the sides, K of the shared space, R rows of an utterance, U utterances, V views.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import reduce
from itertools import product

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from reseed.stages.aligners.base import SIDES, Alignment
from reseed.stages.aligners.closed_form import ClosedForm, inverse_root
from reseed.stages.aligners.shared import SharedRows
from reseed.stages.common.section import Section
from reseed.stages.training.data import CLEAN_VIEW
from reseed.stages.training.validation import cross_entropy_of_finding

_FOLDS = 4
_BLOCKS = 32  # stretches of the store that are held out together
_LEAST = 20  # utterances by which candidates are judged at least
_SAMPLE = 512  # held-out utterances of a fold at most
_SCALES = (8.0, 12.0, 18.0, 27.0, 40.0)  # of cosines in the softmax


class AutoConfig(Section):
    """Settings of `auto`; of several shrinkages or emphases the pair that held-out utterances prefer is taken.

    Attributes:
        shrinkages: of the covariance of either side, as multiples of its mean eigenvalue.
        emphases: powers of the canonical correlation by which a direction is weighed.
    """

    shrinkages: tuple[float, ...] = Field(default=(0.1, 0.03, 0.3, 1.0), min_length=1)
    emphases: tuple[float, ...] = Field(default=(1.0, 0.7, 0.5), min_length=1)


@dataclass(frozen=True)
class Moments:
    """Sums over rows of both sides, side by side (P = D + E): how many, of them, and of their outer products."""

    rows: int
    sum_P: Tensor
    square_PP: Tensor

    @classmethod
    def of(cls, sides: list[Tensor]) -> "Moments":
        """Return those of some utterances, [U, R, D] and [U, R, E]."""
        row_NP = torch.cat(sides, dim=-1).flatten(0, 1)
        return cls(len(row_NP), row_NP.double().sum(dim=0), (row_NP.T @ row_NP).double())

    def __add__(self, other: "Moments") -> "Moments":
        return Moments(self.rows + other.rows, self.sum_P + other.sum_P, self.square_PP + other.square_PP)


class Auto(ClosedForm):
    """Canonical correlations, damped as finding held-out utterances across the sides asks for; without labels."""

    Config = AutoConfig
    config: AutoConfig

    def shared_dim(self, speakers: int) -> int:
        return min(self.dims)

    def fit(self, shared: SharedRows, seed: int) -> Iterator[dict[str, float]]:
        count = shared.utterances
        sides = [rows_ND.reshape(count, -1, rows_ND.shape[1]) for rows_ND in (shared.enrolment_ND, shared.test_NE)]
        fold_U = torch.arange(count) * min(_BLOCKS, count) // count % _FOLDS
        folds = [[side[fold_U == fold] for side in sides] for fold in range(_FOLDS)]
        parts = [Moments.of(fold) for fold in folds]
        candidates = list(product(self.config.shrinkages, self.config.emphases))
        loss_of = dict.fromkeys(candidates, 0.0)
        for place, fold in enumerate(folds if count >= _LEAST and len(candidates) > 1 else []):
            seen = reduce(Moments.__add__, parts[:place] + parts[place + 1 :])
            for candidate in candidates:
                self._set(seen, *candidate)
                loss_of[candidate] += _loss(self, fold, shared.views) / len(folds)
        shrinkage, emphasis = min(candidates, key=loss_of.__getitem__)
        self._set(reduce(Moments.__add__, parts), shrinkage, emphasis)
        for candidate in candidates:
            yield {"shrinkage": candidate[0], "emphasis": candidate[1], "loss": loss_of[candidate]}
        yield {"chosen_shrinkage": shrinkage, "chosen_emphasis": emphasis}

    def _set(self, found: Moments, shrinkage: float, emphasis: float) -> None:
        """Set the maps to what a candidate makes of some rows."""
        mean_P = found.sum_P / found.rows
        covariance_PP = found.square_PP / found.rows - mean_P.outer(mean_P)
        first, second = slice(None, self.dims[0]), slice(self.dims[0], None)
        root_DD, root_EE = (inverse_root(covariance_PP[side, side], shrinkage) for side in (first, second))
        u_DK, correlation_K, v_KE = torch.linalg.svd(
            root_DD @ covariance_PP[first, second] @ root_EE, full_matrices=False
        )
        weight_K = correlation_K.clamp(0, 1) ** emphasis
        self.enrolment.set(mean_P[first], root_DD @ u_DK * weight_K)
        self.test.set(mean_P[second], root_EE @ v_KE.T * weight_K)


def _loss(alignment: Alignment, held_out: list[Tensor], views: tuple[str, ...]) -> float:
    """Return what finding a held-out utterance across the sides costs, in nats, at the best scale."""
    step = -(-len(held_out[0]) // _SAMPLE)
    enrolment_UCVK, test_UCVK = (
        alignment.map(side, rows_URD[::step]).unflatten(1, (-1, max(1, len(views))))
        for side, rows_URD in zip(SIDES, held_out, strict=True)
    )
    half, clean = test_UCVK.shape[1] // 2, views.index(CLEAN_VIEW) if CLEAN_VIEW in views else 0
    enrolled_UK = F.normalize(enrolment_UCVK[:, : half or 1, clean].mean(dim=1), dim=-1)
    tested_UVK = F.normalize(test_UCVK[:, half:].mean(dim=1), dim=-1)
    cosine_VUU = torch.einsum("uk,tvk->vut", enrolled_UK, tested_UVK)
    is_clean_V = torch.arange(len(cosine_VUU)) == clean
    losses = []
    for scale in _SCALES:
        loss_V = cross_entropy_of_finding(scale * cosine_VUU).mean(dim=-1)
        of_noise = loss_V[~is_clean_V].mean() if len(loss_V) > 1 else loss_V[clean]
        losses.append(float(loss_V[clean] + of_noise) / 2)
    return min(losses)
