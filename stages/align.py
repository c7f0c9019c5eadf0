"""`reseed align`: learn maps of two backbones' embeddings into one space, from the crops that both stores hold."""

from pathlib import Path

from reseed.stages.aligners.folder import FOLDER, AlignmentInfo, save_alignment
from reseed.stages.aligners.shared import shared_rows, shared_views
from reseed.stages.aligners.table import aligner_code, make_alignment
from reseed.stages.common.section import Section
from reseed.stages.common.terminal import log
from reseed.store import EmbeddingStore


def align(*, enrolment: Path, test: Path, model: Path, method: str, settings: Section, seed: int) -> str:
    """Learn an alignment, write its directory, and return one sentence on it.

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
    info = save_alignment(model, alignment, info, history)
    of = "" if {*info.stored} == {info.utterances} else f" (of {info.stored[0]} and {info.stored[1]})"
    return f"{model}: {method} of {info.utterances} shared utterances{of} in {len(views)} views, space {info.space}"
