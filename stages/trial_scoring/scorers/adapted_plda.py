"""PLDA adapted to the speech that is scored; `reseed.stages.scoring.plda_adaptation` has the formulas.

Each condition has a model of its own, adapted to the vectors of its enrolment and its test side, whoever speaks, and
each side is centred on its own mean. Where a store of the domain is declared, it takes the place of both.

Shapes: N vectors, D embedding dimension, K dimensions kept, X entries of a side.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Any

import numpy as np

from reseed.stages.scoring.curves import Floats
from reseed.stages.trial_scoring.inputs.cohort import Cohorts
from reseed.stages.trial_scoring.inputs.sides import Indices, Side, SideVectors
from reseed.stages.trial_scoring.scorers.base import CohortScorer
from reseed.stages.trial_scoring.scorers.plda import Plda, PldaSettings
from reseed.store import ScoringError

if TYPE_CHECKING:
    from reseed.stages.scoring.plda import TwoCovariancePLDA  # takes seconds to import, and few scorings need it

Vectors = tuple[Floats, Side]  # the unit vectors of a side [U, D], and what their utterances stand for


class AdaptedPlda(CohortScorer[Vectors]):
    """A PLDA that is adapted to vectors of which nobody says who speaks."""

    Config = PldaSettings
    config: PldaSettings

    def __init__(self, config: PldaSettings, device: str, cohorts: Cohorts) -> None:
        super().__init__(config, device, cohorts)
        self._plda = Plda(config, device, cohorts)
        self._last: tuple[Vectors, Vectors, TwoCovariancePLDA, Floats, Floats] | None = None
        self._declared: TwoCovariancePLDA | None = None
        if cohorts.domain is not None:
            (self._declared,) = self._adapted(np.concatenate(list(cohorts.domain.vectors())))

    @property
    def scales(self) -> dict[str, float]:
        """The settings of the adaptation."""
        return {}

    @abstractmethod
    def adapt(self, model: TwoCovariancePLDA, domain_NK: Floats) -> TwoCovariancePLDA:
        """Return the model adapted to reduced vectors [N, K] of the domain."""

    @property
    def provenance(self) -> dict[str, Any]:
        domain = self.cohorts.domain
        to = "the vectors scored, each condition by itself" if domain is None else domain.provenance
        return {**self._plda.provenance, "adaptation": {"to": to, **self.scales}}

    def prepare(self, side: SideVectors, *, enrolling: bool) -> Vectors:
        self._last = None  # lets go of the view before
        return side.unit_UD, side.entries

    def score(self, enrolment: Vectors, test: Vectors, pairs_P2: Indices) -> Floats:
        if self._last is None or self._last[0] is not enrolment or self._last[1] is not test:
            self._last = (enrolment, test, *self._transformed(enrolment, test))
        model, enrolment_XK, test_XK = self._last[2:]
        return model.score_trials(enrolment_XK, test_XK, pairs_P2, enrolment[1].count_X)

    def _transformed(self, enrolment: Vectors, test: Vectors) -> tuple[TwoCovariancePLDA, Floats, Floats]:
        """Return the adapted model, and the entries of both sides [X, K] in its coordinates."""
        sides = [enrolment] if enrolment is test else [enrolment, test]
        models = [self._declared] * len(sides) if self._declared else self._adapted(*(unit_UD for unit_UD, _ in sides))
        latent = [
            entries.pooled(model.transform(unit_UD)) for (unit_UD, entries), model in zip(sides, models, strict=True)
        ]
        return models[0], latent[0], latent[-1]

    def _adapted(self, *vectors: Floats) -> list[TwoCovariancePLDA]:
        """Return the model adapted to all unit vectors [N, D] given, once for each lot, centred on the mean of that.

        Raises:
            ScoringError: no more vectors than dimensions.
        """
        centred = [self._plda.model.centred_on(lot_ND.mean(axis=0)) for lot_ND in vectors]
        reduced = [model.reduce(lot_ND) for model, lot_ND in zip(centred, vectors, strict=True)]
        domain_NK = np.concatenate(reduced)
        if len(domain_NK) <= domain_NK.shape[1]:
            raise ScoringError(
                f"{len(domain_NK)} vectors are too few to adapt a PLDA of {domain_NK.shape[1]} dimensions to; set "
                f"score.plda.dimensions to less than {len(domain_NK)}, or score by plda alone"
            )
        adapted = self.adapt(self._plda.model, domain_NK)
        return [adapted.centred_on(model.mean_) for model in centred]


class PldaCoral(AdaptedPlda):
    """Log-likelihood ratio of a PLDA adapted by CORAL, without labels, to the speech that is scored."""

    def adapt(self, model: TwoCovariancePLDA, domain_NK: Floats) -> TwoCovariancePLDA:
        from reseed.stages.scoring.plda_adaptation import coral

        return coral(model, domain_NK)


class PldaCoralPlus(AdaptedPlda):
    """Log-likelihood ratio of a PLDA adapted by CORAL+, without labels, to the speech that is scored."""

    @property
    def scales(self) -> dict[str, float]:
        return self.config.coral_plus.model_dump()

    def adapt(self, model: TwoCovariancePLDA, domain_NK: Floats) -> TwoCovariancePLDA:
        from reseed.stages.scoring.plda_adaptation import coral_plus

        return coral_plus(model, domain_NK, **self.scales)


class PldaKaldi(AdaptedPlda):
    """Log-likelihood ratio of a PLDA adapted as Kaldi does it, without labels, to the speech that is scored."""

    @property
    def scales(self) -> dict[str, float]:
        return self.config.kaldi.model_dump()

    def adapt(self, model: TwoCovariancePLDA, domain_NK: Floats) -> TwoCovariancePLDA:
        from reseed.stages.scoring.plda_adaptation import kaldi

        return kaldi(model, domain_NK, **self.scales)


class PldaInterpolated(Plda):
    """Log-likelihood ratio of a PLDA between that of the training speech and that of labelled speech of the domain."""

    def __init__(self, config: PldaSettings, device: str, cohorts: Cohorts) -> None:
        from reseed.stages.scoring.plda_adaptation import interpolated

        if cohorts.domain is None:
            raise ScoringError(
                "plda_interpolated needs labelled speech of the domain: give --domain STORE and --domain-utterances "
                "MANIFEST, or score by plda_coral_plus, which needs no labels"
            )
        super().__init__(config, device, cohorts)
        vectors_ND, speaker_N, _ = cohorts.domain.labelled(None, config.min_utterances)
        centred = self.model.centred_on(vectors_ND.mean(axis=0))
        self.model = interpolated(centred, centred.reduce(vectors_ND), speaker_N, config.interpolation.weight)
        self._adaptation = {"to": cohorts.domain.provenance, **config.interpolation.model_dump()}

    @property
    def provenance(self) -> dict[str, Any]:
        return {**super().provenance, "adaptation": self._adaptation}
