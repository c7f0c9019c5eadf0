"""A trained alignment as a directory: weights.safetensors, alignment.json, train.jsonl, README.md."""

from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file

from reseed.stages.aligners.base import SIDES, Alignment, Side
from reseed.stages.aligners.table import aligner_class
from reseed.stages.training.folder import TrainedFolder
from reseed.store import ConfigError, ModelError, atomic

_WEIGHTS, _INFO = "weights.safetensors", "alignment.json"
_FOLDER = TrainedFolder("an alignment", _INFO, _WEIGHTS)


class AlignmentInfo(BaseModel):
    """What alignment.json says.

    Attributes:
        method, config: a name in `reseed.stages.aligners.ALIGNERS` and its settings.
        spaces, dims: of the enrolment and of the test side.
        shared_dim: of the space both are mapped to.
        stores: fingerprints of the two stores it was learnt from; stored: how many utterances either held.
        views, utterances: what they shared.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    method: str
    config: dict[str, Any]
    spaces: tuple[str, str]
    dims: tuple[int, int]
    shared_dim: int
    seed: int
    stores: tuple[str, str]
    stored: tuple[int, int]
    views: list[str]
    utterances: int
    weights_sha256: str = ""

    @property
    def space(self) -> str:
        """The name of the shared space, e.g. "ge2e~ecapa_tdnn:1a2b3c4d"."""
        sides = "~".join(space.partition(":")[0] for space in self.spaces)
        return f"{sides}:{self.weights_sha256[:8]}"

    def check_side(self, space: str, side: Side, store: Path, model: Path) -> None:
        """Check that vectors of a space belong on a side.

        Raises:
            ModelError: they are those of the other side, or of neither; names both.
        """
        wanted = self.spaces[SIDES.index(side)]
        if space == wanted:
            return
        other = SIDES[1 - SIDES.index(side)]
        if space == self.spaces[SIDES.index(other)]:
            raise ModelError(
                f"{store} holds {space}, the {other} side of {model}, not the {side} side; map it as --side {other}"
            )
        raise ModelError(
            f"the {side} side of {model} takes {wanted}, {store} holds {space}; align a store of that space"
        )


def save_alignment(
    path: Path, alignment: Alignment, info: AlignmentInfo, history: list[dict[str, float]]
) -> AlignmentInfo:
    """Write the directory, replacing an older alignment there; whole or not at all.

    Raises:
        ModelError: `path` is something other than an alignment.
    """

    def told(sha256: str) -> tuple[dict[str, Any], str]:
        nonlocal info
        info = info.model_copy(update={"weights_sha256": sha256})
        return info.model_dump(mode="json"), _card(alignment, info)

    _FOLDER.write(path, alignment.state_dict(), history, told)
    return info


def load_alignment(path: Path) -> tuple[Alignment, AlignmentInfo]:
    """Return the alignment of a directory, frozen, and its alignment.json.

    Raises:
        ModelError: not an alignment, or damaged.
    """
    try:
        info = AlignmentInfo.model_validate_json((path / _INFO).read_text())
        kind: Any = aligner_class(info.method)
        extra = {"speakers": info.shared_dim} if info.method == "logits" else {}
        alignment = kind(kind.Config.model_validate(info.config), info.dims, **extra)
        if atomic.sha256_file(path / _WEIGHTS) != info.weights_sha256:
            raise ModelError(f"{path / _WEIGHTS} is not what was written; train the alignment again")
        alignment.load_state_dict(load_file(path / _WEIGHTS))
    except (OSError, ValidationError, ConfigError, SafetensorError, RuntimeError) as error:
        problem = " ".join(str(error).split())
        raise ModelError(f"{path} is no alignment that can be used ({problem}); make it with `reseed align`") from error
    return alignment.eval().requires_grad_(False), info


def _card(alignment: Alignment, info: AlignmentInfo) -> str:
    title = (type(alignment).__doc__ or "").split("\n", 1)[0]
    settings = "".join(f"| {name} | {value} |\n" for name, value in info.config.items()) or "| none | |\n"
    return (
        f"# An alignment: {info.method}\n\n{title}\n\n"
        f"Enrolment side: {info.spaces[0]}, {info.dims[0]} dimensions. Test side: {info.spaces[1]}, {info.dims[1]} "
        f"dimensions. Shared space: {info.space}, {info.shared_dim} dimensions.\n\n"
        f"Learnt from {info.utterances} utterances that both stores hold (of {info.stored[0]} and "
        f"{info.stored[1]}), in the views {', '.join(info.views)}; seed {info.seed}.\n\n"
        f"| setting | value |\n|---|---|\n{settings}"
    )
