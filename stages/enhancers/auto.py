"""Auto: the map in closed form that the cache itself says is best; centring where none is better beyond chance.

Candidates are centring, `wccn` and `vire` with several shrinkages and emphases. Each is fitted on half of the
utterances and judged on the other half, and the other way round, without labels: the first half of an utterance's crops
is enrolled from its clean view and looked for by the second half in every view, among those of all other utterances.
The criterion is the cross-entropy of finding it, by a softmax of cosines at the scale that suits the candidate best;
clean speech counts as much as all noise. It varies less from utterance to utterance than an EER does. What is chosen is
fitted on everything.

Shrinkages below 1 are not tried by default: crops of one utterance lack what different utterances of a speaker have
different, which makes too little of it look good (measured: docs/results/enhancers.md).

Shapes: B batch, C crops, D embedding dimension, K candidates, N utterances x crops of a block, U utterances, V views.
"""

from collections.abc import Iterable
from itertools import product
from typing import NamedTuple

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from reseed.stages.common.section import Section
from reseed.stages.enhancers.base import Enhancer, MappingEnhancer, Speakers
from reseed.stages.enhancers.centre import Centre
from reseed.stages.enhancers.utterances import Blocks, sampled_utterances
from reseed.stages.enhancers.vire import Vire
from reseed.stages.enhancers.wccn import ViewWccn
from reseed.stages.training.data import CLEAN_VIEW
from reseed.stages.training.validation import cross_entropy_of_finding

_SAMPLE = 2048  # utterances at most that candidates are judged on
_LEAST = 20  # and at least; with fewer it is centring
_SCALES = (6.0, 8.0, 10.0, 12.0, 15.0, 18.0, 22.0, 27.0, 33.0)  # of cosines in the softmax
_CHANCE = 2.0  # deviations above which a change is beyond chance


class AutoConfig(Section):
    """Settings of the choice.

    Attributes:
        shrinkages: of `wccn` and `vire`, that are tried.
        emphases: of `vire`, that are tried with each shrinkage.
    """

    shrinkages: tuple[float, ...] = Field(default=(1.0, 3.0), min_length=1)
    emphases: tuple[float, ...] = Field(default=(0.3, 0.5, 0.65), min_length=1)


class Auto(MappingEnhancer):
    """Auto: the map in closed form that validation without labels prefers, or centring."""

    Config = AutoConfig
    config: AutoConfig
    chosen: Tensor
    loss_K: Tensor
    judged: Tensor
    change_2: Tensor

    def __init__(self, config: AutoConfig, dim: int) -> None:
        super().__init__(config, dim)
        self.register_buffer("chosen", torch.tensor(0))
        self.register_buffer("loss_K", torch.zeros(len(_candidates(config))))
        self.register_buffer("judged", torch.tensor(False))
        self.register_buffer("change_2", torch.zeros(2))  # of the loss by the best, and its deviation

    def fit(self, blocks: Iterable[Tensor], view_names: list[str], crops: int = 1, speakers: Speakers = ()) -> None:
        """Judge all candidates, choose, and fit the chosen one, in passes over the blocks [N, V, D]."""
        chosen = 0
        if crops > 1 and CLEAN_VIEW in view_names and len(view_names) > 1:
            unit_UCVD = sampled_utterances(blocks, crops, _SAMPLE)
            if len(unit_UCVD) >= _LEAST:
                chosen = self._judge(unit_UCVD, view_names)
        self.chosen.fill_(chosen)
        unit = Blocks(lambda: (F.normalize(block_NVD, dim=-1) for block_NVD in blocks))
        mean_D, map_DD = _candidates(self.config)[chosen].fitted(unit, view_names, crops, self.mean_D)
        self.mean_D.copy_(mean_D)
        self.map_DD.copy_(map_DD)

    def _judge(self, unit_UCVD: Tensor, view_names: list[str]) -> int:
        """Return the place of the best candidate, 0 where none is better than centring beyond chance."""
        loss_KU = torch.stack([_losses(unit_UCVD, each, view_names) for each in _candidates(self.config)])
        best = int(loss_KU.mean(dim=1).argmin())
        change_U = loss_KU[best] - loss_KU[0]
        deviation = change_U.std() / len(change_U) ** 0.5
        self.loss_K.copy_(loss_KU.mean(dim=1))
        self.judged.fill_(True)
        self.change_2.copy_(torch.stack([change_U.mean(), deviation]))
        return best if change_U.mean() < -_CHANCE * deviation else 0

    def remark(self) -> str:
        """Return which candidate was chosen, what it gains over centring, and whether that is beyond chance."""
        names = [candidate.name for candidate in _candidates(self.config)]
        if not self.judged:
            return f"chose centring: maps are judged by two crops or more of {_LEAST} utterances, clean and in noise"
        best = int(self.loss_K.argmin())
        change, deviation = (100 * self.change_2 / self.loss_K[0]).tolist()
        gain = f"finding held-out utterances by other crops of theirs, without labels: loss {change:+.1f} %"
        if best == 0:
            return f"chose centring: none of {len(names) - 1} maps is better at finding held-out utterances"
        if int(self.chosen) == 0:
            return f"chose centring: {names[best]} is not better beyond chance at {gain} (deviation {deviation:.1f})"
        return f"chose {names[best]} of {len(names)} candidates, {gain} (deviation {deviation:.1f}) against centring"


