"""Alignments by name. To add one: a file with its Config and class, and one line here."""

import torch

from reseed.stages.aligners.auto import Auto
from reseed.stages.aligners.base import Alignment
from reseed.stages.aligners.closed_form import (
    CanonicalCorrelation,
    Identity,
    Procrustes,
    RidgeRegression,
    SpeakerLogits,
)
from reseed.stages.aligners.nessa import Nessa
from reseed.stages.common.plugins import Code, Table, codes_of
from reseed.stages.common.section import Section

ALIGNERS: Table[type[Alignment]] = Table(
    "alignment",
    "reseed.aligners",
    Alignment,
    {
        "identity": Identity,
        "procrustes": Procrustes,
        "ridge": RidgeRegression,
        "cca": CanonicalCorrelation,
        "logits": SpeakerLogits,
        "nessa": Nessa,
        "auto": Auto,
    },
)


def aligner_class(name: str) -> type[Alignment]:
    """Return the class behind `name`; an unknown name raises ConfigError with the choices."""
    return ALIGNERS.of(name)


def aligner_code(name: str) -> dict[str, Code]:
    """Return the code of an alignment of another package, by its name; of a built-in one nothing."""
    return codes_of(ALIGNERS.group, ALIGNERS.what, [name])


def make_alignment(name: str, config: Section, dims: tuple[int, int], speakers: int, seed: int = 0) -> Alignment:
    """Return a new alignment, its weights initialised from `seed` alone.

    Args:
        dims: dimensions of the enrolment and of the test side.
        speakers: how many both sides know by name.

    Raises:
        ConfigError: no such alignment.
        ModelError: one that these dimensions do not suit.
    """
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return aligner_class(name)(config, dims, speakers)
