"""Settings of scoring and calibration; the names of scorers are those of their table."""

from typing import TYPE_CHECKING, Literal

from pydantic import Field, field_validator

from reseed.stages.common.section import Section
from reseed.stages.trial_scoring.inputs.cohort import CohortSettings
from reseed.stages.trial_scoring.scorers.base import CohortScorer
from reseed.stages.trial_scoring.scorers.plda import PldaSettings
from reseed.stages.trial_scoring.table import SCORERS

# A name of the table; spelt out at run time, so that a wrong one is answered with the right ones.
if TYPE_CHECKING:
    Scoring = str
else:
    Scoring = Literal[tuple(SCORERS)]
Measure = Literal["duration", "norm", "snr"]


class ScoreSettings(Section):
    """How trials are scored. A scorer that has settings has a field of its name.

    Attributes:
        scorings: each of cosine (mean of the crops), crop_pairs (mean cosine of all pairs of crops), crop_distance
            (SEED: minus their mean distance), as_norm, s_norm and plda; the first is the one a report opens with.
        enrolment_view: the view that enrolment embeddings come from.
        allow_missing: leave out (and count) trials whose utterances are not in the store, instead of refusing them.
    """

    scorings: tuple[Scoring, ...] = Field(default=("cosine",), min_length=1)
    enrolment_view: str = "clean"
    allow_missing: bool = False
    cohort: CohortSettings = CohortSettings()
    plda: PldaSettings = PldaSettings()

    @field_validator("scorings")
    @classmethod
    def _each_once(cls, scorings: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(scorings)) < len(scorings):
            raise ValueError(f"scorings names one twice: {', '.join(scorings)}")
        return scorings

    def of(self, scoring: str) -> Section:
        """Return the settings of one scorer."""
        settings: Section = getattr(self, scoring) if scoring in type(self).model_fields else SCORERS[scoring].Config()
        return settings

    @property
    def need_cohort(self) -> list[str]:
        """Which of the scorings compare with other speakers, or learn from them."""
        return [scoring for scoring in self.scorings if issubclass(SCORERS[scoring], CohortScorer)]


class CalibrationSettings(Section):
    """How scores become likelihood ratios.

    Attributes:
        p_target: prior of a target trial at which the fit is best.
        quality: measures that join the scores: duration (of the recordings), norm (of the vectors) and snr (estimated).
    """

    p_target: float = Field(default=0.05, gt=0, lt=1)
    quality: tuple[Measure, ...] = ()
