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


class PldaSettings(Section):
    """What PLDA is fitted on: the labelled utterances of the cohort's store.

    Attributes:
        views: the views of that store that are used; null: all.
        dimensions: dimensions kept by LDA.
        min_utterances: utterances that a speaker needs to take part: views of a single utterance would teach that
            sessions do not differ.
    """

    views: tuple[str, ...] | None = None
    dimensions: int = Field(default=128, ge=1)
    min_utterances: int = Field(default=2, ge=1)


class Plda(CohortScorer[Counted]):
    """Log-likelihood ratio of a two-covariance PLDA."""

    Config = PldaSettings
    config: PldaSettings

    def __init__(self, config: PldaSettings, device: str, cohorts: Cohorts) -> None:
        from reseed.stages.scoring.plda import TwoCovariancePLDA  # takes seconds to import, and few scorings need it

        super().__init__(config, device, cohorts)
        vectors_ND, speaker_N, self._views = cohorts.test.labelled(config.views, config.min_utterances)
        self._model = TwoCovariancePLDA(config.dimensions).fit(vectors_ND, speaker_N)
        self._vectors, self._speakers = len(vectors_ND), len(set(speaker_N.tolist()))

    @property
    def provenance(self) -> dict[str, Any]:
        fitted = {
            "store": str(self.cohorts.test.path),
            "vectors": self._vectors,
            "speakers": self._speakers,
            "views": list(self._views),
            "dimensions": self._model.between_.size,
        }
        return {"plda": fitted}

    def prepare(self, side: SideVectors, *, enrolling: bool) -> Counted:
        return side.entries.pooled(self._model.transform(side.unit_UD)), side.entries.count_X

    def score(self, enrolment: Counted, test: Counted, pairs_P2: Indices) -> Floats:
        return self._model.score_trials(enrolment[0], test[0], pairs_P2, enrolment[1])
