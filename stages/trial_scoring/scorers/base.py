"""What every scorer is: a way of turning the two sides of a trial into a score, from stored vectors alone.

Shapes: X entries of a side (its utterances, then models of several), D embedding dimension, P trials.

    Scorer            prepares each side once per view, then scores trials batch by batch
    └── CohortScorer  has other speakers to compare with, or to learn from

A new scorer is one file with its class, and one line in `reseed.stages.trial_scoring.table`.
"""

from abc import ABC, abstractmethod
from typing import Any, ClassVar, Generic, TypeVar

from reseed.stages.common.section import Section
from reseed.stages.scoring.curves import Floats
from reseed.stages.trial_scoring.inputs.cohort import Cohorts
from reseed.stages.trial_scoring.inputs.sides import Indices, SideVectors

Prepared = TypeVar("Prepared")  # what a scorer makes of one side


class Scorer(ABC, Generic[Prepared]):
    """One way of scoring. A higher score means that two recordings are more likely of one speaker.

    The first line of the class docstring is what the report says of it.

    Args:
        config: an instance of the class's own `Config`.
        device: torch device of large products.

    Attributes:
        Config: its settings, the field of `ScoreSettings` of that type; by default it has none.
    """

    Config: ClassVar[type[Section]] = Section

    def __init__(self, config: Section, device: str) -> None:
        self.config, self.device = config, device

    @property
    def provenance(self) -> dict[str, Any]:
        """What scores depend on beside the vectors, as JSON: kept in the score file, shown in the report."""
        return {}

    @abstractmethod
    def prepare(self, side: SideVectors, *, enrolling: bool) -> Prepared:
        """Return what `score` needs of one side in one view; called once for each.

        Args:
            side: `unit_XD` is one unit vector per entry, `crops_UCD` the stored vectors of all crops.
            enrolling: whether it is the enrolment side.

        Raises:
            ScoringError: a vector has no direction, or models of several utterances cannot be scored in this way.
        """

    @abstractmethod
    def score(self, enrolment: Prepared, test: Prepared, pairs_P2: Indices) -> Floats:
        """Return the scores of trials, [P].

        Args:
            enrolment, test: what `prepare` has made of both sides.
            pairs_P2: which entry of the enrolment and which of the test side each trial compares.
        """


class CohortScorer(Scorer[Prepared]):
    """A scorer that needs other speakers: the cohorts as either side has them."""

    def __init__(self, config: Section, device: str, cohorts: Cohorts) -> None:
        super().__init__(config, device)
        self.cohorts = cohorts
