"""Chain: several steps, one after the other, each fitted on what the steps before it make of the cache.

    train:
      plain: {chain: [centre, {lda: 128}, length_norm]}
      adapted: {chain: [{centre: {mean: store}}, vire, neighbours]}

A step is an enhancer in closed form, or one of `reseed.stages.enhancers.steps`. The chain is one model: one folder, one
file where it is exported.

Shapes: B batch, D embedding dimension, N utterances x crops of a block, V views.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Annotated, Any, cast

import torch
from pydantic import BeforeValidator, Field
from torch import Tensor, nn

from reseed.stages.common.plugins import Table
from reseed.stages.common.section import Section, Takes
from reseed.stages.enhancers.auto import Auto
from reseed.stages.enhancers.base import Enhancer, Speakers, TrainedEnhancer
from reseed.stages.enhancers.centre import Centre
from reseed.stages.enhancers.mmse import Imap, Mmse
from reseed.stages.enhancers.nap import Nap
from reseed.stages.enhancers.nda import Nda
from reseed.stages.enhancers.neighbours import Neighbours
from reseed.stages.enhancers.steps import Lda, LengthNorm, Whiten
from reseed.stages.enhancers.utterances import Blocks
from reseed.stages.enhancers.vire import Vire
from reseed.stages.enhancers.wccn import ViewWccn
from reseed.store import ReseedError

STEPS: Table[type[Enhancer]] = Table(
    "step of a chain",
    "reseed.enhancers",
    Enhancer,
    {
        "centre": Centre,
        "length_norm": LengthNorm,
        "whiten": Whiten,
        "lda": Lda,
        "nda": Nda,
        "wccn": ViewWccn,
        "vire": Vire,
        "nap": Nap,
        "mmse": Mmse,
        "imap": Imap,
        "auto": Auto,
        "neighbours": Neighbours,
    },
)
_MAIN = {  # what a bare number sets
    "lda": "dims",
    "nda": "dims",
    "nap": "directions",
    "neighbours": "strength",
    **dict.fromkeys(("whiten", "wccn", "vire", "mmse", "imap"), "shrinkage"),
}


def _spelt_out(given: object) -> object:
    """Return a list of steps with each as {name: settings}: "centre" and {"lda": 128} are short for those."""
    return [_step(step) for step in given] if isinstance(given, list | tuple) else given


def _step(given: object) -> object:
    name, settings = next(iter(given.items())) if isinstance(given, dict) and len(given) == 1 else (given, None)
    try:
        kind = STEPS.of(cast(str, name))
    except ReseedError as error:
        raise ValueError(f"{error}; a step is a name, or one name with its settings: {{lda: 128}}") from None
    if issubclass(kind, TrainedEnhancer):
        raise ValueError(f"{name} is trained, and the steps of a chain are in closed form; train it by itself")
    if not isinstance(settings, dict | None):
        if name not in _MAIN:
            raise ValueError(f"the step {name} takes no number; write it as {name}, or {name}: {{setting: value}}")
        settings = {_MAIN[name]: settings}
    return {name: kind.Config.model_validate(settings or {}).model_dump(mode="json")}


Steps = Annotated[
    list[dict[str, dict[str, Any]]],
    BeforeValidator(_spelt_out),
    Takes("a list of steps: " + ", ".join(f"`{name}`" for name in STEPS)),
]


class ChainConfig(Section):
    """Settings of a chain.

    Attributes:
        chain: the steps, in their order: each a name, or a name with its settings.
    """

    chain: Steps = Field(default=["centre"], min_length=1, validate_default=True, examples=[["centre", {"lda": 128}]])


class Chain(Enhancer):
    """Chain: steps in closed form, one after the other."""

    Config = ChainConfig
    config: ChainConfig

    def __init__(self, config: ChainConfig, dim: int) -> None:
        super().__init__(config, dim)
        made: list[Enhancer] = []
        for step in config.chain:
            ((name, settings),) = step.items()
            kind = STEPS.of(name)
            made.append(kind(kind.Config.model_validate(settings), made[-1].dim_out if made else dim))
        self.steps = nn.ModuleList(made)

    @property
    def dim_out(self) -> int:
        """Dimension after the last step."""
        return self._each[-1].dim_out

    @property
    def needs_noise(self) -> bool:
        """Whether a step does."""
        return any(step.needs_noise for step in self._each)

    @property
    def adapts(self) -> bool:
        """Whether a step learns from the store that is enhanced."""
        return any(step.adapts for step in self._each)

    def fit(self, blocks: Iterable[Tensor], view_names: list[str], crops: int = 1, speakers: Speakers = ()) -> None:
        """Fit each step on what those before it make of the blocks; a pass over the cache for every step.

        Raises:
            StoreError: vectors on which a step cannot be fitted.
        """
        for position, step in enumerate(self._each):
            before = _mapped(blocks, self._each[:position])
            step.fit(before, view_names, crops, speakers)
            if step.adapts and step is not self._each[-1]:  # what follows learns from vectors as they will be
                step.adapt(before, crops, len({*speakers} - {None}) or sum(map(len, before)) // crops)

    def remark(self) -> str:
        """Return what its steps say, one after the other."""
        return "; ".join(filter(None, (step.remark() for step in self._each)))

    def adapt(self, blocks: Iterable[Tensor], crops: int, speakers: int) -> None:
        """Let each step that adapts do so on what those before it make of the blocks."""
        for position, step in enumerate(self._each):
            if step.adapts:
                step.adapt(_mapped(blocks, self._each[:position]), crops, speakers)

    def enhance(self, embedding_BD: Tensor, generator: torch.Generator) -> Tensor:
        """Return what the last step gives, [B, dim_out]."""
        for step in self._each:
            embedding_BD = step.enhance(embedding_BD, generator)
        return embedding_BD

    def enhance_block(self, block_NVD: Tensor, generator: torch.Generator, first: int = 0) -> Tensor:
        """Return what the last step gives, [N, V, dim_out]."""
        for step in self._each:
            block_NVD = step.enhance_block(block_NVD, generator, first)
        return block_NVD

    @property
    def _each(self) -> Sequence[Enhancer]:
        return cast(Sequence[Enhancer], self.steps)


def _mapped(blocks: Iterable[Tensor], steps: Sequence[Enhancer]) -> Blocks:
    """Return blocks as some steps map them."""

    def read() -> Iterator[Tensor]:
        generator, first = torch.Generator(), 0
        for block_NVD in blocks:
            for step in steps:
                block_NVD = step.enhance_block(block_NVD, generator, first)
            first += len(block_NVD)
            yield block_NVD

    return Blocks(read)
