"""What a system decides otherwise than the one that it is compared with, and trials that got worse.

Shapes: P trials.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from shlex import quote
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reseed.stages.scoring.curves import Floats
from reseed.stages.scoring.flips import Flips, Mask, examples, flips
from reseed.store.url import AnyPath

_EXAMPLES = 10  # of the worst, and as many of the others
_EVERYTHING = ""


@dataclass(frozen=True)
class Compared:
    """Two systems on the same labelled trials.

    Attributes:
        system, other: what they are called; `other` is the one that decided before.
        before_P, after_P: scores by the other one and by the system.
        before_threshold, after_threshold: at which each of them decides.
        conditions, condition_P: names, and the number of the one of each trial.
    """

    system: str
    other: str
    before_P: Floats
    after_P: Floats
    before_threshold: float
    after_threshold: float
    is_target_P: Mask
    conditions: Sequence[str]
    condition_P: NDArray[np.int64]


@dataclass(frozen=True)
class Changed:
    """How many decisions of a system are right where those of another one are wrong, and the reverse.

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
        before, after: scores by either system, which accepts from its threshold on.
        margin: see `reseed.stages.scoring.flips.Flips`.
        is_drawn: drawn at random; otherwise one of the worst.
        to_hear: commands that render both sides; empty: nothing is known to render them from.
    """

    system: str
    other: str
    enrolment_id: str
    test_id: str
    condition: str
    is_target: bool
    before: float
    after: float
    before_threshold: float
    after_threshold: float
    margin: float
    is_drawn: bool
    to_hear: tuple[str, ...] = ()

    def row(self) -> dict[str, Any]:
        """Return the row of flips.json."""
        return {**vars(self), "to_hear": list(self.to_hear)}


@dataclass(frozen=True)
class Flipped:
    """All that changed: counts, and of each system the worst trials and some others that got worse."""

    changed: Sequence[Changed] = ()
    worse: Sequence[Worse] = ()


Trial = tuple[str, str]  # ids of enrolment and test


def find_flips(
    compared: Compared,
    trial: Callable[[int], Trial],
    to_hear: Callable[[Trial, str], tuple[str, ...]] = lambda trial, condition: (),
) -> Flipped:
    """Compare the decisions of two systems.

    Args:
        trial: returns the ids of a trial by its place.
        to_hear: returns the commands that render a trial, of which it is given the condition too.
    """
    found = flips(
        compared.before_P,
        compared.after_P,
        compared.is_target_P,
        compared.before_threshold,
        compared.after_threshold,
    )
    worse = []
    for is_drawn, places in enumerate(examples(found, _EXAMPLES)):
        for place in map(int, places):
            ids, condition = trial(place), compared.conditions[int(compared.condition_P[place])]
            worse.append(
                Worse(
                    compared.system,
                    compared.other,
                    *ids,
                    condition,
                    bool(compared.is_target_P[place]),
                    float(compared.before_P[place]),
                    float(compared.after_P[place]),
                    compared.before_threshold,
                    compared.after_threshold,
                    float(found.margin_P[place]),
                    bool(is_drawn),
                    to_hear(ids, condition),
                )
            )
    return Flipped(list(_counts(compared, found)), worse)


def replay_command(store: AnyPath, utterance: str, view: str) -> str:
    """Return the command that renders what was embedded as a .wav in the working directory."""
    words = ("reseed", "replay", str(store), utterance, "--view", view, "--out", f"{Path(utterance).name}.{view}.wav")
    return " ".join(map(quote, words))


def _counts(compared: Compared, found: Flips) -> Iterator[Changed]:
    targets_P, several = compared.is_target_P, len(compared.conditions) > 1
    for number, name in [(None, _EVERYTHING), *(enumerate(compared.conditions) if several else ())]:
        in_P = np.ones(targets_P.size, np.bool_) if number is None else compared.condition_P == number
        masks = in_P & targets_P, in_P & ~targets_P
        counts = [int(np.count_nonzero(mask)) for mask in masks]
        counts += [int(np.count_nonzero(flip & mask)) for flip in (found.worse_P, found.mended_P) for mask in masks]
        if counts[0] or counts[1]:
            yield Changed(compared.system, compared.other, name, *counts)
