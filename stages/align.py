"""`reseed align`: learn maps of two backbones' embeddings into one space, from the crops that both stores hold."""

from pathlib import Path

from reseed.stages.aligners.learning import learn
from reseed.stages.common.section import Section
from reseed.store.url import AnyPath


def align(*, enrolment: AnyPath, test: AnyPath, model: Path, method: str, settings: Section, seed: int) -> str:
    """Learn an alignment, write its directory, and return one sentence on it; see `learn` for what each is.

    Raises:
        StoreError: the stores share no utterance or no view, or their crops differ; says so with counts.
        ModelError: the method cannot be used on these, or `model` is something else.
    """
    info = learn(enrolment=enrolment, test=test, model=model, method=method, settings=settings, seed=seed)
    return f"{model}: {info.in_words}"
