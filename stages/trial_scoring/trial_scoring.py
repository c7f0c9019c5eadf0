"""A score order with its files opened: the trial list gone through, the scorers made, one view in memory at a time.

Shapes: U utterances of the test side, D embedding dimension, P trials, T test utterances.
"""

from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from reseed.stages.scoring.curves import Floats
from reseed.stages.scoring.identification import rank_speakers
from reseed.stages.trial_scoring.files import IDENTIFICATION_SCHEMA, SCORES_SCHEMA, rows_of
from reseed.stages.trial_scoring.inputs.cohort import Cohort, Cohorts, CohortSettings
from reseed.stages.trial_scoring.inputs.sides import Indices, SideVectors, read_side
from reseed.stages.trial_scoring.inputs.stores import SideStores
from reseed.stages.trial_scoring.inputs.trial_list import TrialList
from reseed.stages.trial_scoring.order import ScoreOrder
from reseed.stages.trial_scoring.origin import RAW, Origin, Provenance
from reseed.stages.trial_scoring.scorers.base import Scorer
from reseed.stages.trial_scoring.settings import ScoreSettings
from reseed.stages.trial_scoring.table import make_scorer, scorer_code
from reseed.store import EmbeddingStore, ScoringError, StoreError
from reseed.store.inputs import DerivedInputs, MappedInputs
from reseed.store.url import AnyPath


class TrialScoring:
    """All that scoring some part of an order needs; opened and checked once.

    Attributes:
        store: of the test side; each of its views is a condition.
        enrolled: the stores of the enrolment side.
        scan: what the trial list names.

    Raises:
        StoreError: a store, or a view that enrolment or a trial asks for, is missing.
        ManifestError: a list cannot be read, or names an utterance that the store lacks.
        ScoringError: the stores do not compare, or the cohort does not fit the trials.
    """

    def __init__(self, order: ScoreOrder) -> None:
        self.order, settings = order, order.settings
        self.store = EmbeddingStore(order.store)
        enrolled = [*map(EmbeddingStore, order.enrolment)] or [self.store]
        _check_comparable(enrolled, self.store, settings)
        self._tested = SideStores(self.store)
        self.enrolled = SideStores(*enrolled) if order.enrolment else self._tested
        test = read_side(self._tested, order.utterances, None if order.enrolment else order.enrolments)
        enrolment = read_side(self.enrolled, order.utterances, order.enrolments) if order.enrolment else test
        self._enrolment = self._last = SideVectors(self.enrolled, settings.enrolment_view, enrolment)
        self.trials = TrialList(order.trials, enrolment, test)
        self.scan = self.trials.scan(self.store, allow_missing=settings.allow_missing)
        cohorts = self._cohorts() if settings.need_cohort else None
        self.scorers = {name: make_scorer(name, settings.of(name), order.device, cohorts) for name in settings.scorings}

    @cached_property
    def parts(self) -> list[tuple[str, tuple[int, ...]]]:
        """The work in parts, in the order of the file: a view, and row groups of the list."""
        return [(view, groups) for view in self.store.views for groups in self.trials.parts()]

    def scores(self, part: int) -> Iterator[pa.Table]:
        """Yield the scores of one part: batch by batch, scorer by scorer."""
        view, row_groups = self.parts[part]
        test = self._test(view)
        for trials in self.trials.batches(view, row_groups):
            enrolment_P, test_P = map(pa.array, trials.pairs_P2.T)
            (enrolled, enrolled_speakers), (tested, tested_speakers) = (
                self.trials.enrolment.names,
                self.trials.test.names,
            )
            columns = [
                enrolled.take(enrolment_P),
                tested.take(test_P),
                trials.is_target,
                enrolled_speakers.take(enrolment_P),
                tested_speakers.take(test_P),
            ]
            for name, scorer in self.scorers.items():
                score_P = scorer.score(
                    self._prepared(name, self._enrolment), self._prepared(name, test), trials.pairs_P2
                )
                yield rows_of(SCORES_SCHEMA, (self.order.system, name, view), [*columns, pa.array(score_P)])

    def ranks(self, view: str) -> pa.Table:
        """Return where each test utterance's own speaker ranks in one view."""
        enrolled, enrolled_UD = self._enrolled_as_tested
        side = self.trials.test
        tested = side.utterances_of(self.scan.tested_on(view))
        codes_U = side.speaker_codes[: side.utterances]
        rank_T, speakers = rank_speakers(enrolled_UD, self._test(view).unit_UD, codes_U, enrolled, tested)
        known_T = pa.array(tested[rank_T > 0])
        ids, names = side.names
        columns = [
            ids.take(known_T),
            names.take(known_T),
            pa.array(rank_T[rank_T > 0], pa.int32()),
            pa.array(np.full(len(known_T), speakers), pa.int32()),
        ]
        return rows_of(IDENTIFICATION_SCHEMA, (self.order.system, view), columns)

    def origin(self) -> Origin:
        """Return what the scores come from."""
        inputs = self.store.header.declaration.inputs
        return Origin(
            space=self.store.space,
            fingerprint=self.store.fingerprint,
            conditions=self.store.recipes,
            enrolment_view=self.order.settings.enrolment_view,
            crops=self.store.crops,
            crop_s=_crop_s(self.store),
            method=inputs.method if isinstance(inputs, DerivedInputs) else RAW,
            config=dict(inputs.config) if isinstance(inputs, DerivedInputs) else {},
            left_out=self.scan.left_out,
            scorings={name: Provenance(_inputs(name, scorer)) for name, scorer in self.scorers.items()},
        )

    @cached_property
    def _enrolled_as_tested(self) -> tuple[Indices, Floats]:
        """Which utterances of the test side are enrolled, and the enrolment side's vectors in its order, [U, D]."""
        enrolled, tested = self.trials.enrolment, self.trials.test
        occurring = enrolled.utterances_of(self.scan.enrolled)
        if enrolled is tested:
            return occurring, self._enrolment.unit_UD
        ids = [side.ids.slice(0, side.utterances) for side in (enrolled, tested)]
        row_U = pc.fill_null(pc.index_in(ids[1], value_set=ids[0]), -1).to_numpy()  # -1: not on the enrolment side
        return np.flatnonzero(np.isin(row_U, occurring)), self._enrolment.unit_UD[row_U]

    def _cohorts(self) -> Cohorts:
        order = self.order
        sided = bool(order.enrolment) == bool(order.enrolment_cohort)
        if order.cohort is None or order.cohort_utterances is None or not sided:
            both = ", and --enrolment-cohort STORE with --enrolment" if order.enrolment else ""
            raise ScoringError(
                f"{' and '.join(order.settings.need_cohort)} of {order.store} need other speakers: give --cohort STORE "
                f"and --cohort-utterances MANIFEST{both}"
            )
        settings, other = order.settings.cohort, order.enrolment_cohort
        test = self._cohort(order.cohort, order.cohort_utterances, settings)
        enrolment = self._cohort(other, order.cohort_utterances, settings) if other else test
        return Cohorts(enrolment, test, self._domain())

    def _domain(self) -> Cohort | None:
        path, utterances = self.order.domain, self.order.domain_utterances
        if path is None and utterances is None:
            return None
        if path is None or utterances is None:
            raise ScoringError("--domain STORE and --domain-utterances MANIFEST go together; give both")
        every = {"views": tuple(EmbeddingStore(path).views), "per": "utterance"}
        return self._cohort(path, utterances, self.order.settings.cohort.model_copy(update=every))

    def _cohort(self, path: AnyPath, utterances: Path, settings: CohortSettings) -> Cohort:
        cohort = Cohort(path, utterances, settings, self.trials.compared(self.scan))
        if cohort.store.space != self.store.space:
            raise ScoringError(
                f"the cohort {path} holds embeddings of {cohort.store.space}, {self.order.store} those of "
                f"{self.store.space}; extract, enhance or map the cohort in the same way"
            )
        return cohort

    def _test(self, view: str) -> SideVectors:
        """Return the vectors of one view of the test side; beside the enrolment side only the last view is kept."""
        if not self.order.enrolment and view == self._enrolment.view:
            return self._enrolment
        if self._last is self._enrolment or self._last.view != view:
            self._last = SideVectors(self._tested, view, self.trials.test)
        return self._last

    def _prepared(self, scoring: str, vectors: SideVectors) -> Any:
        """Return one side as a scorer wants it."""
        if scoring not in vectors.prepared:
            enrolling = vectors is self._enrolment
            vectors.prepared[scoring] = self.scorers[scoring].prepare(vectors, enrolling=enrolling)
        return vectors.prepared[scoring]


