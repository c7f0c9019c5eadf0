"""A trained alignment as a directory: weights.safetensors, alignment.json, train.jsonl, README.md."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from reseed.stages.aligners.base import SIDES, Alignment, Side
from reseed.stages.aligners.table import aligner_class, make_alignment
from reseed.stages.training.folder import Epoch, TrainedFolder, TrainedInfo, table_of
from reseed.store import ModelError
from reseed.store.url import AnyPath


class AlignmentInfo(TrainedInfo):
    """What alignment.json says.

    Attributes:
        method, config: a name in `reseed.stages.aligners.ALIGNERS` and its settings.
        spaces, dims: of the enrolment and of the test side.
        shared_dim: of the space both are mapped to.
        stores: fingerprints of the two stores it was learnt from; stored: how many utterances either held.
        views, utterances: what they shared.
    """

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

    @property
    def space(self) -> str:
        """The name of the shared space, e.g. "ge2e~ecapa_tdnn:1a2b3c4d"."""
        sides = "~".join(space.partition(":")[0] for space in self.spaces)
        return f"{sides}:{self.weights_sha256[:8]}"

    @property
    def in_words(self) -> str:
        """How it was learnt, and from what."""
        of = "" if {*self.stored} == {self.utterances} else f" (of {self.stored[0]} and {self.stored[1]})"
        shared = f"{self.utterances} shared utterances{of} in {len(self.views)} views"
        return f"{self.method} of {shared}, space {self.space}"

    def check_side(self, space: str, side: Side, store: AnyPath, model: Path) -> None:
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


FOLDER = TrainedFolder("an alignment", "reseed align", AlignmentInfo, "alignment.json")


def save_alignment(path: Path, alignment: Alignment, info: AlignmentInfo, history: Sequence[Epoch]) -> AlignmentInfo:
    """Write the directory, replacing an older alignment there; whole or not at all.

    Returns:
        `info` with the digest of the weights.

    Raises:
        ModelError: `path` is something other than an alignment.
    """
    return FOLDER.write(path, alignment.state_dict(), info, history, _card)


def load_alignment(path: Path) -> tuple[Alignment, AlignmentInfo]:
    """Return the alignment of a directory, frozen, and its alignment.json.

    Raises:
        ModelError: not an alignment, or damaged.
    """
    return FOLDER.load(path, _build)


def _build(info: AlignmentInfo) -> Alignment:
    config = aligner_class(info.method).Config.model_validate(info.config)
    return make_alignment(info.method, config, info.dims, info.shared_dim)


def _card(info: AlignmentInfo) -> str:
    title = (aligner_class(info.method).__doc__ or "").split("\n", 1)[0]
    return (
        f"# An alignment: {info.method}\n\n{title}\n\n"
        f"Enrolment side: {info.spaces[0]}, {info.dims[0]} dimensions. Test side: {info.spaces[1]}, {info.dims[1]} "
        f"dimensions. Shared space: {info.space}, {info.shared_dim} dimensions.\n\n"
        f"Learnt from {info.utterances} utterances that both stores hold (of {info.stored[0]} and "
        f"{info.stored[1]}), in the views {', '.join(info.views)}; seed {info.seed}.\n\n"
        "Map a store of either side, and score them against each other:\n\n"
        "    reseed map --store ENROLMENT --model MODEL --side enrolment --mapped MAPPED_ENROLMENT\n"
        "    reseed map --store TEST --model MODEL --side test --mapped MAPPED_TEST\n\n"
        f"{table_of(info.config)}"
    )
