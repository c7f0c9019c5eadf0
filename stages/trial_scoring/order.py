"""What is to be scored, and how."""

from dataclasses import dataclass, replace
from pathlib import Path

from reseed.stages.trial_scoring.settings import ScoreSettings
from reseed.store.url import AnyPath


@dataclass(frozen=True)
class ScoreOrder:
    """What to score, by paths, names and numbers: all that another process needs to take part.

    Attributes:
        system: how the report calls this store, e.g. "raw" or an enhancer's name.
        store: directory of the store to score; every view of it is a condition.
        trials: trials.parquet; a trial that names a condition is scored on that view alone.
        utterances: utterances.parquet, which says who speaks.
        scores: written; one row per trial, condition and scoring.
        identification: written, unless None; the rank of the true speaker per test utterance and condition, where
            speakers are known.
        enrolments: which utterances each enrolment model is made of, where trials name models.
        cohort, cohort_utterances: store of other speakers, and the manifest of those of its utterances to use.
        enrolment: stores of the enrolment side, where that is not `store`: another backbone's, mapped into one space
            with the test side (`reseed map`), and the test side's own; of an utterance in several the first one's
            vectors count. The manifests are those of both sides.
        enrolment_cohort: the cohort as the enrolment side has it.
        domain, domain_utterances: store of other speech like that of the trials, and the manifest of those of its
            utterances to use: what an adapted PLDA is adapted to in place of what is scored.
        device: torch device of the large products.
    """

    system: str
    store: AnyPath
    trials: Path
    utterances: AnyPath
    scores: Path
    identification: Path | None
    settings: ScoreSettings
    enrolments: Path | None = None
    cohort: AnyPath | None = None
    cohort_utterances: Path | None = None
    enrolment: tuple[AnyPath, ...] = ()
    enrolment_cohort: AnyPath | None = None
    domain: AnyPath | None = None
    domain_utterances: Path | None = None
    device: str = "cpu"

    @property
    def inputs(self) -> list[AnyPath | None]:
        """What is read."""
        stores: list[AnyPath | None] = [self.store, self.cohort, *self.enrolment, self.enrolment_cohort, self.domain]
        return [*stores, self.trials, self.utterances, self.enrolments, self.cohort_utterances, self.domain_utterances]

    def absolute(self) -> "ScoreOrder":
        """Return the same order with its paths made absolute, as another process in another folder needs it."""
        paths = {name: value.resolve() for name, value in vars(self).items() if isinstance(value, Path)}
        enrolment = tuple(path.resolve() for path in self.enrolment)
        return replace(self, enrolment=enrolment, **paths)  # type: ignore[arg-type]  # which of the fields they are is known at run time only
