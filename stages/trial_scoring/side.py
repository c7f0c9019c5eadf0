"""The vectors of one side of the trials, in one view: what the scorers start from.

Shapes: U utterances, C crops, D embedding dimension, X entries (utterances and models).
"""

from collections.abc import Iterator
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reseed.stages.scoring.cosine import unit_rows, utterance_embeddings
from reseed.stages.scoring.curves import Floats
from reseed.stages.trial_scoring.entries import Entries
from reseed.store import EmbeddingStore, ScoringError


class Side:
    """The entries of one side in one view; vectors are read when a scorer asks for them, and once.

    Attributes:
        prepared: scoring -> what its scorer has made of this side.
    """

    def __init__(self, source: EmbeddingStore, view: str, entries: Entries) -> None:
        self.source, self.view, self.entries = source, view, entries
        self.prepared: dict[str, Any] = {}

    @cached_property
    def unit_UD(self) -> Floats:
        """One unit vector per utterance: crops to unit length, averaged, to unit length again.

        Raises:
            ScoringError: a vector has no direction; names store and view.
        """
        try:
            return np.concatenate([utterance_embeddings(crops_UCD) for crops_UCD in self._blocks()])
        except ScoringError as error:
            raise ScoringError(f"{self.source.path}, view {self.view}: {error}") from error

    @cached_property
    def unit_XD(self) -> Floats:
        """One unit vector per entry; a model's is the mean of its utterances', to unit length."""
        return unit_rows(self.entries.pooled(self.unit_UD)) if self.entries.starts_M.size else self.unit_UD

    @property
    def crops_UCD(self) -> NDArray[np.floating[Any]]:
        """The stored vectors of all crops, read anew each time.

        Raises:
            ScoringError: there are models, which have no crops of their own.
        """
        if self.entries.starts_M.size:
            raise ScoringError(
                f"the {self.entries.starts_M.size} enrolment models of several utterances have no crops to compare one "
                "by one; score them by cosine, as_norm, s_norm or plda"
            )
        return np.concatenate(list(self._blocks()))

    def _blocks(self) -> Iterator[NDArray[np.floating[Any]]]:
        index = self.source.views.index(self.view)
        yield from (crops_UCVD[:, :, index] for crops_UCVD in self.source.utterance_blocks())
