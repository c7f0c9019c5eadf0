"""What every alignment of two backbones must do.

Shapes: N rows, D and E dimensions of the two sides.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from reseed.stages.aligners.base import SIDES, Alignment
from reseed.stages.aligners.folder import AlignmentInfo, load_alignment, save_alignment
from reseed.stages.aligners.shared import SharedRows
from reseed.stages.aligners.table import aligner_class, make_alignment
from reseed.stages.scoring.metrics import eer

SPEAKERS, EACH, LATENT = 40, 6, 12


def speaker_of_rows() -> Tensor:
    """Return the number of the speaker of each row of `world`, [N]."""
    return torch.arange(SPEAKERS).repeat_interleave(4 * EACH)


def world(dims: tuple[int, int] = (24, 18), seed: int = 0, unknown: bool = False) -> SharedRows:
    """Two backbones that see the same speakers through maps of their own, each with sessions and noise of its own.

    Args:
        unknown: whether the speakers are.
    """
    draw = np.random.default_rng(seed)
    maps = [np.random.default_rng(99 + side).normal(size=(LATENT, dim)) for side, dim in enumerate(dims)]
    voices = np.repeat(draw.normal(size=(SPEAKERS, LATENT)), EACH, axis=0)
    rows = np.repeat(voices + 0.3 * draw.normal(size=voices.shape), 4, axis=0)  # crops and views of an utterance
    sides = [rows @ m + 1.0 * draw.normal(size=(len(rows), m.shape[1])) + 2.0 for m in maps]
    enrolment, test = (F.normalize(torch.from_numpy(side).float(), dim=-1) for side in sides)
    speaker = speaker_of_rows()
    utterance = torch.arange(SPEAKERS * EACH).repeat_interleave(4)
    return SharedRows(enrolment, test, utterance, speaker * 0 - 1 if unknown else speaker)


def cross_eer(alignment: Alignment, shared: SharedRows, speaker: Tensor) -> float:
    """EER of enrolment rows against test rows of other utterances."""
    with torch.no_grad():
        first, second = alignment.map("enrolment", shared.enrolment_ND), alignment.map("test", shared.test_NE)
    score = (first @ second.T).numpy()
    same = (speaker[:, None] == speaker[None]).numpy()
    other = (shared.utterance_N[:, None] != shared.utterance_N[None]).numpy()
    return float(eer(score[same & other], score[~same]))


def fitted(name: str, shared: SharedRows, **settings: Any) -> Alignment:
    """Return an alignment that has learnt from shared rows."""
    dims = shared.enrolment_ND.shape[1], shared.test_NE.shape[1]
    config = aligner_class(name).Config.model_validate(settings)
    alignment = make_alignment(name, config, dims, SPEAKERS if name == "logits" else 0)
    list(alignment.fit(shared, 0))
    return alignment.eval()


class AlignerContract:
    """What every alignment must do that learns from what two stores share.

    Attributes:
        aligner: its name, or package.module:Class.
        settings: those to test it with, where the defaults do not do.
    """

    aligner: ClassVar[str]
    settings: ClassVar[Mapping[str, Any]] = {}

    @pytest.fixture
    def name(self) -> str:
        """The alignment under test; reseed's own tests give all of their table."""
        return self.aligner

    def given(self, name: str) -> dict[str, Any]:
        """Return the settings to test it with."""
        return dict(self.settings)

    def test_speakers_that_training_never_saw_are_told_apart_across_backbones(self, name: str) -> None:
        alignment, test = fitted(name, world(seed=0), **self.given(name)), world(seed=1)
        rate = cross_eer(alignment, test, speaker_of_rows())
        assert rate < 0.2, (
            f"speakers that it has not seen are told apart across two backbones at an EER of {100 * rate:.0f} %, not "
            "below 20 %: check that enrolment and test are mapped into one space, rows being pairs"
        )

    def test_mapped_vectors_are_finite_and_of_one_dimension_and_of_unit_length(self, name: str) -> None:
        alignment, test = fitted(name, world(seed=0), **self.given(name)), world(seed=1)
        with torch.no_grad():
            sides = [alignment.map(side, x) for side, x in zip(SIDES, (test.enrolment_ND, test.test_NE), strict=True)]
        shapes = [list(mapped.shape) for mapped in sides]
        assert shapes[0] == shapes[1], f"the two sides are mapped to {shapes[0]} and {shapes[1]}; both must be [N, K]"
        for side, mapped in zip(SIDES, sides, strict=True):
            assert mapped.isfinite().all(), f"map returns values that are not finite for the {side} side"
            assert ((mapped.norm(dim=1) - 1).abs() < 1e-4).all(), (
                f"vectors of the {side} side are not of unit length; end map with F.normalize(..., dim=-1)"
            )

    def test_the_same_seed_gives_the_same_maps(self, name: str) -> None:
        first, second = (fitted(name, world(), **self.given(name)).state_dict() for _ in range(2))
        for key, value in first.items():
            assert torch.equal(value, second[key]), (
                f"{key} differs between two of one seed: draw by torch's generator, or by one seeded with `seed`"
            )

    def test_a_loaded_alignment_equals_the_saved_one(self, name: str, tmp_path: Path) -> None:
        shared = world()
        alignment = fitted(name, shared, **self.given(name))
        mapped = alignment.map("test", shared.test_NE)
        info = AlignmentInfo(
            method=name,
            config=alignment.config.model_dump(mode="json"),
            spaces=("a:1", "b:2"),
            dims=alignment.dims,
            shared_dim=SPEAKERS if name == "logits" else mapped.shape[1],
            seed=0,
            stores=("0", "1"),
            stored=(1, 1),
            views=["clean"],
            utterances=1,
        )
        save_alignment(tmp_path / "alignment", alignment, info, [])
        loaded, _ = load_alignment(tmp_path / "alignment")
        assert torch.equal(loaded.map("test", shared.test_NE), mapped), (
            "once saved and loaded it gives other vectors: everything that is learnt must be a parameter or a buffer"
        )
