"""The files of one run that a report is made from; apart, because matplotlib takes seconds to import."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from reseed.store.url import AnyPath


@dataclass(frozen=True)
class BackbonePair:
    """Embeddings of two backbones that a system scores against each other.

    Attributes:
        name: "ge2e~small".
        alignment: what maps them into one space; the same name for each of its seeds.
        enrolment, test: the systems that score each side by itself.
    """

    name: str
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
        stores: the store that each but the fused ones was scored from, in the same order; or none.
        utterances: utterances.parquet, which says who speaks.
        backbone_pairs: what is compared by each system that scores two backbones against each other.
        frontends: directories of front ends, whose spectrograms are shown.
        leakage: what training and evaluation share; None: not looked for.
    """

    name: str
    scores: Sequence[Path]
    identification: Sequence[Path]
    stores: Sequence[AnyPath]
    utterances: AnyPath
    backbone_pairs: Mapping[str, BackbonePair] = field(default_factory=dict)
    frontends: Sequence[Path] = ()
    leakage: Path | None = None
