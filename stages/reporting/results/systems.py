"""What is compared: systems, the trials that they scored, and how trials are grouped.

Shapes: T target and N non-target trials, G groupings.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from reseed.stages.audio.conditions import Condition
from reseed.stages.reporting.metrics.base import Identified
from reseed.stages.reporting.results.files import RunFiles
from reseed.stages.reporting.results.groups import Codes, Grouping
from reseed.stages.scoring.labelled import LabelledTrials
from reseed.stages.trial_scoring.origin import CALIBRATED, CENTRE, FUSION, RAW, Origin, is_calibrated
from reseed.store.url import AnyPath

PARTS = ("clean", "noisy")


@dataclass(frozen=True)
class System:
    """What is compared: a named system, the embedding space it lives in, and a way of scoring.

    Attributes:
        space: the backbone and what came after it, "ge2e:1a2b3c4d+seed:5e6f7a8b".
        run: the run it comes from, where several are compared.
    """

    name: str
    space: str
    scoring: str
    run: str = ""

    @property
    def backbone_space(self) -> str:
        """The backbone with the digest of its weights, "ge2e:1a2b3c4d"."""
        return self.space.partition("+")[0]

    @property
    def backbone(self) -> str:
        """The backbone's plain name, "ge2e"."""
        return self.backbone_space.partition(":")[0]

    @property
    def is_raw(self) -> bool:
        return self.name == RAW

    @property
    def is_fused(self) -> bool:
        """Whether its scores are those of several systems: `calibrate` ends the space of such by "+fusion:5e6f7a8b"."""
        return self._last_method == FUSION

    @property
    def is_centred(self) -> bool:
        """Whether it is what all enhancers are compared with: "centre", or "small+centre" of another backbone."""
        return self.name.rpartition("+")[2] == CENTRE == self._last_method

    @property
    def is_enhanced(self) -> bool:
        """Whether anything came after the backbone."""
        return bool(self._last_method)

    @property
    def _last_method(self) -> str:
        """What came last after the backbone, "seed"; empty: nothing did."""
        return self.space.partition("+")[2].rpartition("+")[2].partition(":")[0]

    @property
    def family(self) -> str:
        """The scoring before calibration, which orders trials as it does unless more than the score went into it."""
        return self.scoring.removesuffix(CALIBRATED)

    @property
    def is_calibrated(self) -> bool:
        return is_calibrated(self.scoring)

    @property
    def uncalibrated(self) -> "System":
        """The same system before calibration."""
        return replace(self, scoring=self.family)

    @property
    def embeddings(self) -> tuple[str, str, str]:
        """What it scores, in whatever way: run, name and space."""
        return self.run, self.name, self.space

    def comparable(self, other: "System") -> bool:
        """Whether both differ in nothing but the enhancement and the calibration."""
        return (self.run, self.backbone_space, self.family) == (other.run, other.backbone_space, other.family)

    def row(self) -> dict[str, str]:
        """Return the columns that begin its rows of every JSON file."""
        return {
            **({"run": self.run} if self.run else {}),
            "system": self.name,
            "backbone": self.backbone,
            "space": self.space,
            "scoring": self.scoring,
        }


@dataclass(frozen=True)
class TrialScores(LabelledTrials):
    """The trials of one system under one condition, by label.

    Speakers are numbers into the sorted list; groups are numbers into the labels of each grouping, -1 where none.
    """

    target_groups_TG: Codes
    nontarget_groups_NG: Codes


@dataclass(frozen=True)
class ScoredSystem:
    """One system's trials by condition, in reading order, and where they come from.

    Attributes:
        path: the score file; `store`: the embeddings that were scored, where they are given.
    """

    system: System
    path: Path
    origin: Origin
    trials: Mapping[Condition, TrialScores]
    store: AnyPath | None = None

    def trials_of(self, part: str, views: Collection[str] | None = None) -> list[TrialScores]:
        """Return its trials under the "clean" or the "noisy" conditions, or those of them among `views`."""
        return [
            trials
            for condition, trials in self.trials.items()
            if condition.is_clean == (part == "clean") and (views is None or condition.view in views)
        ]


@dataclass(frozen=True)
class Loaded:
    """What score files hold.

    Attributes:
        systems: in the order in which they were given.
        identified: how well speakers are identified, by system and view, where that is given.
        speakers: of all labelled trials, sorted.
        groupings: how trials are grouped.
    """

    runs: Sequence[RunFiles]
    systems: Sequence[ScoredSystem]
    identified: Mapping[tuple[System, str], Identified]
    speakers: Sequence[str]
    groupings: Sequence[Grouping]
