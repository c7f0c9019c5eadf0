"""All that the passes over a store have found, before anybody judges it."""

from dataclasses import dataclass, field
from pathlib import Path

from reseed.stages.auditing.against import Comparison
from reseed.stages.auditing.blocks import Place, Source
from reseed.stages.auditing.provenance import Manifest, Remade
from reseed.stages.auditing.review import Review, Whitened
from reseed.stages.auditing.survey import Survey
from reseed.store.format import Reject


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
        is_assumed: nobody said what they are; lineage and shared ids did.
        problems: one line per damaged file of it.
        thorough: vectors were compared, not only their bits.
        shared_ids, shared_speakers: how many utterances and speakers both have, and the first of them.
        twins: utterances of both that are one recording; none where the spaces differ.
        comparison: of the rows that both have; none where the two are train and evaluation.
        relabelled: (utterance, speaker here, speaker there), and how many.
    """

    path: Path
    space: str
    relation: str
    is_assumed: bool
    problems: list[str]
    shared_ids: tuple[int, list[str]]
    shared_speakers: tuple[int, list[str]]
    relabelled: tuple[int, list[tuple[str, str, str]]]
    twins: list[Twin] | None = None
    thorough: bool = True
    comparison: Comparison | None = None


@dataclass(frozen=True)
class Facts:
    """What is known of a store.

    Attributes:
        replayed: the store that its rows can be made again from: itself, or what it was derived from; none where it was
            not extracted from audio.
        problems: one line per damaged file; such shards are in nothing below.
        twice: how many utterance ids are stored more than once.
        captured: shard -> the share of its energy that lies where the others spread.
        alike: (speaker, other, how alike they are to how alike each is to itself, utterances of both), highest first.
        exchanged: (speaker, other, how much better their utterances fall into two groups across the labels).
        within: speaker -> mean cosine of two of its utterances, whitened.
        remade: rows made again; or why none was.
        first_of: speaker -> a row of it, of those that findings name.
    """

    path: Path
    source: Source
    replayed: Path | None
    problems: list[str]
    survey: Survey
    review: Review
    speakers: Whitened
    rejects: list[Reject]
    twice: int
    captured: dict[int, float]
    alike: list[tuple[str, str, float, int]]
    exchanged: list[tuple[str, str, float]]
    within: dict[str, float]
    twins: list[Twin]
    by_hashing: bool
    manifest: Manifest | str
    remade: list[Remade] | str
    against: Against | None = None
    first_of: dict[str, Place] = field(default_factory=dict)

    def place(self, utterance_id: str) -> Place:
        """Return the row of an utterance that it is judged by."""
        return Place(utterance_id, self.source.views[self.source.judged], 0)
