"""What the other systems decide otherwise than the first one, condition by condition, and the worst of it.

Shapes: P trials.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from shlex import quote
from typing import Any

import numpy as np

from reseed.stages.evaluation.trials import Codes, Scored, Trials
from reseed.stages.scoring.flips import Flips, flips

_WORST = 20
_EVERYTHING = ""


@dataclass(frozen=True)
class Changed:
    """How many decisions of a system are right where those of the first are wrong, and the reverse.

    Attributes:
        condition: empty: all trials.
        new_misses, new_false_alarms: right before, wrong after; `mended_...` the reverse.
    """

    system: str
    other: str
    condition: str
    targets: int
    nontargets: int
    new_misses: int
    new_false_alarms: int
    mended_misses: int
    mended_false_alarms: int


@dataclass(frozen=True)
class Worse:
    """A trial that got worse.

    Attributes:
        before, after: scores by either system; `margin`: see `reseed.stages.scoring.flips.Flips`.
        to_hear: commands that render both sides; empty: no store was named.
    """

    system: str
    enrolment_id: str
    test_id: str
    condition: str
    is_target: bool
    before: float
    after: float
    margin: float
    to_hear: tuple[str, ...] = ()

    def row(self) -> dict[str, Any]:
        """Return the row of flips.json."""
        return {**vars(self), "to_hear": list(self.to_hear)}


@dataclass(frozen=True)
class Flipped:
    """All that changed: counts, and the worst trials of each system."""

    changed: Sequence[Changed] = ()
    worst: Sequence[Worse] = ()


def find_flips(
    trials: Trials, scored: Sequence[Scored], thresholds: Sequence[float], store: Path | None = None
) -> Flipped:
    """Compare every system with the first.

    Args:
        thresholds: of each system, on all trials.
        store: where `reseed replay` finds what was scored; the condition of a trial is the view that was tested.
    """
    first, changed, worst = scored[0], [], []
    for system, threshold in zip(scored[1:], thresholds[1:], strict=True):
        found = flips(first.score_P, system.score_P, trials.is_target_P, thresholds[0], threshold)
        changed += list(_counts(trials, system.name, first.name, found))
        worst += list(_worst(trials, first, system, found, store))
    return Flipped(changed, worst)


def _counts(trials: Trials, system: str, other: str, found: Flips) -> Iterator[Changed]:
    several = len(trials.conditions) > 1
    for number, name in [(None, _EVERYTHING), *(enumerate(trials.conditions) if several else ())]:
        in_P = np.ones(trials.is_target_P.size, np.bool_) if number is None else trials.condition_P == number
        targets_P, nontargets_P = in_P & trials.is_target_P, in_P & ~trials.is_target_P
        masks = targets_P, nontargets_P
        counts = [int(np.count_nonzero(mask)) for mask in masks]
        counts += [int(np.count_nonzero(flip & mask)) for flip in (found.worse_P, found.mended_P) for mask in masks]
        if counts[0] or counts[1]:
            yield Changed(system, other, name, *counts)


def _worst(trials: Trials, first: Scored, system: Scored, found: Flips, store: Path | None) -> Iterator[Worse]:
    rows = np.flatnonzero(found.worse_P)
    for row in rows[np.argsort(found.margin_P[rows], kind="stable")[:_WORST]]:
        enrolment, test = _named(trials, trials.enrolment_P, row), _named(trials, trials.test_P, row)
        condition = trials.conditions[int(trials.condition_P[row])]
        heard = ((enrolment, "clean"), (test, condition or "clean")) if trials.names else ()
        yield Worse(
            system.name,
            enrolment,
            test,
            condition,
            bool(trials.is_target_P[row]),
            float(first.score_P[row]),
            float(system.score_P[row]),
            float(found.margin_P[row]),
            tuple(_replay(store, *each) for each in heard) if store else (),
        )


def _named(trials: Trials, side_P: Codes, row: np.intp) -> str:
    return trials.names[int(side_P[row])] if trials.names else ""


def _replay(store: Path, utterance: str, view: str) -> str:
    words = ("reseed", "replay", str(store), utterance, "--view", view, "--out", f"{Path(utterance).name}.{view}.wav")
    return " ".join(map(quote, words))
