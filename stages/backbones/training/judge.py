"""The EER of a backbone under training, on speakers that it is not trained on.

Shapes: U utterances, T samples, D embedding dimension.
"""

from collections.abc import Sequence
from itertools import combinations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from reseed.stages.audio.manifest import Utterance
from reseed.stages.backbones.training.network import SpeakerClassifier
from reseed.stages.scoring.metrics import eer

_BATCH = 64


class HeldOutSpeakers:
    """Crops of speakers that are held out, in every pair; plain, and as one of the training's views renders them.

    Args:
        plain_UT, rendered_UT: the same crops clean and rendered.
        speakers: who speaks in each.
    """

    def __init__(self, plain_UT: Tensor, rendered_UT: Tensor, speakers: Sequence[str]) -> None:
        self._plain_UT, self._rendered_UT = plain_UT, rendered_UT
        pairs = np.array(list(combinations(range(len(speakers)), 2)))
        self._pairs_P2 = np.concatenate([pairs, pairs[:, ::-1]])
        names = np.array(speakers)
        self._same_P = names[self._pairs_P2[:, 0]] == names[self._pairs_P2[:, 1]]

    @torch.no_grad()
    def eer(self, network: SpeakerClassifier) -> float:
        """Return the EER of clean enrolment against rendered tests, a fraction; 0.5 where vectors are not finite."""
        was_training = network.training
        network.eval()
        plain_UD, rendered_UD = (self._embedded(network, crops) for crops in (self._plain_UT, self._rendered_UT))
        network.train(was_training)
        score_UU = (plain_UD @ rendered_UD.T).double().cpu().numpy()
        if not np.isfinite(score_UU).all():
            return 0.5
        score_P = score_UU[self._pairs_P2[:, 0], self._pairs_P2[:, 1]]
        return eer(score_P[self._same_P], score_P[~self._same_P])

    @staticmethod
    def _embedded(network: SpeakerClassifier, crops_UT: Tensor) -> Tensor:
        return torch.cat([F.normalize(network.backbone(part).float(), dim=-1) for part in crops_UT.split(_BATCH)])


def hold_out(utterances: Sequence[Utterance], share: float, most: int = 256) -> tuple[list[Utterance], list[Utterance]]:
    """Part the speakers: those trained on, and at most `most` utterances of the last `share` of those with several."""
    counts: dict[str, int] = {}
    for utterance in utterances:
        if utterance.speaker_id is not None:
            counts[utterance.speaker_id] = counts.get(utterance.speaker_id, 0) + 1
    several = sorted(speaker for speaker, count in counts.items() if count > 1)
    held = set(several[len(several) - round(share * len(several)) :]) if share else set()
    kept = [utterance for utterance in utterances if utterance.speaker_id not in held]
    return kept, [utterance for utterance in utterances if utterance.speaker_id in held][:most]
