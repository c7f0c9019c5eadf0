"""What two stores share: the vectors of the same crops in the same views, row by row.

Shapes: U shared utterances, N shared rows (utterance x crop x view), D and E dimensions of the two sides.
"""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch
from numpy.typing import NDArray
from torch import Tensor

from reseed.stages.common.speakers import speaker_codes
from reseed.stages.scoring.cosine import unit_rows
from reseed.store import EmbeddingStore, StoreError

MOST_ROWS = 2_000_000  # of more, a random part is learnt from

Places = NDArray[np.int64]  # of utterances in a store, [U]


@dataclass(frozen=True)
class SharedRows:
    """Row i of both sides is the same crop in the same view, of unit length.

    Attributes:
        enrolment_ND, test_NE: the vectors of either side.
        utterance_N: which utterance a row is of.
        speaker_N: who speaks; -1 where unknown.
        views: of which the rows of an utterance are, crop by crop; empty: all of one.
    """

    enrolment_ND: Tensor
    test_NE: Tensor
    utterance_N: Tensor
    speaker_N: Tensor
    views: tuple[str, ...] = ()

    @property
    def utterances(self) -> int:
        """How many utterances there are."""
        return len(self.utterance_N.unique())

    @property
    def speakers(self) -> int:
        """How many speakers are known by name."""
        return len(self.speaker_N[self.speaker_N >= 0].unique())


def shared_views(enrolment: EmbeddingStore, test: EmbeddingStore) -> list[str]:
    """Return the views that both stores have.

    Raises:
        StoreError: there is none.
    """
    views = [view for view in enrolment.views if view in test.views]
    if not views:
        raise StoreError(
            f"{enrolment.path} has the views {', '.join(enrolment.views)}, {test.path} {', '.join(test.views)}: none "
            "of them is shared; extract both with views of the same names"
        )
    return views


def shared_rows(enrolment: EmbeddingStore, test: EmbeddingStore, views: list[str], seed: int) -> SharedRows:
    """Return the rows that two stores share in some views; of more than two million a random part, by utterance.

    Raises:
        StoreError: no utterance is shared, or crops differ.
    """
    enrolment_U, test_U = _shared_utterances(enrolment, test)
    if enrolment.crops != test.crops:
        crops = f"{enrolment.path} has {enrolment.crops} crops of an utterance, {test.path} {test.crops}"
        raise StoreError(f"{crops}; extract alike")
    rows_per_utterance = enrolment.crops * len(views)
    most = max(2, MOST_ROWS // rows_per_utterance)
    if enrolment_U.size > most:
        chosen = np.sort(np.random.default_rng(seed).choice(enrolment_U.size, most, replace=False))
        enrolment_U, test_U = enrolment_U[chosen], test_U[chosen]
    _check_crops(enrolment, test, enrolment_U, test_U)
    return SharedRows(
        _vectors(enrolment, enrolment_U, views),
        _vectors(test, test_U, views),
        torch.arange(enrolment_U.size).repeat_interleave(rows_per_utterance),
        torch.from_numpy(speaker_codes(enrolment)[enrolment_U]).repeat_interleave(rows_per_utterance),
        tuple(views),
    )


def _shared_utterances(enrolment: EmbeddingStore, test: EmbeddingStore) -> tuple[Places, Places]:
    ids, test_ids = (pa.array(store.utterance_ids(), pa.string()) for store in (enrolment, test))
    found = pc.index_in(ids, value_set=test_ids)
    enrolment_U = np.flatnonzero(pc.is_valid(found).to_numpy(zero_copy_only=False))
    if not enrolment_U.size:
        raise StoreError(
            f"{enrolment.path} and {test.path} share none of their {len(ids)} and {len(test_ids)} utterances, e.g. "
            f"{ids[0]} and {test_ids[0]}; extract the same speech with both backbones"
        )
    return enrolment_U, found.drop_null().to_numpy()


def _vectors(store: EmbeddingStore, places_U: Places, views: list[str]) -> Tensor:
    """Return the unit vectors of some utterances, crop by crop and view by view, [N, D]."""
    index = [store.views.index(view) for view in views]
    kept_UCVD = np.empty((places_U.size, store.crops, len(views), store.dim), np.float32)
    row_of = np.full(store.header.stored, -1)
    row_of[places_U] = np.arange(places_U.size)
    start = 0
    for block_UCVD in store.utterance_blocks():
        rows = row_of[start : start + len(block_UCVD)]
        start += len(block_UCVD)
        kept_UCVD[rows[rows >= 0]] = block_UCVD[rows >= 0][:, :, index]
    return torch.from_numpy(unit_rows(kept_UCVD).astype(np.float32).reshape(-1, store.dim))


def _check_crops(enrolment: EmbeddingStore, test: EmbeddingStore, enrolment_U: Places, test_U: Places) -> None:
    columns = ["start_s", "duration_s"]
    known = [set(store.shard(0).columns) for store in (enrolment, test)]
    if len({"stretches_s" in names for names in known}) == 2:
        raise StoreError(f"of {enrolment.path} and {test.path} one is of speech alone (crops.vad); extract both alike")
    if not all(names.issuperset(columns) for names in known):
        return  # made elsewhere: nothing says where crops lie
    stretches_UC2 = []
    for store, places_U in ((enrolment, enrolment_U), (test, test_U)):
        table = store.rows(columns, filters=pc.field("view") == store.views[0])
        stretch_N2 = np.stack([table[name].to_numpy() for name in columns], axis=1)
        stretches_UC2.append(stretch_N2.reshape(-1, store.crops, 2)[places_U])
    differ_U = ~np.isclose(stretches_UC2[0], stretches_UC2[1], atol=1e-3).all(axis=(1, 2))
    if differ_U.any():
        first, second = (
            f"{length_s:.2f} s from {start_s:.2f} s on"
            for start_s, length_s in (stretch_UC2[differ_U][0, 0] for stretch_UC2 in stretches_UC2)
        )
        raise StoreError(
            f"the crops of {differ_U.sum()} of {differ_U.size} utterances differ: {first} in {enrolment.path}, "
            f"{second} in {test.path}; extract with one seed and recipe"
        )
