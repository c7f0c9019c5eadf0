"""What a rule says of a store: a status, a sentence, and the worst offenders as rows of a table."""

import shlex
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reseed.stages.auditing.blocks import Place
from reseed.stages.auditing.facts import Facts

PASSED, FAILED, SKIPPED = "passed", "failed", "skipped"
LISTED = 10  # offenders


@dataclass(frozen=True)
class Finding:
    """What a rule has found.

    Attributes:
        says: one or two sentences.
        offenders: the worst, as rows of a table; "hear" is a command.
    """

    rule: str
    status: str
    says: str
    offenders: list[dict[str, Any]] = field(default_factory=list)

    def facts(self) -> dict[str, Any]:
        """Return it as JSON."""
        return asdict(self)


def heard(facts: Facts, place: Place | None, row: dict[str, Any]) -> dict[str, Any]:
    """Return a row of offenders with the command that lets one hear it, where there are recordings behind the store."""
    if place is None or facts.replayed is None:
        return row
    return {**row, "hear": hear(facts.replayed, place)}


def hear(store: Path, place: Place) -> str:
    """Return the command that makes the row again and writes what it sounds like."""
    words = ["reseed", "replay", str(store), place.utterance_id, "--view", place.view, "--crop", str(place.crop)]
    if place.utterance_id.startswith("-"):
        words = [*words[:3], *words[4:], "--", place.utterance_id]
    return shlex.join([*words[:2], "--out", "heard.wav", *words[2:]])


def placed(facts: Facts, place: Place) -> dict[str, Any]:
    """Return a row as offenders name it."""
    return heard(facts, place, {"utterance": place.utterance_id, "view": place.view, "crop": place.crop})


def quantile(counts: NDArray[np.int64], edges: NDArray[np.float64], share: float) -> float | None:
    """Return the value below which a share of a histogram lies, as the middle of its bin."""
    if not counts.sum():
        return None
    place = int(np.searchsorted(np.cumsum(counts), share * counts.sum()))
    return float((edges[place] + edges[place + 1]) / 2)
