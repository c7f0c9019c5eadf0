"""Trainable adaptive S-norm (Choi et al., arXiv 2504.04512); `reseed.stages.scoring.impostors` says how it learns."""

from typing import Any

from pydantic import Field

from reseed.stages.common.section import Section
from reseed.stages.scoring.cosine import cosine_scores
from reseed.stages.scoring.curves import Floats
from reseed.stages.scoring.impostors import ImpostorTraining, learn_impostors
from reseed.stages.scoring.normalise import cohort_statistics, normalise
from reseed.stages.trial_scoring.inputs.cohort import Cohort, Cohorts
from reseed.stages.trial_scoring.inputs.sides import Indices, SideVectors
from reseed.stages.trial_scoring.scorers.base import CohortScorer
from reseed.stages.trial_scoring.scorers.s_norm import Compared


class TasNormSettings(Section):
    """How the impostors of tas_norm are learnt, from the labelled utterances of the cohort's views.

    Attributes:
        steps: batches of trials among the cohort's speakers.
        lr: rate of learning.
        margin: what is taken off the cosine with a speaker's own impostor before the nearest are chosen.
        seed: of the batches.
    """

    steps: int = Field(default=200, ge=1)
    lr: float = Field(default=1e-3, gt=0, allow_inf_nan=False)
    margin: float = Field(default=0.5, ge=0, allow_inf_nan=False)
    seed: int = Field(default=0, ge=0)


class TasNorm(CohortScorer[Compared]):
    """TAS-norm: adaptive s-norm against impostors that were learnt from trials among the cohort's speakers."""

    Config = TasNormSettings
    config: TasNormSettings

    def __init__(self, config: TasNormSettings, device: str, cohorts: Cohorts) -> None:
        super().__init__(config, device, cohorts)
        self._test_SD = self._learnt(cohorts.test)
        same = cohorts.enrolment is cohorts.test
        self._enrolment_SD = self._test_SD if same else self._learnt(cohorts.enrolment)

    @property
    def provenance(self) -> dict[str, Any]:
        learnt = {"impostors": len(self._test_SD), **self.config.model_dump()}
        return {"cohort": {**self.cohorts.test.provenance, "top": self.cohorts.test.settings.top}, "learnt": learnt}

    def prepare(self, side: SideVectors, *, enrolling: bool) -> Compared:
        impostor_SD = self._enrolment_SD if enrolling else self._test_SD
        top = self.cohorts.test.settings.top
        return side.unit_XD, cohort_statistics(side.unit_XD, impostor_SD, top, self.device)

    def score(self, enrolment: Compared, test: Compared, pairs_P2: Indices) -> Floats:
        cosine_P = cosine_scores(enrolment[0], test[0], pairs_P2)
        return normalise(cosine_P, pairs_P2, enrolment[1], test[1])

    def _learnt(self, cohort: Cohort) -> Floats:
        vectors_ND, speaker_N, _ = cohort.labelled(cohort.settings.views, 1)
        training = ImpostorTraining(cohort.settings.top, **self.config.model_dump())
        return learn_impostors(vectors_ND, speaker_N, training, self.device)
