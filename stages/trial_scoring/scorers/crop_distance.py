"""Distance of every crop of one side to every crop of the other, as SEED and voxceleb_trainer score."""

from reseed.stages.scoring.crops import Crops, crop_distance_scores, unit_crops
from reseed.stages.scoring.curves import Floats
from reseed.stages.trial_scoring.inputs.sides import Indices, SideVectors
from reseed.stages.trial_scoring.scorers.base import Scorer


class CropDistance(Scorer[Crops]):
    """Negative mean distance over all pairs of unit-length crops, as SEED scores."""

    def prepare(self, side: SideVectors, *, enrolling: bool) -> Crops:
        return unit_crops(side.crops_UCD)

    def score(self, enrolment: Crops, test: Crops, pairs_P2: Indices) -> Floats:
        return crop_distance_scores(enrolment, test, pairs_P2, self.device)
