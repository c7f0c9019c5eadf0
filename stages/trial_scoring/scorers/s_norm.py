"""Cosine normalised by the cosines of either side with a cohort (Kenny, Odyssey 2010)."""

from typing import Any

from reseed.stages.common.section import Section
from reseed.stages.scoring.cosine import cosine_scores
from reseed.stages.scoring.curves import Floats
from reseed.stages.scoring.normalise import Statistics, check_size, cohort_statistics, normalise
from reseed.stages.trial_scoring.inputs.cohort import Cohorts
from reseed.stages.trial_scoring.inputs.sides import Indices, SideVectors
from reseed.stages.trial_scoring.scorers.base import CohortScorer

Compared = tuple[Floats, Statistics]  # the unit vectors of a side, and what their cosines with its cohort are like


class SNorm(CohortScorer[Compared]):
    """S-norm: the cosine against mean and spread of each side's scores with the whole cohort."""

    def __init__(self, config: Section, device: str, cohorts: Cohorts) -> None:
        super().__init__(config, device, cohorts)
        for cohort in (cohorts.enrolment, cohorts.test):
            check_size(cohort.size, self.top)

    @property
    def top(self) -> int | None:
        """How many of the nearest cohort vectors count; None: all."""
        return None

    @property
    def provenance(self) -> dict[str, Any]:
        enrolment, test = self.cohorts.enrolment, self.cohorts.test
        chosen = {} if self.top is None else {"top": self.top}
        other_side = {} if enrolment is test else {"enrolment_cohort": enrolment.provenance | chosen}
        return {"cohort": test.provenance | chosen, **other_side}

    def prepare(self, side: SideVectors, *, enrolling: bool) -> Compared:
        cohort = self.cohorts.enrolment if enrolling else self.cohorts.test
        return side.unit_XD, cohort_statistics(side.unit_XD, cohort.vectors(), self.top, self.device)

    def score(self, enrolment: Compared, test: Compared, pairs_P2: Indices) -> Floats:
        cosine_P = cosine_scores(enrolment[0], test[0], pairs_P2)
        return normalise(cosine_P, pairs_P2, enrolment[1], test[1])
