"""What scores were computed from, and how: the record that a score file carries as its metadata."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Self

RAW = "raw"  # the system that nothing has enhanced
CENTRE = "centre"  # the enhancer, and the system, of which nothing but the mean is subtracted
FUSION = "fusion"  # the method of a system whose scores are those of several
CALIBRATED = "+calibrated"  # ends the name of a scoring whose scores are natural-log likelihood ratios

_MEMBERS, _CALIBRATION = "members", "calibration"


@dataclass(frozen=True)
class CalibrationRecord:
    """The map that made likelihood ratios of scores.

    Attributes:
        features: what each weight is for.
        p_target: prior of a target at which the fit is best.
        held_out: the score files that it was fitted on.
        method: how, a key of `reseed.stages.scoring.calibration.FITS`.
    """

    features: tuple[str, ...]
    weight_F: tuple[float, ...]
    offset: float
    p_target: float
    held_out: tuple[str, ...]
    method: str = "logistic"

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON, without the method that there was alone at first."""
        return {name: value for name, value in asdict(self).items() if name != "method" or value != "logistic"}


@dataclass(frozen=True)
class Provenance:
    """What made scores of one name, beyond the vectors.

    Attributes:
        inputs: what the scorer says of itself, as JSON: its cohort, what its PLDA was fitted on.
        members: of a fused system: space -> the inputs of that member.
        calibration: None where scores are not calibrated.
    """

    inputs: Mapping[str, Any] = field(default_factory=dict)
    members: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    calibration: CalibrationRecord | None = None

    def to_json(self) -> dict[str, Any]:
        members = {_MEMBERS: self.members} if self.members else {}
        calibration = {_CALIBRATION: self.calibration.to_json()} if self.calibration else {}
        return {**self.inputs, **members, **calibration}

    @classmethod
    def parse(cls, raw: Mapping[str, Any]) -> Self:
        """Parse what `to_json` returns.

        Raises:
            TypeError: a key of the calibration is unknown or missing.
        """
        inputs = {name: value for name, value in raw.items() if name not in (_MEMBERS, _CALIBRATION)}
        fit: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value
            for name, value in raw.get(_CALIBRATION, {}).items()
        }
        return cls(inputs, raw.get(_MEMBERS, {}), CalibrationRecord(**fit) if fit else None)


@dataclass(frozen=True)
class Origin:
    """What scores were computed from, and how.

    Attributes:
        space: the embedding space of the store, e.g. "ge2e:1a2b3c4d+seed:5e6f7a8b".
        fingerprint: that of the store.
        conditions: view -> its recipe.
        enrolment_view: the view that enrolment embeddings come from.
        crops, crop_s: crops averaged per utterance, and their length in seconds where it is known and one.
        method: the enhancer that made the embeddings, the last one of several; "raw" where none did.
        config: that enhancer's settings; of a fusion, the spaces of its members as "of".
        left_out: trials not scored, since the store lacks their utterances.
        scorings: name of a scoring -> what made its scores.
    """

    space: str
    fingerprint: str
    conditions: dict[str, Any]
    enrolment_view: str
    crops: int
    crop_s: float | None
    method: str
    config: dict[str, Any]
    left_out: int
    scorings: dict[str, Provenance] = field(default_factory=dict)

    @property
    def fused(self) -> tuple[str, ...]:
        """The spaces of the systems whose scores were fused; empty where this is no fusion."""
        return tuple(self.config.get("of", ())) if self.method == FUSION else ()

    def to_json(self) -> dict[str, Any]:
        return {**vars(self), "scorings": {name: made_by.to_json() for name, made_by in self.scorings.items()}}

    @classmethod
    def parse(cls, raw: Mapping[str, Any]) -> Self:
        """Parse what `to_json` returns.

        Raises:
            TypeError: a key is unknown or missing.
        """
        scorings = {name: Provenance.parse(made_by) for name, made_by in raw.get("scorings", {}).items()}
        return cls(**{**raw, "scorings": scorings})


def is_calibrated(scoring: str) -> bool:
    """Whether scores of this name went through `calibrate`: "as_norm+calibrated"."""
    return scoring.endswith(CALIBRATED)
