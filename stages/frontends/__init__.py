"""What stands in front of a frozen backbone and enhances the signal: a mask on its spectrum (Grad-W and its rivals)."""

from stages.frontends.gradw import MaskTraining, attention, speaker_head, weighted_distance, weights
from stages.frontends.masked import Masked, staged
from stages.frontends.unet import MaskNet

__all__ = [
    "MaskNet",
    "MaskTraining",
    "Masked",
    "attention",
    "speaker_head",
    "staged",
    "weighted_distance",
    "weights",
]
