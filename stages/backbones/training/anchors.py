"""Anchors: the stored clean vectors of a frozen base, by utterance and crop (arXiv 2510.18530). No second forward pass.

Shapes: N utterances x crops, D embedding dimension, B batch, K speakers.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow.compute as pc
import torch
import torch.nn.functional as F
from torch import Tensor

from reseed.stages.audio.manifest import Utterance
from reseed.stages.backbones.base import Backbone
from reseed.stages.common.terminal import log
from reseed.stages.training.data import CLEAN_VIEW
from reseed.store import EmbeddingStore, ManifestError, StoreError

_TOGETHER = 4096  # utterances whose vectors are in memory at once


class Anchors:
    """The clean vectors of a store, and where in their utterances they begin.

    Args:
        base: the backbone that the training starts from.
        crop_s: length of the crops that the training hears, in seconds.

    Raises:
        StoreError: no view "clean", crops of several lengths, of another or of speech alone, or vectors of another
            backbone.
    """

    def __init__(self, store: EmbeddingStore, base: Backbone, crop_s: float) -> None:
        if CLEAN_VIEW not in store.views:
            raise StoreError(f"{store.path} has no view {CLEAN_VIEW!r} to be anchors, only {', '.join(store.views)}")
        if store.space != base.space:
            raise StoreError(
                f"{store.path} holds anchors of {store.space}, the training starts from {base.space}; extract the "
                "anchors with that backbone, or start from theirs"
            )
        if "stretches_s" in store.shard(0).columns:
            raise StoreError(
                f"the anchors {store.path} are of speech alone (crops.vad), and the training hears what lies between "
                "it, too; extract anchors without vad"
            )
        rows = store.rows(["utterance_id", "crop", "start_s", "duration_s"], filters=pc.field("view") == CLEAN_VIEW)
        lengths_s = pc.unique(rows["duration_s"]).to_pylist()
        if len(lengths_s) != 1 or lengths_s[0] is None:
            raise StoreError(f"{store.path} does not say one length of its crops, which anchors must have")
        if not np.isclose(lengths_s[0], crop_s):
            raise StoreError(
                f"the anchors {store.path} are of crops of {lengths_s[0]:g} s, the training hears {crop_s:g} s; set "
                "crop_s to theirs, or extract anchors of that length"
            )
        self.crops: int = store.crops
        self.crop_s: float = lengths_s[0]
        self.space, self.fingerprint, self.path = store.space, store.fingerprint, store.path
        self._vectors_ND = store.vectors(CLEAN_VIEW)
        self._first = {name: place * store.crops for place, name in enumerate(store.utterance_ids())}
        self._start_N = rows["start_s"].to_numpy()

    def stored(self, rows: Sequence[Utterance], manifest: Path) -> list[Utterance]:
        """Return the utterances that have anchors; say how many have none.

        Raises:
            ManifestError: none has.
        """
        found = [row for row in rows if row.utterance_id in self._first]
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

    def mean(self, utterances: Sequence[Utterance]) -> Tensor:
        """Return the mean of the anchors of some utterances, each of unit length, float32 [D]."""
        total_D = torch.stack([unit_BD.sum(dim=0) for unit_BD, _ in self._units(utterances)]).sum(dim=0)
        return (total_D / (len(utterances) * self.crops)).float()

    def of_speakers(
        self, utterances: Sequence[Utterance], speakers: Sequence[str], mean_D: Tensor | None = None
    ) -> Tensor:
        """Return the direction of each speaker's mean anchor, float32 [K, D], of unit length.

        Args:
            utterances: labelled, some of each speaker.
            mean_D: what is taken from anchors of unit length; what is left is scaled to unit length again.
        """
        numbers = {speaker: number for number, speaker in enumerate(speakers)}
        total_KD = torch.zeros(len(speakers), self._vectors_ND.shape[1], dtype=torch.float64)
        for unit_BD, rows in self._units(utterances):
            centred_BD = unit_BD if mean_D is None else F.normalize(unit_BD - mean_D, dim=-1)
            labels = [numbers[str(row.speaker_id)] for row in rows for _ in range(self.crops)]
            total_KD.index_add_(0, torch.tensor(labels), centred_BD)
        return F.normalize(total_KD, dim=-1).float()

    def _units(self, utterances: Sequence[Utterance]) -> Iterator[tuple[Tensor, Sequence[Utterance]]]:
        """Yield anchors of unit length, float64 [B, D], with the utterances that they are of, crop after crop."""
        for start in range(0, len(utterances), _TOGETHER):
            rows = utterances[start : start + _TOGETHER]
            places = [(row.utterance_id, crop) for row in rows for crop in range(self.crops)]
            yield F.normalize(self.vectors(places).double(), dim=-1), rows
