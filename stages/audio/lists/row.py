"""One row of a list, as whatever reads the list hands it on."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from reseed.stages.audio.lists.places import Place


@dataclass(frozen=True)
class Row:
    """One row of a list.

    Attributes:
        place: where it stands, "line 7".
        values: column -> value.
        problem: why it cannot be read.
        inside: where the recording lies within an archive; None: a column has its path.
        is_whole: times of the row are those of another recording, which this one was cut from.
    """

    place: str
    values: Mapping[str, Any] = field(default_factory=dict)
    problem: str | None = None
    inside: Place | None = None
    is_whole: bool = False
