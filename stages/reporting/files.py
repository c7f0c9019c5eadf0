"""The files of one run that a report is made of, apart from the code: matplotlib takes seconds to import."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class RunFiles:
    """The files of one run.

    Attributes:
        name: what the run is called where several are compared.
        scores: scores.parquet of each system, in the order in which systems are shown; fused ones last.
        identification: identification.parquet of each but the fused ones, in the same order; or none.
        stores: the store behind each but the fused ones, in the same order; or none.
        utterances: utterances.parquet, which says who speaks.
    """

    name: str
    scores: Sequence[Path]
    identification: Sequence[Path]
    stores: Sequence[Path]
    utterances: Path
