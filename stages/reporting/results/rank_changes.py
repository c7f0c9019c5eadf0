"""Whom an enhancer makes recognised, and whom it loses: test utterances whose own speaker comes first, or no longer."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from reseed.stages.audio.conditions import Condition
from reseed.stages.reporting.metrics.base import Identified
from reseed.stages.reporting.results.summary import reference
from reseed.stages.reporting.results.systems import PARTS, System


@dataclass(frozen=True)
class RankChange:
    """Tests of one system, over its clean or its noisy conditions, against raw.

    Attributes:
        lost: whose own speaker came first before, and does not; `won`: the reverse.
    """

    system: System
    part: str
    tests: int
    lost: int
    won: int


def rank_changes(
    identified: Mapping[tuple[System, str], Identified], conditions: Sequence[Condition]
) -> Iterator[RankChange]:
    """Yield the changes of each system over the conditions in which it and raw have the same tests."""
    systems = list(dict.fromkeys(system for system, _ in identified))
    for system in systems:
        raw = reference(system, systems)
        for part in PARTS if raw else ():
            views = [each.view for each in conditions if each.is_clean == (part == "clean")]
            pairs = [(identified.get((raw, view)), identified.get((system, view))) for view in views if raw]
            flips = [flipped for before, after in pairs if before and after and (flipped := _flipped(before, after))]
            if flips:
                lost, won, tests = map(sum, zip(*flips, strict=True))
                yield RankChange(system, part, tests, lost, won)


def _flipped(before: Identified, after: Identified) -> tuple[int, int, int] | None:
    """Return how many tests are lost and won, and of how many; None where both have other tests."""
    if before.first_T is None or after.first_T is None or before.tests != after.tests:
        return None
    lost_T, won_T = before.first_T & ~after.first_T, ~before.first_T & after.first_T
    return int(np.count_nonzero(lost_T)), int(np.count_nonzero(won_T)), before.first_T.size
