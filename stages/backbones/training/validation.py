"""The EER of a backbone under training, on speakers that it is not trained on.

Shapes: U utterances, T samples, D embedding dimension.
"""

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Self

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from reseed.stages.audio.draw import draw, stable_seed
from reseed.stages.audio.manifest import Utterance
from reseed.stages.audio.mix import mix
from reseed.stages.audio.recipe import View
from reseed.stages.backbones.training.network import SpeakerClassifier
from reseed.stages.backbones.training.reader import SpeechReader, clean_crops
from reseed.stages.scoring.metrics import eer

_BATCH = 64


class HeldOutSpeakers:
    """Crops of speakers that are held out, in every pair: clean, and as one of the training's views renders them.

    Args:
        clean_UT, rendered_UT: the same crops clean and rendered.
        speakers: who speaks in each.
    """

    def __init__(self, clean_UT: Tensor, rendered_UT: Tensor, speakers: Sequence[str]) -> None:
        self._clean_UT, self._rendered_UT = clean_UT, rendered_UT
        pairs = np.array(list(combinations(range(len(speakers)), 2)))
        self._pairs_P2 = np.concatenate([pairs, pairs[:, ::-1]])
        names = np.array(speakers)
        self._same_P = names[self._pairs_P2[:, 0]] == names[self._pairs_P2[:, 1]]

    @classmethod
    def of(cls, utterances: Sequence[Utterance], views: Mapping[str, View], reader: SpeechReader) -> Self:
        """Cut the middle of each utterance, and render it in the views by turns, as the reader of a training does."""
        recipes = list(views.items())
        clean, draws, speakers = [], [], []
        crops = clean_crops(utterances, reader.crop_s, reader.sample_rate_hz)
        for number, (utterance, clean_T) in enumerate(crops):
            name, view = recipes[number % len(recipes)]
            speaker = str(utterance.speaker_id)
            seed = stable_seed(reader.seed, "judge", utterance.utterance_id, name)
            speakers.append(speaker)
            clean.append(torch.from_numpy(np.ascontiguousarray(clean_T)))
            draws.append(draw(clean_T, view, reader.bank, seed=seed, speaker=speaker))
        return cls(torch.stack(clean).to(reader.device), mix(draws, reader.sample_rate_hz, reader.device), speakers)

    @torch.no_grad()
    def eer(self, network: SpeakerClassifier) -> float:
        """Return the EER of clean enrolment against rendered tests, a fraction; 0.5 where vectors are not finite."""
        was_training = network.training
        network.eval()
        clean_UD, rendered_UD = (self._embedded(network, crops) for crops in (self._clean_UT, self._rendered_UT))
        network.train(was_training)
        score_UU = (clean_UD @ rendered_UD.T).double().cpu().numpy()
        if not np.isfinite(score_UU).all():
            return 0.5
        score_P = score_UU[self._pairs_P2[:, 0], self._pairs_P2[:, 1]]
        return eer(score_P[self._same_P], score_P[~self._same_P])

    @staticmethod
    def _embedded(network: SpeakerClassifier, crops_UT: Tensor) -> Tensor:
        parts = (network.centred(network.backbone(part).float()) for part in crops_UT.split(_BATCH))
        return torch.cat([F.normalize(part, dim=-1) for part in parts])
