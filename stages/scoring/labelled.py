"""Scored trials by label, and who speaks in them.

Shapes: T target and N non-target trials.
"""

from dataclasses import dataclass, field

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
        target_sessions_T2, nontarget_sessions_N2: sessions of both sides, numbered after all speakers; None: each
            speaker's are its own, or they are unknown, so that speakers alone are drawn.
    """

    target_T: Floats
    nontarget_N: Floats
    target_speakers_T2: Speakers
    nontarget_speakers_N2: Speakers
    unlabelled: int
    target_sessions_T2: Speakers | None = field(default=None, kw_only=True)
    nontarget_sessions_N2: Speakers | None = field(default=None, kw_only=True)

    @property
    def target_units(self) -> Speakers:
        """What each target trial depends on: its speaker, and its sessions where these are drawn, [T, 1 or 3]."""
        speaker_T1 = self.target_speakers_T2[:, :1]
        return speaker_T1 if self.target_sessions_T2 is None else np.hstack([speaker_T1, self.target_sessions_T2])

    @property
    def nontarget_units(self) -> Speakers:
        """What each non-target trial depends on: its speakers, and its sessions where these are drawn, [N, 2 or 4]."""
        speakers_N2 = self.nontarget_speakers_N2
        return (
            speakers_N2 if self.nontarget_sessions_N2 is None else np.hstack([speakers_N2, self.nontarget_sessions_N2])
        )

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
