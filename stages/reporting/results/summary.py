"""What the measurements say: mean EERs over noisy conditions, and their changes against raw and centred vectors.

Shapes: R bootstrap replicates.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from reseed.stages.reporting.metrics.base import Interval, Metric
from reseed.stages.reporting.metrics.eer import EER
from reseed.stages.reporting.results.measure import Measurement
from reseed.stages.reporting.results.systems import System
from reseed.stages.scoring.bootstrap import bias_corrected_interval, percentile_interval
from reseed.stages.scoring.comparison import LEVEL, detectable, holm, p_value
from reseed.stages.scoring.curves import Floats


@dataclass(frozen=True)
class Mean:
    """Mean EER over several conditions, a fraction, with its interval and replicates where speakers are known."""

    eer: float
    ci95: Interval | None
    conditions: int
    replicate_R: Floats | None


@dataclass(frozen=True)
class Change:
    """Relative change of a mean EER (-0.25: a quarter less), over the same draws of speakers.

    Attributes:
        p_value: two-sided, of there being no change; in a `Summary`, corrected for how many systems scored in the same
            way are compared with the same reference (`reseed.stages.scoring.comparison.holm`).
        detectable: the least relative change that trials of this kind show in four of five cases.
    """

    relative: float
    ci95: Interval | None
    p_value: float | None
    detectable: float | None = None

    @property
    def is_significant(self) -> bool:
        if self.ci95 is None or self.p_value is None:
            return False
        return not self.ci95[0] <= 0 <= self.ci95[1] and self.p_value < LEVEL


@dataclass(frozen=True)
class Summary:
    """One system in short.

    Attributes:
        clean_change, noisy_change: against raw.
        clean_from_centred, noisy_from_centred: against centring alone, which any enhancer has to be better than.
    """

    system: System
    clean: Mean | None
    noisy: Mean | None
    clean_change: Change | None
    noisy_change: Change | None
    clean_from_centred: Change | None = None
    noisy_from_centred: Change | None = None

    def changes(self, reference: str) -> tuple[Change | None, Change | None]:
        """Return the clean and the noisy change against "centred" or "raw"."""
        if reference == "centred":
            return self.clean_from_centred, self.noisy_from_centred
        return self.clean_change, self.noisy_change

    def row(self) -> dict[str, Any]:
        """Return the row of summary.json."""
        row: dict[str, Any] = {**self.system.row()}
        for name, mean, change, from_centred in (
            ("clean", self.clean, self.clean_change, self.clean_from_centred),
            ("noisy", self.noisy, self.noisy_change, self.noisy_from_centred),
        ):
            row[f"{name}_conditions"] = mean.conditions if mean else 0
            row[f"{name}_eer"] = mean.eer if mean else None
            row[f"{name}_eer_ci95"] = list(mean.ci95) if mean and mean.ci95 else None
            for key, found in ((f"{name}_change", change), (f"{name}_change_from_centred", from_centred)):
                row[key] = found.relative if found else None
                row[f"{key}_ci95"] = list(found.ci95) if found and found.ci95 else None
                row[f"{key}_p"] = found.p_value if found else None
                row[f"{key}_detectable"] = found.detectable if found else None
        return row


def summarise(measurements: Sequence[Measurement]) -> list[Summary]:
    """Return one summary per system, in order of appearance.

    Raw of the same run, backbone and scoring is one reference, what centring alone makes of it another. Means cover the
    conditions that every system was scored on: means over different conditions do not compare.
    """
    by_system: dict[System, list[Measurement]] = {}
    for measurement in measurements:
        by_system.setdefault(measurement.system, []).append(measurement)
    shared = shared_views(measurements)
    means = {
        system: tuple(
            _mean([m for m in group if m.condition.view in shared and m.condition.is_clean == clean])
            for clean in (True, False)
        )
        for system, group in by_system.items()
    }
    return _corrected([_summary(system, means) for system in means])


def _corrected(summaries: Sequence[Summary]) -> list[Summary]:
    """Correct the p-values of each kind of change for how many systems of one run and way of scoring have it."""
    found = list(summaries)
    for name in ("clean_change", "noisy_change", "clean_from_centred", "noisy_from_centred"):
        alike: dict[tuple[str, str], list[int]] = {}
        for place, summary in enumerate(found):
            change: Change | None = getattr(summary, name)
            if change and change.p_value is not None:
                alike.setdefault((summary.system.run, summary.system.family), []).append(place)
        for places in alike.values():
            p_values = holm([getattr(found[place], name).p_value for place in places])
            for place, p in zip(places, p_values, strict=True):
                found[place] = replace(found[place], **{name: replace(getattr(found[place], name), p_value=p)})
    return found


def shared_views(measurements: Sequence[Measurement]) -> set[str]:
    """Return the conditions that every system was scored on."""
    views: dict[System, set[str]] = {}
    for measurement in measurements:
        views.setdefault(measurement.system, set()).add(measurement.condition.view)
    return set.intersection(*views.values())


def means_by_kind(measurements: Sequence[Measurement], views: set[str]) -> dict[str, dict[System, Mean]]:
    """Return the mean EER over the conditions of each kind of noise, by kind in reading order and by system.

    Args:
        views: the conditions that every system was scored on.
    """
    groups: dict[str, dict[System, list[Measurement]]] = {}
    for m in sorted(measurements, key=lambda m: m.condition.reading_order):
        if m.condition.view in views and not m.condition.is_clean:
            groups.setdefault(m.condition.kind, {}).setdefault(m.system, []).append(m)
    return {
        kind: {system: mean for system, group in by_system.items() if (mean := _mean(group))}
        for kind, by_system in groups.items()
    }


def reference(system: System, systems: Iterable[System]) -> System | None:
    """Return what a system is compared with: raw of the same run and scoring; None for raw itself.

    Of its own backbone, or of the only one that has raw; calibrated as the system is, where there is such a one.
    """
    return None if system.is_raw else _nearest(system, [other for other in systems if other.is_raw])


def centred_reference(system: System, systems: Iterable[System]) -> System | None:
    """Return the centred vectors that a system is compared with, chosen as raw is; None for raw, and for themselves.

    Where it enhances a backbone that has centred vectors of its own it is these, else those of the backbone of raw. So
    another backbone, as it is or centred, is compared with what the mean alone gives on the first.
    """
    if system.is_raw:
        return None
    systems = list(systems)
    raw, centred = reference(system, systems), [other for other in systems if other.is_centred]
    first = [other for other in centred if raw is None or other.backbone_space == raw.backbone_space]
    enhances = system.is_enhanced and not system.is_centred
    found = (_nearest(system, centred) if enhances else None) or _nearest(system, first)
    return None if found is None or found.uncalibrated == system.uncalibrated else found


def _nearest(system: System, references: Sequence[System]) -> System | None:
    """Return that of the same run, scoring and backbone, or of the only backbone; calibrated as the system is."""
    alike = [other for other in references if (other.run, other.family) == (system.run, system.family)]
    found = [other for other in alike if other.comparable(system)]
    if not found and len({other.backbone_space for other in alike}) == 1:
        found = alike
    return min(found, key=lambda other: other.scoring != system.scoring, default=None)


def change(mean: Mean | None, reference: Mean | None) -> Change | None:
    """Return the relative change of a mean against another, paired draw by draw; None where either is missing or 0."""
    if mean is None or reference is None or reference.eer == 0:
        return None
    relative = mean.eer / reference.eer - 1
    if mean.replicate_R is None or reference.replicate_R is None:
        return Change(relative, None, None)
    with np.errstate(divide="ignore", invalid="ignore"):
        change_R = mean.replicate_R / reference.replicate_R - 1
    p = p_value(mean.replicate_R - reference.replicate_R)
    return Change(relative, percentile_interval(change_R), p, detectable(change_R[np.isfinite(change_R)]))


def best_system(summaries: Sequence[Summary]) -> Summary:
    """Return the system of the lowest mean EER over noisy conditions, or over clean ones where no other were scored."""
    return min(summaries, key=lambda s: (s.noisy or s.clean or _NO_MEAN).eer)


def headline(summaries: Sequence[Summary]) -> tuple[Summary, Summary | None]:
    """Return the system to name first, and a fused one that is better, but not significantly, if there is one.

    A fused system is named first only where it is significantly better than the best of the others, or than the best
    of those that are scored as it is.
    """
    best = best_system(summaries)
    single = [s for s in summaries if not s.system.is_fused]
    if not best.system.is_fused or not single:
        return best, None
    alike = [s for s in single if s.system.family == best.system.family]
    rivals = [best_system(group) for group in (single, alike) if group]
    gaps = [change(best.noisy, rival.noisy) or change(best.clean, rival.clean) for rival in rivals]
    return (best, None) if any(gap and gap.is_significant for gap in gaps) else (rivals[0], best)


def best_enhanced(summaries: Sequence[Summary]) -> Summary | None:
    """Return the best system that is neither raw nor centred, or None."""
    enhanced = [summary for summary in summaries if not (summary.system.is_raw or summary.system.is_centred)]
    return best_system(enhanced) if enhanced else None


_NO_MEAN = Mean(float("inf"), None, 0, None)


def _summary(system: System, means: dict[System, tuple[Mean | None, ...]]) -> Summary:
    clean, noisy = means[system]
    raw, centred = reference(system, means), centred_reference(system, means)
    clean_raw, noisy_raw = means[raw] if raw else (None, None)
    clean_centred, noisy_centred = means[centred] if centred else (None, None)
    from_raw = change(clean, clean_raw), change(noisy, noisy_raw)
    return Summary(system, clean, noisy, *from_raw, change(clean, clean_centred), change(noisy, noisy_centred))


def _mean(measurements: list[Measurement]) -> Mean | None:
    if not measurements:
        return None
    return Mean(*mean_of(measurements, EER), len(measurements), mean_replicates(measurements, EER))


def mean_of(measurements: Sequence[Measurement], metric: Metric[float]) -> tuple[float, Interval | None]:
    """Return the mean of a metric over conditions, each weighing alike, and its interval."""
    value = float(np.mean([measurement[metric] for measurement in measurements]))
    replicate_R = mean_replicates(measurements, metric)
    return value, None if replicate_R is None else bias_corrected_interval(value, replicate_R)


def mean_replicates(measurements: Sequence[Measurement], metric: Metric[float]) -> Floats | None:
    """Return the mean over conditions in each replicate, [R]; None where one has no replicates."""
    found = [replicate_R for m in measurements if (replicate_R := m.replicates.get(metric.key)) is not None]
    return np.mean(found, axis=0) if len(found) == len(measurements) else None
