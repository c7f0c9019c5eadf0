"""EER on utterances that training never sees, from their cached vectors and without labels.

A trial compares the clean view of an utterance's first crop with another view of another crop; it is a target trial
where both are of one utterance. Two utterances of one speaker thus count as an impostor trial, so that the figure ranks
enhancers of one store and says little beside it.

Shapes: C crops, D embedding dimension, K enhancers, N utterances x crops, T trials, U utterances,
V views, W views but the clean one.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Protocol, Self

import torch
import torch.nn.functional as F
from torch import Tensor

_UTTERANCES = 256  # more would make the validation dearer than a short epoch


class Enhances(Protocol):
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
    def eer(self, enhancer: Enhances) -> float:
        """Return the EER of enhanced vectors under cosine scoring, a fraction; 0.5 where they are not finite."""
        was_training = enhancer.training
        enhancer.eval()
        scores_UUW = self.scores(enhancer.enhance)
        enhancer.train(was_training)
        return equal_error_rate(scores_UUW[None]).item()

    def scores(self, enhance: Callable[[Tensor, torch.Generator], Tensor]) -> Tensor:
        """Return the cosines [U, U, W] of each enhanced enrolment vector with each enhanced test vector."""
        generator = torch.Generator(self.enrolment_UD.device).manual_seed(0)
        enrolment_UD = F.normalize(enhance(self.enrolment_UD, generator), dim=-1)
        test_MD = F.normalize(enhance(self.test_UWD.flatten(0, 1), generator), dim=-1)
        return (enrolment_UD @ test_MD.T).unflatten(1, self.test_UWD.shape[:2])


def equal_error_rate(scores_KUUW: Tensor) -> Tensor:
    """Return the EER [K] of K enhancers at once, on their device; 0.5 where a score is not finite.

    It is the mean of the false alarms and misses where the two come nearest, a pair of same utterances [u, u] being a
    target trial: `reseed.stages.scoring.metrics.eer` is finer, and takes one enhancer at a time through the host.
    """
    finite_K = scores_KUUW.isfinite().flatten(1).all(dim=1)
    score_KT, order_KT = scores_KUUW.nan_to_num(0.0).flatten(1).sort(dim=1, descending=True, stable=True)
    same_UUW = torch.eye(scores_KUUW.shape[1], device=score_KT.device, dtype=torch.bool)[:, :, None]
    target_KT = same_UUW.expand(scores_KUUW.shape[1:]).flatten()[order_KT]
    miss_KT = 1.0 - target_KT.cumsum(dim=1) / target_KT[0].sum()
    false_alarm_KT = (~target_KT).cumsum(dim=1) / (~target_KT[0]).sum()
    last_of_tie_KT = F.pad(score_KT[:, 1:] != score_KT[:, :-1], (0, 1), value=True)
    apart_KT = (miss_KT - false_alarm_KT).abs().where(last_of_tie_KT, 2.0)
    nearest_K1 = apart_KT.argmin(dim=1, keepdim=True)
    eer_K = (miss_KT + false_alarm_KT).gather(1, nearest_K1).squeeze(1) / 2
    return eer_K.where(finite_K, 0.5)
