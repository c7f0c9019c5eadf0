"""What the measurements say: means over noisy conditions, changes against raw, and both in words.

Shapes: R bootstrap replicates.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from stages.reporting.load import System
from stages.reporting.measure import Interval, Measurement
from stages.scoring.bootstrap import percentile_interval
from stages.scoring.curves import Floats


@dataclass(frozen=True)
class Mean:
    """Mean EER over several conditions, a fraction, with its interval and replicates where speakers are known."""

    eer: float
    ci95: Interval | None
    conditions: int
    replicate_R: Floats | None


@dataclass(frozen=True)
class Change:
    """Relative change of a mean EER (-0.25: a quarter less), over the same draws of speakers."""

    relative: float
    ci95: Interval | None

    @property
    def is_certain(self) -> bool:
        return self.ci95 is not None and not self.ci95[0] <= 0 <= self.ci95[1]


@dataclass(frozen=True)
class Summary:
    """One system in short."""

    system: System
    clean: Mean | None
    noisy: Mean | None
    clean_change: Change | None
    noisy_change: Change | None

    def row(self) -> dict[str, Any]:
        """Return the row of summary.json."""
        system = self.system
        row: dict[str, Any] = {
            "system": system.name,
            "backbone": system.backbone,
            "space": system.space,
            "scoring": system.scoring,
        }
        for name, mean, change in (
            ("clean", self.clean, self.clean_change),
            ("noisy", self.noisy, self.noisy_change),
        ):
            row[f"{name}_conditions"] = mean.conditions if mean else 0
            row[f"{name}_eer"] = mean.eer if mean else None
            row[f"{name}_eer_ci95"] = list(mean.ci95) if mean and mean.ci95 else None
            row[f"{name}_change"] = change.relative if change else None
            row[f"{name}_change_ci95"] = list(change.ci95) if change and change.ci95 else None
        return row


def summarise(measurements: Sequence[Measurement]) -> list[Summary]:
    """Return one summary per system, in order of appearance; raw of the same backbone and scoring is the reference.

    Means cover the conditions that every system was scored on: means over different conditions do not compare.
    """
    by_system: dict[System, list[Measurement]] = {}
    for measurement in measurements:
        by_system.setdefault(measurement.system, []).append(measurement)
    shared = set.intersection(*({m.condition.view for m in group} for group in by_system.values()))
    means = {
        system: tuple(
            _mean([m for m in group if m.condition.view in shared and m.condition.is_clean == clean])
            for clean in (True, False)
        )
        for system, group in by_system.items()
    }
    return [_summary(system, means) for system in means]


def change(mean: Mean | None, reference: Mean | None) -> Change | None:
    """Return the relative change of a mean against another, paired draw by draw; None where either is missing or 0."""
    if mean is None or reference is None or reference.eer == 0:
        return None
    relative = mean.eer / reference.eer - 1
    if mean.replicate_R is None or reference.replicate_R is None:
        return Change(relative, None)
    with np.errstate(divide="ignore", invalid="ignore"):
        return Change(relative, percentile_interval(mean.replicate_R / reference.replicate_R - 1))


def best_system(summaries: Sequence[Summary]) -> Summary:
    """Return the system of the lowest mean EER over noisy conditions, or over clean ones where no other were scored."""
    return min(summaries, key=lambda s: (s.noisy or s.clean or _NO_MEAN).eer)


def best_enhanced(summaries: Sequence[Summary]) -> Summary | None:
    """Return the best system that is not raw, or None."""
    enhanced = [summary for summary in summaries if not summary.system.is_raw]
    return best_system(enhanced) if enhanced else None


_NO_MEAN = Mean(float("inf"), None, 0, None)


def _summary(system: System, means: dict[System, tuple[Mean | None, ...]]) -> Summary:
    clean, noisy = means[system]
    raw = next((other for other in means if other.is_raw and other.comparable(system)), None)
    reference = means[raw] if raw and not system.is_raw else (None, None)
    return Summary(system, clean, noisy, change(clean, reference[0]), change(noisy, reference[1]))


def _mean(measurements: list[Measurement]) -> Mean | None:
    if not measurements:
        return None
    replicates = [m.replicate_R for m in measurements if m.replicate_R is not None]
    replicate_R = np.mean(replicates, axis=0) if len(replicates) == len(measurements) else None
    ci95 = None if replicate_R is None else percentile_interval(replicate_R)
    return Mean(float(np.mean([m.eer for m in measurements])), ci95, len(measurements), replicate_R)
