"""Settings of scoring and calibration; the names of scorers are those of their table."""

from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import Field

from reseed.stages.common.section import Conflict, OneOf, Section
from reseed.stages.trial_scoring.inputs.cohort import CohortSettings
from reseed.stages.trial_scoring.scorers.base import CohortScorer
from reseed.stages.trial_scoring.scorers.plda import PldaSettings
from reseed.stages.trial_scoring.table import SCORERS

Measure = Literal["duration", "norm", "snr"]


class ScoreSettings(Section):
    """How trials are scored.

    Attributes:
        scorings: the ways of scoring; the report opens with the first.
        enrolment_view: the view that enrolment embeddings come from.
        allow_missing: leave out (and count) trials whose utterances are not in the store, instead of refusing them.
        cohort: the other speakers that as_norm, s_norm and PLDA need.
        plda: what PLDA is fitted on, and how it is adapted.
    """

    scorings: tuple[Annotated[str, OneOf(tuple(SCORERS))], ...] = Field(default=("cosine",), min_length=1)
    enrolment_view: str = "clean"
    allow_missing: bool = False
    cohort: CohortSettings = CohortSettings()
    plda: PldaSettings = PldaSettings()

    def conflicts(self) -> Iterator[Conflict]:
        for scoring in dict.fromkeys(self.scorings):
            if self.scorings.count(scoring) > 1:
                yield Conflict("scorings", f"names {scoring} twice")

    def of(self, scoring: str) -> Section:
        """Return the settings of one scorer."""
        kind = SCORERS[scoring].Config
        return next((settings for settings in vars(self).values() if type(settings) is kind), kind())

    @property
    def of_plda(self) -> list[str]:
        """Which of the scorings fit a PLDA."""
        return [scoring for scoring in self.scorings if SCORERS[scoring].Config is PldaSettings]

    @property
    def need_cohort(self) -> list[str]:
        """Which of the scorings compare with other speakers, or learn from them."""
        return [scoring for scoring in self.scorings if issubclass(SCORERS[scoring], CohortScorer)]


class CalibrationSettings(Section):
    """How scores become likelihood ratios.

    Attributes:
        p_target: prior of a target trial at which the fit is best.
        quality: measures of each utterance that join the scores: duration of the recording, norm of the vector, SNR
            (estimated).
    """

    p_target: float = Field(default=0.05, gt=0, lt=1)
    quality: tuple[Measure, ...] = ()
