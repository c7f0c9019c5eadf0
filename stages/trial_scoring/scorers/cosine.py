"""Cosine of means.

Shapes: X entries of a side, D embedding dimension, P trials.
"""

from reseed.stages.scoring.cosine import cosine_scores
from reseed.stages.scoring.curves import Floats
from reseed.stages.trial_scoring.inputs.sides import Indices, SideVectors
from reseed.stages.trial_scoring.scorers.base import Scorer


class Cosine(Scorer[Floats]):
    """Cosine of the utterances' mean embeddings."""

    def prepare(self, side: SideVectors, *, enrolling: bool) -> Floats:
        return side.unit_XD

    def score(self, enrolment: Floats, test: Floats, pairs_P2: Indices) -> Floats:
        return cosine_scores(enrolment, test, pairs_P2)
