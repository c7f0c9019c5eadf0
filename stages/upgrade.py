"""`reseed upgrade`: old enrolments in a space that they share with a new backbone's vectors. No audio is opened."""

import shlex
from collections.abc import Iterator
from pathlib import Path

from reseed.stages.aligners.folder import FOLDER
from reseed.stages.aligners.learning import learn, map_by
from reseed.stages.common.section import Section
from reseed.store import EmbeddingStore, StoreError
from reseed.store.outputs import check_apart, check_store
from reseed.store.url import AnyPath


def upgrade(
    *,
    store: AnyPath,
    old: AnyPath,
    new: AnyPath,
    model: Path,
    upgraded: Path,
    method: str,
    settings: Section,
    seed: int,
) -> Iterator[str]:
    """Learn what aligns two backbones, map a store of the old one by it, and yield lines on both and on what follows.

    Args:
        store: enrolments by the old backbone, whose audio need not be there any more.
        old, new: stores of the same speech by either backbone: same crops and views; `old` may be `store` itself.
        model: directory to write, of the alignment: the old backbone is its enrolment side, the new one its test side.
        upgraded: store to write.
        method: a name in `reseed.stages.aligners.table.ALIGNERS`; settings: its Config.

    Raises:
        StoreError: stores of other backbones, without a common utterance or view; something else is at `upgraded`.
        ModelError: the method cannot be used on these, or `model` is something else.
    """
    FOLDER.check_replaceable(model, store, old, new)
    check_apart([model, upgraded], [store, old, new], StoreError)
    check_store(upgraded)
    kept, before, after = (EmbeddingStore(path).space for path in (store, old, new))
    if kept != before:
        also = " (the two may be swapped)" if kept == after else ""
        raise StoreError(f"{store} holds {kept}, --from {old} {before}; give as --from a store of {kept}{also}")
    if before == after:
        raise StoreError(f"--from {old} and --to {new} both hold {before}; give as --to the new backbone's store")
    info = learn(enrolment=old, test=new, model=model, method=method, settings=settings, seed=seed)
    yield f"{model}: {info.in_words}"
    yield map_by(model, store, "enrolment", upgraded)
    yield (
        f"next: bring each store of {after}, of tests and of new enrolments, there by `reseed map --side test --model "
        f"{shlex.quote(str(model))}`; then `reseed score --enrolment {shlex.quote(str(upgraded))}` scores across"
    )
