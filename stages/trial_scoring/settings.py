"""Settings of scoring, apart from the code: the configuration tree needs them, and torch takes seconds."""

from typing import Literal

from pydantic import Field, field_validator

from reseed.stages.common.section import Section

Scoring = Literal["cosine", "crop_pairs", "crop_distance", "as_norm", "s_norm", "plda"]
Measure = Literal["duration", "norm", "snr"]
NEED_COHORT = ("as_norm", "s_norm", "plda")


class CohortSettings(Section):
    """The speakers that scores are normalised against.

    Attributes:
        views: of the cohort's store.
        per: one vector for each speaker (the mean; utterances of unknown speakers stay alone) or for each utterance.
        top: of AS-norm: how many of the nearest cohort vectors make mean and deviation.
        overlap: what to do where cohort and trials share utterances or speakers: refuse it, exclude these from the
            cohort (and from what PLDA is fitted on), or allow it.
    """

    views: tuple[str, ...] = Field(default=("clean",), min_length=1)
    per: Literal["speaker", "utterance"] = "speaker"
    top: int = Field(default=200, ge=2)
    overlap: Literal["refuse", "exclude", "allow"] = "refuse"


class PldaSettings(Section):
    """What PLDA is fitted on: the labelled utterances of the cohort's store.

    Attributes:
        views: of that store; none: all of them.
        dimensions: kept by LDA.
        min_utterances: of a speaker, to take part: views of a single utterance would teach that sessions do not differ.
    """

    views: tuple[str, ...] | None = None
    dimensions: int = Field(default=128, ge=1)
    min_utterances: int = Field(default=2, ge=1)


class ScoreSettings(Section):
    """How trials are scored.

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
    def _each_once(cls, scorings: tuple[Scoring, ...]) -> tuple[Scoring, ...]:
        if len(set(scorings)) < len(scorings):
            raise ValueError(f"scorings names one twice: {', '.join(scorings)}")
        return scorings

    @property
    def needs_cohort(self) -> bool:
        """Whether a scoring compares with, or learns from, other speakers."""
        return any(scoring in NEED_COHORT for scoring in self.scorings)


class CalibrationSettings(Section):
    """How scores become likelihood ratios.

    Attributes:
        p_target: prior of a target trial at which the fit is best.
        quality: measures that join the scores: duration (of the recordings), norm (of the vectors) and snr (estimated).
    """

    p_target: float = Field(default=0.05, gt=0, lt=1)
    quality: tuple[Measure, ...] = ()
