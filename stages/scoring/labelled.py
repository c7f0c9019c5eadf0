"""Scored trials by label, and who speaks in them.

Shapes: T target and N non-target trials.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from reseed.stages.scoring.curves import Floats

Speakers = NDArray[np.intp]
Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class LabelledTrials:
    """The scores of targets and of non-targets; speakers are numbers, enrolment first, -1 where unknown.

    Attributes:
        unlabelled: trials that were left aside.
    """

    target_T: Floats
    nontarget_N: Floats
    target_speakers_T2: Speakers
    nontarget_speakers_N2: Speakers
    unlabelled: int

    @property
    def speakers(self) -> int:
        """How many speakers are numbered: one more than the highest number."""
        return 1 + int(max(self.target_speakers_T2.max(initial=-1), self.nontarget_speakers_N2.max(initial=-1)))

    @property
    def speakers_known(self) -> bool:
        return bool((self.target_speakers_T2 >= 0).all() and (self.nontarget_speakers_N2 >= 0).all())

    @property
    def contradicted_T(self) -> Mask:
        """Which targets [T] are of two speakers, as the manifest has it."""
        enrolled_T, tested_T = self.target_speakers_T2[:, 0], self.target_speakers_T2[:, 1]
        mask_T: Mask = (enrolled_T >= 0) & (tested_T >= 0) & (enrolled_T != tested_T)
        return mask_T

    @property
    def contradicted_N(self) -> Mask:
        """Which non-targets [N] are of one speaker, as the manifest has it."""
        enrolled_N, tested_N = self.nontarget_speakers_N2[:, 0], self.nontarget_speakers_N2[:, 1]
        mask_N: Mask = (enrolled_N >= 0) & (enrolled_N == tested_N)
        return mask_N

    @property
    def contradictory(self) -> int:
        """How many labels the manifest contradicts."""
        return int(self.contradicted_T.sum() + self.contradicted_N.sum())
