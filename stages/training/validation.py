"""EER on utterances that training never sees, from their cached vectors and without labels.

A trial compares the clean view of an utterance's first crop with another view of another crop; it is a target trial
where both are of one utterance. Two utterances of one speaker thus count as an impostor trial, so that the figure ranks
enhancers of one store and says little beside it.

Shapes: C crops, D embedding dimension, M tests (U x W), N utterances x crops, T trials, U utterances, V views, W views
but the clean one.
"""

from dataclasses import dataclass, replace
from typing import Any, Protocol, Self

import torch
import torch.nn.functional as F
from torch import Tensor

_UTTERANCES = 256  # more would make the validation dearer than a short epoch


class EmbeddingMap(Protocol):
    """A module that maps embeddings, such as every enhancer is."""

    training: bool

    def eval(self) -> Any: ...
    def train(self, mode: bool = True) -> Any: ...
    def enhance(self, embedding_BD: Tensor, generator: torch.Generator) -> Tensor: ...


@dataclass(frozen=True)
class HeldOutUtterances:
    """The two sides of all trials: enrolment [U, D] and test [U, W, D] vectors, as the backbone gave them."""

    enrolment_UD: Tensor
    test_UWD: Tensor

    @classmethod
    def of(cls, vectors_NVD: Tensor, crops: int, clean_view: int) -> Self:
        """Choose at most 256 utterances, evenly spread, of some whole utterances [N, V, D]."""
        vectors_UCVD = vectors_NVD.unflatten(0, (-1, crops))
        vectors_UCVD = vectors_UCVD[:: -(-len(vectors_UCVD) // _UTTERANCES)]
        noisy = [view for view in range(vectors_NVD.shape[1]) if view != clean_view]
        other = [1 + place % (crops - 1) if crops > 1 else 0 for place in range(len(noisy))]
        return cls(vectors_UCVD[:, 0, clean_view].clone(), vectors_UCVD[:, other, noisy].clone())

    def to(self, device: torch.device) -> Self:
        """Return the same trials on another device."""
        return replace(self, enrolment_UD=self.enrolment_UD.to(device), test_UWD=self.test_UWD.to(device))

    @torch.no_grad()
    def eer(self, enhancer: EmbeddingMap) -> float:
        """Return the EER of enhanced vectors under cosine scoring, a fraction; 0.5 where they are not finite."""
        was_training = enhancer.training
        enhancer.eval()
        generator = torch.Generator(self.enrolment_UD.device).manual_seed(0)
        enrolment_UD = F.normalize(enhancer.enhance(self.enrolment_UD, generator), dim=-1)
        test_MD = F.normalize(enhancer.enhance(self.test_UWD.flatten(0, 1), generator), dim=-1)
        enhancer.train(was_training)
        return equal_error_rate((enrolment_UD @ test_MD.T).unflatten(1, self.test_UWD.shape[:2]))


def equal_error_rate(score_UUW: Tensor) -> float:
    """Return the EER of scores, computed where they lie; 0.5 where one is not finite.

    It is the mean of the false alarms and misses where the two come nearest, a pair of same utterances [u, u] being a
    target trial: `reseed.stages.scoring.metrics.eer` is finer, and takes the scores through the host.
    """
    if not score_UUW.isfinite().all():
        return 0.5
    score_T, order_T = score_UUW.flatten().sort(descending=True, stable=True)
    same_UUW = torch.eye(len(score_UUW), device=score_T.device, dtype=torch.bool)[:, :, None].expand(score_UUW.shape)
    target_T = same_UUW.flatten()[order_T]
    miss_T = 1.0 - target_T.cumsum(dim=0) / target_T.sum()
    false_alarm_T = (~target_T).cumsum(dim=0) / (~target_T).sum()
    last_of_tie_T = F.pad(score_T[1:] != score_T[:-1], (0, 1), value=True)
    nearest = (miss_T - false_alarm_T).abs().where(last_of_tie_T, 2.0).argmin()
    return ((miss_T + false_alarm_T)[nearest] / 2).item()


def cross_entropy_of_finding(logit_UU: Tensor) -> Tensor:
    """Return what finding each utterance costs, in nats: the mean of both cross-entropies of the diagonal [..., U].

    Args:
        logit_UU: [..., U, U], scaled scores of every enrolment with every test, of which the diagonal is of one
            utterance; looked for along the rows and along the columns.
    """
    either_U = (logit_UU.logsumexp(dim=-1) + logit_UU.logsumexp(dim=-2)) / 2
    return either_U - logit_UU.diagonal(dim1=-2, dim2=-1)
