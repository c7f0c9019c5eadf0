"""All that the passes over a store have found, before anybody judges it."""

from dataclasses import dataclass, field
from pathlib import Path

from stages.auditing.against import Comparison
from stages.auditing.blocks import Place, Source
from stages.auditing.provenance import Manifest, Remade
from stages.auditing.review import Review, Whitened
from stages.auditing.survey import Survey
from store.format import Reject


@dataclass(frozen=True)
class Twin:
    """Two utterances that are one recording, by their vectors; `is_exact` where every bit is equal."""

    first: str
    second: str
    cosine: float
    is_exact: bool


@dataclass(frozen=True)
class Against:
    """The other store, and what the two are to each other.

    Attributes:
        shared_ids, shared_speakers: how many utterances and speakers both have, and the first of them.
        twins: utterances of both that are one recording; none where the spaces differ.
        comparison: of the rows that both have; none where the two are train and evaluation.
        relabelled: (utterance, speaker here, speaker there), and how many.
    """

    path: Path
    space: str
    relation: str
    shared_ids: tuple[int, list[str]]
    shared_speakers: tuple[int, list[str]]
    relabelled: tuple[int, list[tuple[str, str, str]]]
    twins: list[Twin] | None = None
    comparison: Comparison | None = None


@dataclass(frozen=True)
class Facts:
    """What is known of a store.

    Attributes:
        problems: one line per damaged file; such shards are in nothing below.
        captured: shard -> the share of its energy that lies where the others spread.
        alike: (speaker, other, how alike they are to how alike each is to itself, utterances of both), highest first.
        exchanged: (speaker, other, how much better their utterances fall into two groups across the labels).
        within: speaker -> mean cosine of two of its utterances, whitened.
        remade: rows made again; or why none was.
        heard: a row with each sound, for a command that lets one hear it.
    """

    path: Path
    source: Source
    problems: list[str]
    survey: Survey
    review: Review
    speakers: Whitened
    rejects: list[Reject]
    captured: dict[int, float]
    alike: list[tuple[str, str, float, int]]
    exchanged: list[tuple[str, str, float]]
    within: dict[str, float]
    twins: list[Twin]
    by_hashing: bool
    manifest: Manifest | str
    remade: list[Remade] | str
    against: Against | None = None
    heard: dict[str, Place] = field(default_factory=dict)
