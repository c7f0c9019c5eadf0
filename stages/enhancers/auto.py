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

from collections.abc import Iterable, Iterator
from itertools import product

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from reseed.stages.common.section import Section
from reseed.stages.enhancers.base import Enhancer, Speakers
from reseed.stages.enhancers.centre import Centre, CentreConfig
from reseed.stages.enhancers.utterances import sampled_utterances
from reseed.stages.enhancers.vire import Vire, VireConfig
from reseed.stages.enhancers.wccn import ViewWccn, WccnConfig

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


class Auto(Enhancer):
    """Auto: the map in closed form that validation without labels prefers, or centring."""

    Config = AutoConfig
    config: AutoConfig
    mean_D: Tensor
    map_DD: Tensor
    chosen: Tensor
    loss_K: Tensor
    judged: Tensor
    change_2: Tensor

    def __init__(self, config: AutoConfig, dim: int) -> None:
        super().__init__(config, dim)
        self.register_buffer("mean_D", torch.zeros(dim))
        self.register_buffer("map_DD", torch.eye(dim))
        self.register_buffer("chosen", torch.tensor(0))
        self.register_buffer("loss_K", torch.zeros(len(_candidates(config, dim))))
        self.register_buffer("judged", torch.tensor(False))
        self.register_buffer("change_2", torch.zeros(2))  # of the loss by the best, and its deviation

    def fit(self, blocks: Iterable[Tensor], view_names: list[str], crops: int = 1, speakers: Speakers = ()) -> None:
        """Judge all candidates, choose, and fit the chosen one, in passes over the blocks [N, V, D]."""
        chosen = 0
        if crops > 1 and "clean" in view_names and len(view_names) > 1:
            unit_UCVD = sampled_utterances(blocks, crops, _SAMPLE)
            if len(unit_UCVD) >= _LEAST:
                chosen = self._judge(unit_UCVD, view_names)
        self.chosen.fill_(chosen)
        mean_D, map_DD = _fitted(self, chosen, _Unit(blocks), view_names, crops)
        self.mean_D.copy_(mean_D)
        self.map_DD.copy_(map_DD)

    def _judge(self, unit_UCVD: Tensor, view_names: list[str]) -> int:
        """Return the place of the best candidate, 0 where none is better than centring beyond chance."""
        loss_KU = torch.stack([_losses(unit_UCVD, place, self, view_names) for place in range(len(self.loss_K))])
        best = int(loss_KU.mean(dim=1).argmin())
        change_U = loss_KU[best] - loss_KU[0]
        deviation = change_U.std() / len(change_U) ** 0.5
        self.loss_K.copy_(loss_KU.mean(dim=1))
        self.judged.fill_(True)
        self.change_2.copy_(torch.stack([change_U.mean(), deviation]))
        return best if change_U.mean() < -_CHANCE * deviation else 0

    def enhance(self, embedding_BD: Tensor, generator: torch.Generator) -> Tensor:
        """Return unit vectors [B, D]; deterministic."""
        return F.normalize((F.normalize(embedding_BD, dim=-1) - self.mean_D) @ self.map_DD, dim=-1)

    def remark(self) -> str:
        """Return which candidate was chosen, what it gains over centring, and whether that is beyond chance."""
        names = [name for name, _ in _candidates(self.config, self.dim)]
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


class _Unit:
    """Blocks of unit vectors, each time they are iterated."""

    def __init__(self, blocks: Iterable[Tensor]) -> None:
        self._blocks = blocks

    def __iter__(self) -> Iterator[Tensor]:
        return (F.normalize(block_NVD, dim=-1) for block_NVD in self._blocks)


def _candidates(config: AutoConfig, dim: int) -> list[tuple[str, Centre | ViewWccn | Vire]]:
    """Return the candidates by name, unfitted; centring first."""
    found: list[tuple[str, Centre | ViewWccn | Vire]] = [("centre", Centre(CentreConfig(), dim))]
    for shrinkage in config.shrinkages:
        found.append((f"wccn (shrinkage {shrinkage:g})", ViewWccn(WccnConfig(shrinkage=shrinkage), dim)))
    for shrinkage, emphasis in product(config.shrinkages, config.emphases):
        name = f"vire (shrinkage {shrinkage:g}, emphasis {emphasis:g})"
        found.append((name, Vire(VireConfig(shrinkage=shrinkage, emphasis=emphasis), dim)))
    return found


def _fitted(
    auto: Auto, place: int, blocks: Iterable[Tensor], view_names: list[str], crops: int
) -> tuple[Tensor, Tensor]:
    """Return mean [D] and map [D, D] of a candidate fitted on unit vectors."""
    enhancer = _candidates(auto.config, auto.dim)[place][1].to(auto.mean_D.device)
    enhancer.fit(blocks, view_names, crops)
    if isinstance(enhancer, Centre):
        return enhancer.unit_mean_D, torch.eye(auto.dim, device=auto.mean_D.device)
    return enhancer.mean_D, enhancer.whitening_DD if isinstance(enhancer, ViewWccn) else enhancer.map_DD


def _losses(unit_UCVD: Tensor, place: int, auto: Auto, view_names: list[str]) -> Tensor:
    """Return what finding each utterance costs under a candidate [U], in nats."""
    clean = view_names.index("clean")
    noisy = [view for view in range(len(view_names)) if view != clean]
    loss_U = unit_UCVD.new_zeros(len(unit_UCVD))
    for fold in range(2):
        seen, held_out = unit_UCVD[1 - fold :: 2], unit_UCVD[fold::2]
        mean_D, map_DD = _fitted(auto, place, [seen.flatten(0, 1)], view_names, unit_UCVD.shape[1])
        mapped_UCVD = F.normalize((held_out - mean_D) @ map_DD, dim=-1)
        first_UVD, second_UVD = (F.normalize(part.mean(dim=1), dim=-1) for part in mapped_UCVD.tensor_split(2, dim=1))
        scores = [first_UVD[:, clean] @ second_UVD[:, view].T for view in range(len(view_names))]
        by_scale = [torch.stack([_cross_entropy(scale * score_UU) for score_UU in scores]) for scale in _SCALES]
        each = [(loss_VU[clean] + loss_VU[noisy].mean(dim=0)) / 2 for loss_VU in by_scale]
        loss_U[fold::2] = min(each, key=lambda loss_U: float(loss_U.mean()))
    return loss_U


def _cross_entropy(logit_UU: Tensor) -> Tensor:
    """Return the cross-entropy [U] of the diagonal among its row and among its column, halved and added."""
    rows_U, columns_U = logit_UU.logsumexp(dim=1), logit_UU.logsumexp(dim=0)
    return (rows_U + columns_U) / 2 - logit_UU.diagonal()
