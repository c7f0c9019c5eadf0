"""Two-covariance PLDA (Brümmer and de Villiers, Odyssey 2010), fitted on the labelled speech of the cohort's store.

Shapes: X entries of a side, K dimensions kept.
"""

from typing import Any

from pydantic import Field

from reseed.stages.common.section import Section
from reseed.stages.scoring.curves import Floats
from reseed.stages.trial_scoring.inputs.cohort import Cohorts
from reseed.stages.trial_scoring.inputs.sides import Indices, SideVectors
from reseed.stages.trial_scoring.scorers.base import CohortScorer

Counted = tuple[Floats, Indices]  # the transformed vectors of a side [X, K], and how many utterances each stands for


class CoralPlusSettings(Section):
    """How far CORAL+ goes.

    Attributes:
        within_scale: share of the excess variance of sessions that is taken up.
        between_scale: the same of speakers.
    """

    within_scale: float = Field(default=0.8, ge=0, le=1)
    between_scale: float = Field(default=0.8, ge=0, le=1)


class KaldiAdaptationSettings(Section):
    """How far Kaldi's adaptation goes.

    Attributes:
        within_scale: share of the excess of total variance that sessions are given.
        between_scale: the share that speakers are given.
        mean_scale: of the outer product of the difference of both means, which is added to the total covariance.
    """

    within_scale: float = Field(default=0.3, ge=0)
    between_scale: float = Field(default=0.7, ge=0)
    mean_scale: float = Field(default=1.0, ge=0)


class InterpolationSettings(Section):
    """How PLDA of the training speech and of labelled speech of the domain are mixed.

    Attributes:
        weight: of the domain's covariances, the rest being those of the training speech.
    """

    weight: float = Field(default=0.5, ge=0, le=1)


class PldaSettings(Section):
    """What PLDA is fitted on: the labelled utterances of the cohort's store.

    Attributes:
        views: the views of that store that are used; null: all.
        dimensions: dimensions kept by LDA.
        min_utterances: utterances that a speaker needs to take part: views of a single utterance would teach that
            sessions do not differ.
        coral_plus: of plda_coral_plus.
        kaldi: of plda_kaldi.
        interpolation: of plda_interpolated.
    """

    views: tuple[str, ...] | None = None
    dimensions: int = Field(default=128, ge=1)
    min_utterances: int = Field(default=2, ge=1)
    coral_plus: CoralPlusSettings = CoralPlusSettings()
    kaldi: KaldiAdaptationSettings = KaldiAdaptationSettings()
    interpolation: InterpolationSettings = InterpolationSettings()


class Plda(CohortScorer[Counted]):
    """Log-likelihood ratio of a two-covariance PLDA."""

    Config = PldaSettings
    config: PldaSettings

    def __init__(self, config: PldaSettings, device: str, cohorts: Cohorts) -> None:
        from reseed.stages.scoring.plda import TwoCovariancePLDA  # takes seconds to import, and few scorings need it

        super().__init__(config, device, cohorts)
        vectors_ND, speaker_N, self._views = cohorts.test.labelled(config.views, config.min_utterances)
        self.model = TwoCovariancePLDA(config.dimensions).fit(vectors_ND, speaker_N)
        self._vectors, self._speakers = len(vectors_ND), len(set(speaker_N.tolist()))

    @property
    def provenance(self) -> dict[str, Any]:
        fitted = {
            "store": str(self.cohorts.test.path),
            "vectors": self._vectors,
            "speakers": self._speakers,
            "views": list(self._views),
            "dimensions": self.model.between_.size,
        }
        return {"plda": fitted}

    def prepare(self, side: SideVectors, *, enrolling: bool) -> Counted:
        return side.entries.pooled(self.model.transform(side.unit_UD)), side.entries.count_X

    def score(self, enrolment: Counted, test: Counted, pairs_P2: Indices) -> Floats:
        return self.model.score_trials(enrolment[0], test[0], pairs_P2, enrolment[1])
