"""The scorers by name. Each turns one side of the trials into what it compares, once per view, then scores trials.

Shapes: X entries of a side, D embedding dimension, P trials.
"""

from abc import ABC, abstractmethod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reseed.stages.scoring.cosine import cosine_scores
from reseed.stages.scoring.crops import mean_unit_crops, unit_crop_distance_scores, unit_crops
from reseed.stages.scoring.curves import Floats
from reseed.stages.scoring.normalise import cohort_statistics, normalise
from reseed.stages.trial_scoring.cohort import Cohort
from reseed.stages.trial_scoring.entries import Indices
from reseed.stages.trial_scoring.settings import ScoreSettings
from reseed.stages.trial_scoring.side import Side

Cohorts = tuple[Cohort, Cohort]  # of the enrolment and of the test side


class Scorer(ABC):
    """One way of scoring.

    Attributes:
        facts: what scores depend on beside the vectors, for the report.
    """

    def __init__(self) -> None:
        self.facts: dict[str, Any] = {}

    def prepare(self, side: Side, *, enrolling: bool) -> Any:
        """Return what `score` needs of one side; of the enrolment side where `enrolling`."""
        return side

    @abstractmethod
    def score(self, enrolment: Any, test: Any, pairs_P2: Indices) -> Floats:
        """Return the scores of trials [P], given as rows of the entries of the prepared sides."""


class Cosine(Scorer):
    """Cosine of the means of the unit crops."""

    def score(self, enrolment: Side, test: Side, pairs_P2: Indices) -> Floats:
        return cosine_scores(enrolment.unit_XD, test.unit_XD, pairs_P2)


class CropPairs(Scorer):
    """Mean cosine of every crop of one side with every crop of the other: that of the means of the unit crops."""

    def prepare(self, side: Side, *, enrolling: bool) -> Floats:
        return mean_unit_crops(side.crops_UCD)

    def score(self, enrolment: Floats, test: Floats, pairs_P2: Indices) -> Floats:
        return cosine_scores(enrolment, test, pairs_P2)


class CropDistance(Scorer):
    """Minus the mean distance of every crop of one side to every crop of the other."""

    def __init__(self, device: str) -> None:
        super().__init__()
        self._device = device

    def prepare(self, side: Side, *, enrolling: bool) -> NDArray[np.float32]:
        return unit_crops(side.crops_UCD)

    def score(self, enrolment: NDArray[np.float32], test: NDArray[np.float32], pairs_P2: Indices) -> Floats:
        return unit_crop_distance_scores(enrolment, test, pairs_P2, self._device)


class Normalised(Scorer):
    """Cosine, normalised by the cosines of either side with a cohort: S-norm, or AS-norm by the nearest `top` alone."""

    def __init__(self, cohorts: Cohorts, top: int | None, device: str) -> None:
        super().__init__()
        self._cohorts, self._top, self._device = cohorts, top, device
        enrolment, test = cohorts
        chosen = {} if top is None else {"top": top}
        self.facts = {"cohort": test.facts | chosen}
        if enrolment is not test:
            self.facts |= {"enrolment_cohort": enrolment.facts | chosen}

    def prepare(self, side: Side, *, enrolling: bool) -> tuple[Side, Any]:
        cohort = self._cohorts[0 if enrolling else 1]
        return side, cohort_statistics(side.unit_XD, cohort.vectors(), self._top, self._device)

    def score(self, enrolment: tuple[Side, Any], test: tuple[Side, Any], pairs_P2: Indices) -> Floats:
        cosine_P = cosine_scores(enrolment[0].unit_XD, test[0].unit_XD, pairs_P2)
        return normalise(cosine_P, pairs_P2, enrolment[1], test[1])


class Plda(Scorer):
    """The log-likelihood ratio of two-covariance PLDA, fitted on the labelled utterances of the cohort's store."""

    def __init__(self, cohort: Cohort, settings: ScoreSettings) -> None:
        from reseed.stages.scoring.plda import (
            TwoCovariancePLDA,  # scikit-learn takes seconds, and most scorings do without
        )

        super().__init__()
        vectors_ND, speaker_N, views = cohort.labelled(settings.plda.views, settings.plda.min_utterances)
        self._model = TwoCovariancePLDA(settings.plda.dimensions).fit(vectors_ND, speaker_N)
        speakers = len(set(speaker_N.tolist()))
        kept = self._model.between_.size
        fitted = {"vectors": len(vectors_ND), "speakers": speakers, "views": list(views), "dimensions": kept}
        self.facts = {"plda": {"store": str(cohort.path), **fitted}}

    def prepare(self, side: Side, *, enrolling: bool) -> tuple[Floats, Indices]:
        return side.entries.pooled(self._model.transform(side.unit_UD)), side.entries.count_X

    def score(self, enrolment: tuple[Floats, Indices], test: tuple[Floats, Indices], pairs_P2: Indices) -> Floats:
        return self._model.score_trials(enrolment[0], test[0], pairs_P2, enrolment[1])


def make_scorer(scoring: str, settings: ScoreSettings, cohorts: Cohorts | None, device: str) -> Scorer:
    """Return a scorer by its name in `ScoreSettings.scorings`; those that need cohorts are given them."""
    if scoring == "cosine":
        return Cosine()
    if scoring == "crop_pairs":
        return CropPairs()
    if scoring == "crop_distance":
        return CropDistance(device)
    assert cohorts is not None, scoring  # `ScoreSettings.needs_cohort` was asked
    if scoring == "plda":
        return Plda(cohorts[1], settings)
    return Normalised(cohorts, settings.cohort.top if scoring == "as_norm" else None, device)
