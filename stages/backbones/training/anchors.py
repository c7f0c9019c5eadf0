"""Anchors: the stored clean vectors of a frozen base, by utterance and crop (arXiv 2510.18530). No second forward pass.

Shapes: N utterances x crops, D embedding dimension, B batch.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow.compute as pc
import torch
from torch import Tensor

from reseed.stages.audio.manifest import Utterance
from reseed.stages.backbones.base import Backbone
from reseed.stages.training.record import log
from reseed.store import EmbeddingStore, ManifestError, StoreError

CLEAN_VIEW = "clean"


class Anchors:
    """The clean vectors of a store, and where in their utterances they begin.

    Raises:
        StoreError: no view "clean", crops of several lengths, or vectors of another backbone; names both.
    """

    def __init__(self, source: EmbeddingStore, base: Backbone) -> None:
        if CLEAN_VIEW not in source.views:
            raise StoreError(f"{source.path} has no view {CLEAN_VIEW!r} to be anchors, only {', '.join(source.views)}")
        if source.space != base.space:
            raise StoreError(
                f"{source.path} holds anchors of {source.space}, the training starts from {base.space}; extract the "
                "anchors with that backbone, or start from theirs"
            )
        rows = source.rows(["utterance_id", "crop", "start_s", "duration_s"], filters=pc.field("view") == CLEAN_VIEW)
        lengths_s = pc.unique(rows["duration_s"]).to_pylist()
        if len(lengths_s) != 1 or lengths_s[0] is None:
            raise StoreError(f"{source.path} does not say one length of its crops, which anchors must have")
        self.crops: int = source.crops
        self.crop_s: float = lengths_s[0]
        self.space, self.fingerprint, self.path = source.space, source.fingerprint, source.path
        self._vectors_ND = source.vectors(CLEAN_VIEW)
        self._first = {name: place * source.crops for place, name in enumerate(source.utterance_ids())}
        self._start_N = rows["start_s"].to_numpy()

    def __contains__(self, utterance_id: str) -> bool:
        return utterance_id in self._first

    def check_length(self, crop_s: float) -> None:
        """Check that training hears crops of the length that is stored.

        Raises:
            StoreError: it does not; names both.
        """
        if not np.isclose(self.crop_s, crop_s):
            raise StoreError(
                f"the anchors {self.path} are of crops of {self.crop_s:g} s, the training hears {crop_s:g} s; set "
                "crop_s to theirs, or extract anchors of that length"
            )

    def stored(self, rows: Sequence[Utterance], manifest: Path) -> list[Utterance]:
        """Return the utterances that have anchors; say how many have none.

        Raises:
            ManifestError: none has.
        """
        found = [row for row in rows if row.utterance_id in self]
        if not found:
            raise ManifestError(f"none of the {len(rows)} utterances of {manifest} is among the anchors {self.path}")
        if len(found) < len(rows):
            log(f"{len(rows) - len(found)} utterances have no anchor in {self.path} and are left out")
        return found

    def start_s(self, utterance_id: str, crop: int) -> float:
        """Return where a crop begins, in seconds from the start of its utterance."""
        return float(self._start_N[self._first[utterance_id] + crop])

    def vectors(self, places: Sequence[tuple[str, int]]) -> Tensor:
        """Return the anchors of some (utterance, crop), float32 [B, D]."""
        rows = [self._first[name] + crop for name, crop in places]
        return torch.from_numpy(np.asarray(self._vectors_ND[rows], np.float32))
