"""Learnt impostors: a cohort of one vector for each speaker, moved to where it normalises scores best.

After the trainable adaptive S-norm of Choi et al., "Trainable Adaptive Score Normalization for Automatic Speaker
Verification" (arXiv 2504.04512): impostors start as the means of the training speakers and are trained by trials among
these, in which a margin keeps a speaker's own impostor from being selected. The loss here is the cost of the
log-likelihood ratio with a scale and an offset that are learnt beside the impostors and then dropped.

Shapes: N vectors, S speakers, B speakers of a batch, K kept cosines, D embedding dimension.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from reseed.stages.scoring.cosine import unit_rows
from reseed.stages.scoring.curves import Floats
from reseed.store.errors import ScoringError

if TYPE_CHECKING:
    from torch import Tensor

_SPEAKERS_B = 64
_STEADY = 1e-4  # added to deviations: they may vanish where impostors come to lie alike


@dataclass(frozen=True)
class ImpostorTraining:
    """How impostors are learnt.

    Attributes:
        top: how many of the nearest impostors normalise a vector.
        steps: batches of trials.
        lr: rate of Adam.
        margin: what is taken off the cosine with a speaker's own impostor before the nearest are chosen.
        seed: of the batches.
    """

    top: int
    steps: int = 200
    lr: float = 1e-3
    margin: float = 0.5
    seed: int = 0


def learn_impostors(
    vectors_ND: Floats, speaker_N: NDArray[np.intp], training: ImpostorTraining, device: str = "cpu"
) -> Floats:
    """Return unit impostors, [S, D], one for each speaker.

    Args:
        vectors_ND: unit rows.
        speaker_N: who speaks.

    Raises:
        ScoringError: fewer than three speakers have two vectors or more, or no more impostors than `top`.
    """
    import torch

    speakers, code_N = np.unique(speaker_N, return_inverse=True)
    rows_S = [np.flatnonzero(code_N == code) for code in range(speakers.size)]
    useful = np.array([code for code, rows in enumerate(rows_S) if rows.size > 1])
    if useful.size < 3 or speakers.size <= training.top:
        raise ScoringError(
            f"impostors are learnt from three speakers of two vectors at least, and more than the top {training.top}; "
            f"there are {useful.size}, and {speakers.size} speakers; give a larger cohort or lower the top"
        )
    sums_SD = np.zeros((speakers.size, vectors_ND.shape[1]))
    np.add.at(sums_SD, code_N, vectors_ND)
    impostor_SD = torch.tensor(unit_rows(sums_SD), dtype=torch.float32, device=device, requires_grad=True)
    scale_offset = torch.tensor([1.0, 0.0], device=device, requires_grad=True)
    optimiser = torch.optim.Adam([{"params": [impostor_SD], "lr": training.lr}, {"params": [scale_offset], "lr": 0.05}])
    generator = np.random.default_rng(training.seed)
    given_ND = torch.tensor(vectors_ND, dtype=torch.float32, device=device)
    for _ in range(training.steps):
        who_B = generator.choice(useful, min(_SPEAKERS_B, useful.size), replace=False)
        pairs_B2 = np.stack([generator.choice(rows_S[who], 2, replace=False) for who in who_B])
        own_B = torch.from_numpy(who_B).to(device)
        score_BB = _normalised(given_ND[pairs_B2[:, 0]], given_ND[pairs_B2[:, 1]], own_B, impostor_SD, training)
        loss = _cllr(scale_offset[0] * score_BB + scale_offset[1])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return unit_rows(impostor_SD.detach().cpu().numpy().astype(np.float64))


def _normalised(
    enrolment_BD: "Tensor", test_BD: "Tensor", own_B: "Tensor", impostor_SD: "Tensor", training: ImpostorTraining
) -> "Tensor":
    """Return the normalised scores of every pair, [B, B]; those of one speaker are on the diagonal."""
    from torch.nn.functional import normalize

    unit_SD = normalize(impostor_SD, dim=1)
    (mean_E, deviation_E), (mean_T, deviation_T) = (
        _statistics(side_BD @ unit_SD.T, own_B, training) for side_BD in (enrolment_BD, test_BD)
    )
    score_BB = enrolment_BD @ test_BD.T
    of_enrolment_BB = (score_BB - mean_E[:, None]) / deviation_E[:, None]
    return 0.5 * (of_enrolment_BB + (score_BB - mean_T) / deviation_T)


def _statistics(cosine_BS: "Tensor", own_B: "Tensor", training: ImpostorTraining) -> tuple["Tensor", "Tensor"]:
    """Return mean and deviation of the cosines with the nearest impostors, [B] each; nobody's own is among them."""
    penalty_BS = cosine_BS.new_zeros(cosine_BS.shape)
    penalty_BS[range(len(own_B)), own_B] = training.margin
    kept_BK = (cosine_BS - penalty_BS).topk(training.top, dim=1).indices
    nearest_BK = cosine_BS.gather(1, kept_BK)
    return nearest_BK.mean(dim=1), nearest_BK.std(dim=1, correction=0) + _STEADY


def _cllr(llr_BB: "Tensor") -> "Tensor":
    """Return the cost of log-likelihood ratios whose diagonal is of targets, in nats."""
    import torch
    from torch.nn.functional import softplus

    target_BB = torch.eye(len(llr_BB), dtype=torch.bool, device=llr_BB.device)
    return softplus(-llr_BB[target_BB]).mean() + softplus(llr_BB[~target_BB]).mean()
