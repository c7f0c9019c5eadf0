"""The table of scorers: ways of turning the two sides of a trial into a score.

To add one: a file with its class (see `reseed.stages.trial_scoring.scorers.base`), and one line here.
"""

from typing import Any

from reseed.stages.common.plugins import Code, Table, codes_of
from reseed.stages.common.section import Section
from reseed.stages.trial_scoring.inputs.cohort import Cohorts
from reseed.stages.trial_scoring.scorers.adapted_plda import PldaCoral, PldaCoralPlus, PldaInterpolated, PldaKaldi
from reseed.stages.trial_scoring.scorers.as_norm import AsNorm
from reseed.stages.trial_scoring.scorers.base import CohortScorer, Scorer
from reseed.stages.trial_scoring.scorers.cosine import Cosine
from reseed.stages.trial_scoring.scorers.crop_distance import CropDistance
from reseed.stages.trial_scoring.scorers.crop_pairs import CropPairs
from reseed.stages.trial_scoring.scorers.plda import Plda
from reseed.stages.trial_scoring.scorers.s_norm import SNorm
from reseed.stages.trial_scoring.scorers.tas_norm import TasNorm
from reseed.store import ConfigError, ScoringError

SCORERS: Table[type[Scorer[Any]]] = Table(
    "scorer",
    "reseed.scorers",
    Scorer,
    {
        "cosine": Cosine,
        "crop_pairs": CropPairs,
        "crop_distance": CropDistance,
        "as_norm": AsNorm,
        "s_norm": SNorm,
        "tas_norm": TasNorm,
        "plda": Plda,
        "plda_coral": PldaCoral,
        "plda_coral_plus": PldaCoralPlus,
        "plda_kaldi": PldaKaldi,
        "plda_interpolated": PldaInterpolated,
    },
)


def scorer_class(name: str) -> type[Scorer[Any]]:
    """Return the scorer called `name`.

    Raises:
        ConfigError: no such scorer; lists the choices.
    """
    return SCORERS.of(name)


def scorer_code(name: str) -> dict[str, Code]:
    """Return the code of a scorer of another package, by its name; of a built-in one nothing."""
    return codes_of(SCORERS.group, SCORERS.what, [name])


def make_scorer(name: str, config: Section, device: str, cohorts: Cohorts | None) -> Scorer[Any]:
    """Return a scorer by its name; one that needs cohorts is given them.

    Raises:
        ConfigError: no such scorer, or a config that belongs to another one.
        ScoringError: it needs cohorts and there are none, or it learns from them and they are too small.
    """
    kind = scorer_class(name)
    if not isinstance(config, kind.Config):
        raise ConfigError(f"scorer {name!r} takes a {kind.Config.__name__}, not a {type(config).__name__}")
    if not issubclass(kind, CohortScorer):
        return kind(config, device)
    if cohorts is None:
        raise ScoringError(f"scorer {name!r} needs other speakers; give it the cohorts of both sides")
    return kind(config, device, cohorts)
