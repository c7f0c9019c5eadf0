"""Settings of scoring and calibration; the names of scorers are those of their table."""

from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import Field, SerializerFunctionWrapHandler, ValidationError, model_serializer, model_validator

from reseed.stages.common.section import Conflict, Entries, OneOf, Section
from reseed.stages.trial_scoring.inputs.cohort import CohortSettings
from reseed.stages.trial_scoring.protocols import PROTOCOLS
from reseed.stages.trial_scoring.scorers.base import CohortScorer
from reseed.stages.trial_scoring.scorers.plda import PldaSettings
from reseed.stages.trial_scoring.scorers.tas_norm import TasNormSettings
from reseed.stages.trial_scoring.table import SCORERS, scorer_class

Measure = Literal["duration", "norm", "snr"]


class ScoreSettings(Section):
    """How trials are scored.

    Attributes:
        protocol: a published way of scoring, whose settings are put in its place; those that are given win.
        scorings: the ways of scoring; the report opens with the first.
        enrolment_view: the view that enrolment embeddings come from.
        allow_missing: leave out (and count) trials whose utterances are not in the store, instead of refusing them.
        cohort: the other speakers that as_norm, s_norm, tas_norm and PLDA need.
        plda: what PLDA is fitted on, and how it is adapted.
        tas_norm: how its impostors are learnt.
        settings: of scorers of other packages, by name; each has its own.
    """

    protocol: Annotated[str, OneOf(tuple(PROTOCOLS))] | None = None
    scorings: tuple[Annotated[str, OneOf(SCORERS)], ...] = Field(default=("cosine",), min_length=1)
    enrolment_view: str = "clean"
    allow_missing: bool = False
    cohort: CohortSettings = CohortSettings()
    plda: PldaSettings = PldaSettings()
    tas_norm: TasNormSettings = TasNormSettings()
    settings: Entries[dict[str, Any]] = Field(default={}, examples=[{"mine": {"power": 2}}])

    @model_validator(mode="before")
    @classmethod
    def _with_protocol(cls, given: Any) -> Any:
        """Put a protocol's settings in its place, so that what is written down says what was done."""
        if not isinstance(given, dict) or str(given.get("protocol")) not in PROTOCOLS:
            return given
        chosen, rest = PROTOCOLS[given["protocol"]], {key: value for key, value in given.items() if key != "protocol"}
        cohort = rest.get("cohort", {})
        merged = {**chosen.get("cohort", {}), **cohort} if isinstance(cohort, dict) else cohort
        return {**chosen, **rest, **({"cohort": merged} if merged else {})}

    @model_serializer(mode="wrap")
    def _without_what_is_not_set(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        found: dict[str, Any] = dump(self)  # digests of before there were such settings stay what they were
        unset = {"protocol": True, "settings": not self.settings, "tas_norm": self.tas_norm == TasNormSettings()}
        return {name: value for name, value in found.items() if not unset.get(name)}

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
        method: logistic regression, or the log-likelihood ratio of two Gaussian classes of one covariance (CMLG).
        p_target: prior of a target trial at which the fit is best; of the Gaussian one the share of the targets in the
            covariance.
        quality: measures of each utterance that join the scores: duration of the recording, norm of the vector, SNR
            (estimated).
    """

    method: Literal["logistic", "gaussian"] = "logistic"
    p_target: float = Field(default=0.05, gt=0, lt=1)
    quality: tuple[Measure, ...] = ()

    @model_serializer(mode="wrap")
    def _without_what_is_not_set(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        found: dict[str, Any] = dump(self)  # digests of before there were two methods stay what they were
        return {name: value for name, value in found.items() if name != "method" or value != "logistic"}
