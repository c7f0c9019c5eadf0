"""Cosine of every crop of one side with every crop of the other."""

from reseed.stages.scoring.crops import mean_unit_crops
from reseed.stages.scoring.curves import Floats
from reseed.stages.trial_scoring.inputs.sides import SideVectors
from reseed.stages.trial_scoring.scorers.cosine import Cosine


class CropPairs(Cosine):
    """Mean cosine over all pairs of crops of the two utterances."""

    def prepare(self, side: SideVectors, *, enrolling: bool) -> Floats:
        return mean_unit_crops(side.crops_UCD)  # their product is the mean over all pairs
