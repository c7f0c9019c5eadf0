"""One row of a list, as whatever reads the list hands it on."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Row:
    """One row of a list.

    Attributes:
        place: where it stands, "line 7".
        values: column -> value.
        problem: why it cannot be read.
    """

    place: str
    values: Mapping[str, Any] = field(default_factory=dict)
    problem: str | None = None
