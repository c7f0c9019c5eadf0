"""Learning an alignment from two stores of the same speech, and mapping stores by it. No audio is opened."""

from pathlib import Path

import numpy as np
import torch

from reseed.stages.aligners.base import Alignment, Side
from reseed.stages.aligners.folder import FOLDER, AlignmentInfo, load_alignment, save_alignment
from reseed.stages.aligners.shared import shared_rows, shared_views
from reseed.stages.aligners.table import aligner_code, make_alignment
from reseed.stages.common.derived import Vectors, derive, derived_declaration
from reseed.stages.common.section import Section
from reseed.stages.common.terminal import log
from reseed.store import EmbeddingStore
from reseed.store.inputs import MappedInputs
from reseed.store.url import AnyPath

_BATCH = 65_536


def learn(
    *, enrolment: AnyPath, test: AnyPath, model: Path, method: str, settings: Section, seed: int
) -> AlignmentInfo:
    """Learn an alignment, write its directory, and return what it is.

    Args:
        enrolment, test: stores of the same speech by two backbones: same crops, same names of views.
        model: directory to write; an older alignment there is replaced.
        method: a name in `reseed.stages.aligners.table.ALIGNERS`; settings: its Config.

    Raises:
        StoreError: the stores share no utterance or no view, or their crops differ; says so with counts.
        ModelError: the method cannot be used on these, or `model` is something else.
    """
    FOLDER.check_replaceable(model, enrolment, test)
    first, second = EmbeddingStore(enrolment), EmbeddingStore(test)
    views = shared_views(first, second)
    rows = shared_rows(first, second, views, seed)
    alignment = make_alignment(method, settings, (first.dim, second.dim), rows.speakers, seed)
    history = []
    for row in alignment.fit(rows, seed):
        if row:
            history.append(row)
            log(", ".join(f"{name} {value:.4g}" for name, value in row.items()))
    alignment.eval().requires_grad_(False)
    info = AlignmentInfo(
        plugins=aligner_code(method),
        method=method,
        config=settings.model_dump(mode="json"),
        spaces=(first.space, second.space),
        dims=(first.dim, second.dim),
        shared_dim=alignment.map("test", rows.test_NE[:1]).shape[1],
        seed=seed,
        stores=(first.fingerprint, second.fingerprint),
        stored=(first.header.stored, second.header.stored),
        views=views,
        utterances=rows.utterances,
    )
    return save_alignment(model, alignment, info, history)


def map_by(model: Path, store: AnyPath, side: Side, mapped: Path) -> str:
    """Map every vector of a store, shard by shard, and return one sentence on it; finished shards are kept.

    Args:
        model: directory of an alignment whose `side` is the store's space.
        mapped: directory of the store to write.

    Raises:
        ModelError: the alignment is missing or damaged, or the store is of the other side or of neither.
        StoreError: the store is missing or damaged, holds vectors that are not finite, or is `mapped` itself.
    """
    source = EmbeddingStore(store)
    alignment, info = load_alignment(model)
    info.check_side(source.space, side, store, model)
    inputs = MappedInputs(
        parent=source.fingerprint,
        method=info.method,
        config=info.config,
        alignment=info.weights_sha256,
        side=side,
        plugins=aligner_code(info.method) or None,
    )
    declaration = derived_declaration(
        source, dim=info.shared_dim, space=info.space, inputs=inputs, model=model, weights_sha256=info.weights_sha256
    )
    derive(
        source,
        mapped,
        declaration,
        lambda vectors_MD, shard: _mapped(alignment, side, vectors_MD),
        verb="map",
        model=model,
    )
    return f"{mapped}: {len(source)} vectors of the {side} side in the space {info.space}"


def _mapped(alignment: Alignment, side: Side, vectors_MD: Vectors) -> Vectors:
    with torch.no_grad():
        parts = torch.from_numpy(np.array(vectors_MD, np.float32)).split(_BATCH)
        return np.concatenate([alignment.map(side, part).numpy() for part in parts])
