"""Whether the vectors that a run is given are there, go together and have the views that it asks for."""

from collections.abc import Iterator

from reseed.pipeline.plan import Plan
from reseed.stages.audio.conditions import CLEAN
from reseed.stages.common.choice import did_you_mean
from reseed.stages.interop.table import files_of, format_of
from reseed.store import EmbeddingStore, ReseedError
from reseed.store.format import HEADER_NAME
from reseed.store.url import AnyPath


def vector_errors(plan: Plan) -> Iterator[str]:
    """Yield what would certainly fail; of what is no store yet, its first step says what is wrong with it."""
    found: dict[str, EmbeddingStore] = {}
    for split, source in plan.run.corpus.stores.items():
        try:
            if not source.exists():
                yield f"corpus.stores.{split}: {source} does not exist"
            elif (source / HEADER_NAME).is_file():
                found[split] = EmbeddingStore(source, check=False)
            else:
                format_of(source)
                files_of(source)
        except (ReseedError, OSError) as error:
            yield f"corpus.stores.{split}: {error}"
    yield from _unlike(found)
    if plan.train in found and plan.run.needs_noise:
        yield from _lacking(found[plan.train].path, found[plan.train].views, CLEAN, "which enhancers learn to restore")
        if found[plan.train].views == [CLEAN]:
            yield f"{found[plan.train].path} lacks a view other than {CLEAN}, for enhancers to learn from"
    if plan.evaluation in found:
        store = found[plan.evaluation]
        yield from _lacking(store.path, store.views, plan.run.score.enrolment_view, "which score.enrolment_view names")


def _unlike(found: dict[str, EmbeddingStore]) -> Iterator[str]:
    """Yield that two stores hold vectors of different networks."""
    kinds = {(store.space, store.dim): store.path for store in found.values()}
    if len(kinds) > 1:
        named = " and ".join(f"{path} holds {dim} dimensions of {space}" for (space, dim), path in kinds.items())
        yield f"corpus.stores: {named}; give vectors of one network"


def _lacking(path: AnyPath, views: list[str], view: str, what: str) -> Iterator[str]:
    if view not in views:
        yield f"{path} lacks the view {view}, {what}; it has {', '.join(views)}{did_you_mean(view, views)}"
