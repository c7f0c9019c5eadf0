"""Two backbones against each other: what a map costs, and what an update of one side alone gains.

Source: NESSA, arXiv 2401.12440, whose claim is that updating one side keeps at least 60 % of the gain of updating both.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from reseed.stages.reporting.results.files import BackbonePair, RunFiles
from reseed.stages.reporting.results.summary import Mean, Summary
from reseed.stages.reporting.results.systems import PARTS, System


@dataclass(frozen=True)
class PairEers:
    """EER of each side by itself and across both, fractions: on clean speech, or the mean of noisy conditions.

    Attributes:
        enrolment, test: enrolled and tested by one backbone.
        across: enrolled by one and tested by the other, once per seed of the alignment.
    """

    enrolment: float
    test: float
    across: tuple[float, ...]

    @property
    def mean(self) -> float:
        return float(np.mean(self.across))

    @property
    def deviation(self) -> float | None:
        """Standard deviation over seeds; None where there is one."""
        return float(np.std(self.across, ddof=1)) if len(self.across) > 1 else None

    @property
    def gain_ratio(self) -> float | None:
        """Share of the gain from the weaker to the stronger model that updating one side alone keeps; None if equal.

        (EER_old,old - EER_new,old) / (EER_old,old - EER_new,new): 1 is all of it, below 0 it is worse than no update.
        """
        weaker, stronger = max(self.enrolment, self.test), min(self.enrolment, self.test)
        return None if weaker == stronger else (weaker - self.mean) / (weaker - stronger)


@dataclass(frozen=True)
class PairComparison:
    """One pair by one alignment and one way of scoring; a part is absent where it was not scored."""

    run: str
    pair: str
    alignment: str
    family: str
    parts: Mapping[str, PairEers]

    def row(self) -> dict[str, Any]:
        """Return the row of across.json."""
        row: dict[str, Any] = {
            **({"run": self.run} if self.run else {}),
            "pair": self.pair,
            "alignment": self.alignment,
            "scoring": self.family,
        }
        for part in PARTS:
            eers = self.parts.get(part)
            row[f"{part}_enrolment_eer"] = eers.enrolment if eers else None
            row[f"{part}_test_eer"] = eers.test if eers else None
            row[f"{part}_across_eer"] = eers.mean if eers else None
            row[f"{part}_across_sd"] = eers.deviation if eers else None
            row[f"{part}_seeds"] = len(eers.across) if eers else 0
            row[f"{part}_gain_ratio"] = eers.gain_ratio if eers else None
        return row


def compare_pairs(summaries: Sequence[Summary], runs: Sequence[RunFiles]) -> Iterator[PairComparison]:
    """Yield every pair by every alignment and way of scoring, seeds together, in the order of the runs."""
    families = list(dict.fromkeys(s.system.family for s in summaries))
    for run in runs:
        for (pair, alignment), seeds in _by_alignment(run).items():
            for family in families:
                systems = {s.system.name: s for s in summaries if (s.system.run, s.system.family) == (run.name, family)}
                eers = {part: _eers(part, run.backbone_pairs[seeds[0]], seeds, systems) for part in PARTS}
                parts = {part: found for part, found in eers.items() if found}
                if parts:
                    yield PairComparison(run.name, pair, alignment, family, parts)


def other_seeds(systems: Sequence[System], runs: Sequence[RunFiles]) -> set[System]:
    """Return the systems that repeat an alignment under another seed: the table of pairs has their mean."""
    repeats = {(run.name, name) for run in runs for _, *others in _by_alignment(run).values() for name in others}
    return {system for system in systems if (system.run, system.name) in repeats}


def _by_alignment(run: RunFiles) -> dict[tuple[str, str], list[str]]:
    """Return the systems that score a pair by one alignment, a seed each, by (pair, alignment)."""
    found: dict[tuple[str, str], list[str]] = {}
    for system, pair in run.backbone_pairs.items():
        found.setdefault((pair.name, pair.alignment), []).append(system)
    return found


def _eers(part: str, pair: BackbonePair, seeds: Sequence[str], summaries: Mapping[str, Summary]) -> PairEers | None:
    def eer(system: str) -> float | None:
        mean: Mean | None = getattr(summaries[system], part) if system in summaries else None
        return mean.eer if mean else None

    enrolment, test = eer(pair.enrolment), eer(pair.test)
    across = tuple(value for system in seeds if (value := eer(system)) is not None)
    return PairEers(enrolment, test, across) if across and enrolment is not None and test is not None else None