class _Candidate(NamedTuple):
    name: str
    kind: type[Enhancer]
    settings: dict[str, float]

    def fitted(
        self, blocks: Iterable[Tensor], view_names: list[str], crops: int, like_D: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return its mean [D] and map [D, D], fitted on unit vectors, where `like_D` lies."""
        enhancer = self.kind(self.kind.Config.model_validate(self.settings), len(like_D)).to(like_D.device)
        enhancer.fit(blocks, view_names, crops)
        if isinstance(enhancer, Centre):
            return enhancer.unit_mean_D, torch.eye(len(like_D), device=like_D.device)
        if isinstance(enhancer, ViewWccn):
            return enhancer.mean_D, enhancer.whitening_DD
        assert isinstance(enhancer, Vire)
        return enhancer.mean_D, enhancer.map_DD


def _candidates(config: AutoConfig) -> list[_Candidate]:
    """Return the candidates; centring first."""
    found = [_Candidate("centre", Centre, {})]
    for shrinkage in config.shrinkages:
        found.append(_Candidate(f"wccn (shrinkage {shrinkage:g})", ViewWccn, {"shrinkage": shrinkage}))
    for shrinkage, emphasis in product(config.shrinkages, config.emphases):
        name = f"vire (shrinkage {shrinkage:g}, emphasis {emphasis:g})"
        found.append(_Candidate(name, Vire, {"shrinkage": shrinkage, "emphasis": emphasis}))
    return found


def _losses(unit_UCVD: Tensor, candidate: _Candidate, view_names: list[str]) -> Tensor:
    """Return what finding each utterance costs under a candidate [U], in nats."""
    clean, like_D = view_names.index(CLEAN_VIEW), unit_UCVD[0, 0, 0]
    noisy = [view for view in range(len(view_names)) if view != clean]
    loss_U = unit_UCVD.new_zeros(len(unit_UCVD))
    for fold in range(2):
        seen, held_out = unit_UCVD[1 - fold :: 2], unit_UCVD[fold::2]
        mean_D, map_DD = candidate.fitted([seen.flatten(0, 1)], view_names, unit_UCVD.shape[1], like_D)
        mapped_UCVD = F.normalize((held_out - mean_D) @ map_DD, dim=-1)
        first_UVD, second_UVD = (F.normalize(part.mean(dim=1), dim=-1) for part in mapped_UCVD.tensor_split(2, dim=1))
        score_VUU = first_UVD[:, clean] @ second_UVD.permute(1, 2, 0)
        by_scale = [cross_entropy_of_finding(scale * score_VUU) for scale in _SCALES]
        each = [(loss_VU[clean] + loss_VU[noisy].mean(dim=0)) / 2 for loss_VU in by_scale]
        loss_U[fold::2] = min(each, key=lambda loss_U: float(loss_U.mean()))
    return loss_U
