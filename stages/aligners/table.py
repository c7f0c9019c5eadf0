"""Alignments by name. To add one: a file with its Config and class, and one line here."""

from reseed.stages.aligners.base import Alignment
from reseed.stages.aligners.closed_form import (
    CanonicalCorrelation,
    Identity,
    Procrustes,
    RidgeRegression,
    SpeakerLogits,
)
from reseed.stages.aligners.nessa import Nessa
from reseed.stages.common.choice import chosen

ALIGNERS: dict[str, type[Alignment]] = {
    "identity": Identity,
    "procrustes": Procrustes,
    "ridge": RidgeRegression,
    "cca": CanonicalCorrelation,
    "logits": SpeakerLogits,
    "nessa": Nessa,
}


def aligner_class(name: str) -> type[Alignment]:
    """Return the class behind `name`; an unknown name raises ConfigError with the choices."""
    return chosen(name, ALIGNERS, "alignment")
