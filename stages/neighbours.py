"""`neighbours`: the utterances of a store that are nearest to one of them."""

from dataclasses import asdict, dataclass
from typing import Any

from reseed.stages.common.terminal import lines
from reseed.stages.search.search import Neighbour, search_in
from reseed.store import EmbeddingStore
from reseed.store.url import AnyPath


@dataclass(frozen=True)
class Neighbours:
    """The utterances nearest to one.

    Attributes:
        recall: as of `Search`.
        how: the same in words.
    """

    store: AnyPath
    view: str
    utterance_id: str
    speaker_id: str | None
    nearest: list[Neighbour]
    recall: float | None
    how: str

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON."""
        return {**asdict(self), "store": str(self.store)}

    def summary(self) -> str:
        """Return it as a line, and a line for each."""
        told = [f"{self.store}, {self.view}: nearest to {self.utterance_id} ({_known(self.speaker_id)}), {self.how}"]
        told += [f"{each.cosine:7.4f}  {each.utterance_id}  {_known(each.speaker_id)}" for each in self.nearest]
        return lines(told)


def neighbours(*, store: AnyPath, utterance: str, view: str = "clean", k: int = 10, index: bool = False) -> Neighbours:
    """Return the utterances nearest to one by cosine, means of crops, in one view.

    Args:
        index: make an index where it is missing; one that is there is used in any case.

    Raises:
        StoreError: no store, or no such view or utterance.
        ConfigError: an index is asked for, and faiss is not installed.
    """
    source = EmbeddingStore(store)
    search = search_in(source, view, index=index or None)
    speakers = dict(zip(source.utterance_ids(), source.speaker_ids(), strict=True))
    nearest = search.nearest_to(utterance, speakers, k)
    return Neighbours(store, view, utterance, speakers[utterance], nearest, search.recall, search.in_words())


def _known(speaker: str | None) -> str:
    return "speaker unknown" if speaker is None else speaker