def _check_comparable(enrolled: Sequence[EmbeddingStore], tested: EmbeddingStore, settings: ScoreSettings) -> None:
    """Check that stores can be the enrolment and the test side.

    Enrolments may be mapped for either side: those of the test side's own backbone are mapped as the tests are.

    Raises:
        StoreError: the enrolment view is missing.
        ScoringError: they are of two spaces, or the tests are mapped for the enrolment side.
    """
    for store in enrolled:
        if settings.enrolment_view not in store.views:
            raise StoreError(
                f"{store.path} has the views {', '.join(store.views)}, not {settings.enrolment_view!r} to enrol "
                "from; set score.enrolment_view to one"
            )
        if store.space != tested.space:
            raise ScoringError(
                f"enrolment {store.path} is of {store.space}, test {tested.path} of {tested.space}, which do not "
                "compare; map both into one space (`reseed align`, then `reseed map`)"
            )
    inputs = tested.header.declaration.inputs
    if isinstance(inputs, MappedInputs) and inputs.side != "test":
        raise ScoringError(
            f"{tested.path} is mapped for the {inputs.side} side and given as the test side: swap the stores"
        )


def _inputs(name: str, scorer: Scorer[Any]) -> dict[str, Any]:
    """Return what scores depend on beside the vectors: what the scorer says, and its code where that is of others."""
    code = scorer_code(name).get(name)
    return {**scorer.provenance, **({"code": code} if code else {})}


def _crop_s(store: EmbeddingStore) -> float | None:
    """Return the length of the crops in seconds, as the catalogue of the first shard has it."""
    catalogue = store.shard(0).rows() if store.shards else pa.table({})
    lengths_s = pc.unique(catalogue["duration_s"]).to_pylist() if "duration_s" in catalogue.column_names else []
    return lengths_s[0] if len(lengths_s) == 1 else None
