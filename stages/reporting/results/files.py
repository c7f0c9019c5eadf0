"""The files of one run that a report is made of, apart from the code: matplotlib takes seconds to import."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Across:
    """How a system scores embeddings of two backbones against each other.

    Attributes:
        pair: "ge2e~small".
        alignment: what maps them; of one name under several seeds.
        enrolment, test: the systems that score either side against itself.
    """

    pair: str
    alignment: str
    enrolment: str
    test: str


@dataclass(frozen=True)
class RunFiles:
    """The files of one run.

    Attributes:
        name: what the run is called where several are compared.
        scores: scores.parquet of each system, in the order in which systems are shown; fused ones last.
        identification: identification.parquet of each but the fused ones, in the same order; or none.
        stores: the store behind each but the fused ones, in the same order; or none.
        utterances: utterances.parquet, which says who speaks.
        across: the systems that score two backbones against each other.
        frontends: directories of front ends, whose spectrograms are shown.
    """

    name: str
    scores: Sequence[Path]
    identification: Sequence[Path]
    stores: Sequence[Path]
    utterances: Path
    across: Mapping[str, Across] = field(default_factory=dict)
    frontends: Sequence[Path] = ()
