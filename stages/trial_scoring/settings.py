"""Settings of scoring and calibration; the names of scorers are those of their table."""

from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import Field, SerializerFunctionWrapHandler, ValidationError, model_serializer

from reseed.stages.common.section import Conflict, Entries, OneOf, Section
from reseed.stages.trial_scoring.inputs.cohort import CohortSettings
from reseed.stages.trial_scoring.scorers.base import CohortScorer
from reseed.stages.trial_scoring.scorers.plda import PldaSettings
from reseed.stages.trial_scoring.table import SCORERS, scorer_class

Measure = Literal["duration", "norm", "snr"]


class ScoreSettings(Section):
    """How trials are scored.

    Attributes:
        scorings: the ways of scoring; the report opens with the first.
        enrolment_view: the view that enrolment embeddings come from.
        allow_missing: leave out (and count) trials whose utterances are not in the store, instead of refusing them.
        cohort: the other speakers that as_norm, s_norm and PLDA need.
        plda: what PLDA is fitted on, and how it is adapted.
        settings: of scorers of other packages, by name; each has its own.
    """

    scorings: tuple[Annotated[str, OneOf(SCORERS)], ...] = Field(default=("cosine",), min_length=1)
    enrolment_view: str = "clean"
    allow_missing: bool = False
    cohort: CohortSettings = CohortSettings()
    plda: PldaSettings = PldaSettings()
    settings: Entries[dict[str, Any]] = Field(default={}, examples=[{"mine": {"power": 2}}])

    @model_serializer(mode="wrap")
    def _without_what_is_not_set(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        found: dict[str, Any] = dump(self)  # digests of before there were settings of others stay what they were
        return {name: value for name, value in found.items() if name != "settings" or value}

    def __hash__(self) -> int:
        return hash(self.model_dump_json())  # settings of others may hold what cannot be hashed by itself

    def conflicts(self) -> Iterator[Conflict]:
        for scoring in dict.fromkeys(self.scorings):
            if self.scorings.count(scoring) > 1:
                yield Conflict("scorings", f"names {scoring} twice")
        for name in self.settings:
            if name not in self.scorings or not SCORERS.is_foreign(name):
                text = f"is for scorers of other packages that score.scorings names; {name} is none of these"
                yield Conflict(f"settings.{name}", text, ("settings", "scorings"))
                continue
            try:
                self.of(name)
            except ValidationError as error:
                for problem in error.errors():
                    place = ".".join(map(str, (name, *problem["loc"])))
                    yield Conflict(f"settings.{place}", problem["msg"], ("settings",))

    def of(self, scoring: str) -> Section:
        """Return the settings of one scorer."""
        kind = scorer_class(scoring).Config
        if SCORERS.is_foreign(scoring):
            return kind.model_validate(self.settings.get(scoring, {}))
        return next((settings for settings in vars(self).values() if type(settings) is kind), kind())

    @property
    def of_plda(self) -> list[str]:
        """Which of the scorings fit a PLDA."""
        return [scoring for scoring in self.scorings if scorer_class(scoring).Config is PldaSettings]

    @property
    def need_cohort(self) -> list[str]:
        """Which of the scorings compare with other speakers, or learn from them."""
        return [scoring for scoring in self.scorings if issubclass(scorer_class(scoring), CohortScorer)]


class CalibrationSettings(Section):
    """How scores become likelihood ratios.

    Attributes:
        p_target: prior of a target trial at which the fit is best.
        quality: measures of each utterance that join the scores: duration of the recording, norm of the vector, SNR
            (estimated).
    """

    p_target: float = Field(default=0.05, gt=0, lt=1)
    quality: tuple[Measure, ...] = ()
