"""`reseed align`: learn maps of two backbones' embeddings into one space, from the crops that both stores hold.

Shapes: N rows (crop x view) that both stores share, D and E dimensions of the sides.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch
from torch import Tensor

from reseed.stages.aligners.base import Shared
from reseed.stages.aligners.folder import AlignmentInfo, save_alignment
from reseed.stages.aligners.table import aligner_class
from reseed.stages.common.section import Section
from reseed.stages.common.speakers import speaker_codes
from reseed.stages.scoring.cosine import unit_rows
from reseed.stages.training.progress import log
from reseed.store import EmbeddingStore, StoreError

_ROWS = 2_000_000


def align(*, enrolment: Path, test: Path, model: Path, method: str, settings: Section, seed: int) -> str:
    """Learn an alignment, write its directory, and return one sentence on it.

    Args:
        enrolment, test: stores of the same speech by two backbones: same crops, same names of views.
        model: directory to write.
        method: a name in `reseed.stages.aligners.ALIGNERS`; settings: its Config.

    Raises:
        StoreError: the stores share no utterance or no view, or their crops differ; says so with counts.
        ModelError: the method cannot be used on these.
    """
    first, second = EmbeddingStore(enrolment), EmbeddingStore(test)
    shared, views, utterances = join(first, second, seed)
    speakers = shared.speaker_N[shared.speaker_N >= 0].unique().numel()
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        alignment = aligner_class(method)(settings, (first.dim, second.dim), speakers)
    history = []
    for row in alignment.fit(shared, seed):
        if row:
            history.append(row)
            log(", ".join(f"{name} {value:.4g}" for name, value in row.items()))
    alignment.eval()
    with torch.no_grad():
        shared_dim = alignment.map("test", shared.test_NE[:1]).shape[1]
    info = AlignmentInfo(
        method=method,
        config=settings.model_dump(mode="json"),
        spaces=(first.space, second.space),
        dims=(first.dim, second.dim),
        shared_dim=shared_dim,
        seed=seed,
        stores=(first.fingerprint, second.fingerprint),
        stored=(first.header.stored, second.header.stored),
        views=views,
        utterances=utterances,
    )
    info = save_alignment(model, alignment, info, history)
    of = "" if {*info.stored} == {utterances} else f" (of {info.stored[0]} and {info.stored[1]})"
    return f"{model}: {method} of {utterances} shared utterances{of} in {len(views)} views, space {info.space}"


def join(first: EmbeddingStore, second: EmbeddingStore, seed: int) -> tuple[Shared, list[str], int]:
    """Return the rows that two stores share, the views, and the number of utterances.

    Of more than two million rows utterances are drawn at random.

    Raises:
        StoreError: nothing is shared, or crops differ.
    """
    views = [view for view in first.views if view in second.views]
    if not views:
        raise StoreError(
            f"{first.path} has the views {', '.join(first.views)}, {second.path} {', '.join(second.views)}: none of "
            "them is shared; extract both with views of the same names"
        )
    ids = [pa.array(source.utterance_ids(), pa.string()) for source in (first, second)]
    found = pc.index_in(ids[0], value_set=ids[1])
    rows_first = np.flatnonzero(pc.is_valid(found).to_numpy(zero_copy_only=False))
    if not rows_first.size:
        raise StoreError(
            f"{first.path} and {second.path} share none of their {len(ids[0])} and {len(ids[1])} utterances, e.g. "
            f"{ids[0][0]} and {ids[1][0]}; extract the same speech with both backbones"
        )
    if first.crops != second.crops:
        raise StoreError(
            f"{first.path} has {first.crops} crops of an utterance, {second.path} {second.crops}; extract alike"
        )
    rows_second = found.drop_null().to_numpy()
    most = max(2, _ROWS // (first.crops * len(views)))
    if rows_first.size > most:
        chosen = np.sort(np.random.default_rng(seed).choice(rows_first.size, most, replace=False))
        rows_first, rows_second = rows_first[chosen], rows_second[chosen]
    _check_crops(first, second, rows_first, rows_second)
    speakers = speaker_codes(first)[rows_first]
    per_utterance = first.crops * len(views)
    shared = Shared(
        _vectors(first, rows_first, views),
        _vectors(second, rows_second, views),
        torch.arange(rows_first.size).repeat_interleave(per_utterance),
        torch.from_numpy(speakers).repeat_interleave(per_utterance),
    )
    return shared, views, int(rows_first.size)


def _vectors(source: EmbeddingStore, rows_U: Any, views: list[str]) -> Tensor:
    """Return the unit vectors of some utterances, crop by crop and view by view, [N, D]."""
    index = [source.views.index(view) for view in views]
    kept, start = np.empty((rows_U.size, source.crops, len(views), source.dim), np.float32), 0
    place = np.full(source.header.stored, -1)
    place[rows_U] = np.arange(rows_U.size)
    for crops_UCVD in source.utterance_blocks():
        here = place[start : start + len(crops_UCVD)]
        start += len(crops_UCVD)
        kept[here[here >= 0]] = crops_UCVD[here >= 0][:, :, index]
    return torch.from_numpy(unit_rows(kept).astype(np.float32).reshape(-1, source.dim))


def _check_crops(first: EmbeddingStore, second: EmbeddingStore, rows_first: Any, rows_second: Any) -> None:
    columns = ["start_s", "duration_s"]
    known = [set(columns) <= set(source.shard(0).rows().column_names) for source in (first, second)]
    if not all(known):
        return  # made elsewhere: nothing says where crops lie
    stretches = []
    for source, rows in ((first, rows_first), (second, rows_second)):
        table = source.rows(columns, filters=pc.field("view") == source.views[0])
        places = np.stack([table[name].to_numpy() for name in columns], axis=1)
        stretches.append(places.reshape(-1, source.crops, 2)[rows])
    apart = ~np.isclose(stretches[0], stretches[1], atol=1e-3).all(axis=(1, 2))
    if apart.any():
        raise StoreError(
            f"the crops of {apart.sum()} of {apart.size} utterances differ: {_stretch(stretches[0][apart][0, 0])} in "
            f"{first.path}, {_stretch(stretches[1][apart][0, 0])} in {second.path}; extract with one seed and recipe"
        )


def _stretch(place: Any) -> str:
    return f"{place[1]:.2f} s from {place[0]:.2f} s on"
