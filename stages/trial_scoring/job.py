"""A scoring with its files opened: the list surveyed, the scorers made, one view in memory at a time.

Shapes: X entries (utterances and models), P trials, T test utterances.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from reseed.stages.scoring.curves import Floats
from reseed.stages.scoring.identification import rank_speakers
from reseed.stages.trial_scoring.cohort import Cohort
from reseed.stages.trial_scoring.entries import Indices, entries_of
from reseed.stages.trial_scoring.files import IDENTIFICATION_SCHEMA, RAW, SCORES_SCHEMA, Origin
from reseed.stages.trial_scoring.listing import Listing, Survey, Trials, check_views
from reseed.stages.trial_scoring.settings import NEED_COHORT, ScoreSettings
from reseed.stages.trial_scoring.side import Side
from reseed.stages.trial_scoring.table import Scorer, make_scorer
from reseed.store import EmbeddingStore, ScoringError, StoreError


@dataclass(frozen=True)
class ScoreOrder:
    """What is to be scored, and how; may be sent to other processes.

    Attributes:
        store: directory of the store to score; every view of it is a condition.
        trials: trials.parquet; a trial that names a condition is scored on that view alone.
        utterances: utterances.parquet, which says who speaks.
        system: how the report calls this store, e.g. "raw" or an enhancer's name.
        enrolments: which utterances each enrolment model is made of, where trials name models.
        cohort, cohort_utterances: store of other speakers, and the manifest of those of its utterances to use.
        enrolment, enrolment_cohort: stores of the enrolment side, where that is another backbone's, mapped into one
            space with the test side (`reseed map`); the manifests are those of both.
        device: torch device of the large products.
    """

    store: Path
    trials: Path
    utterances: Path
    system: str
    settings: ScoreSettings
    enrolments: Path | None = None
    cohort: Path | None = None
    cohort_utterances: Path | None = None
    enrolment: Path | None = None
    enrolment_cohort: Path | None = None
    device: str = "cpu"


class Job:
    """An order with its files opened, its list surveyed, its scorers made."""

    def __init__(self, order: ScoreOrder) -> None:
        self.order = order
        self.source = EmbeddingStore(order.store)
        self.enrolled = self.source if order.enrolment is None else EmbeddingStore(order.enrolment)
        settings = order.settings
        check_sides(self.enrolled, self.source, settings)
        tested = entries_of(self.source, order.utterances, None if order.enrolment else order.enrolments)
        enrolled = tested if order.enrolment is None else entries_of(self.enrolled, order.utterances, order.enrolments)
        self.listing = Listing(order.trials, enrolled, tested)
        self.survey: Survey = self.listing.survey(allow_missing=settings.allow_missing)
        check_views(self.source, self.survey, order.trials)
        cohorts = self._cohorts() if settings.needs_cohort else None
        self.scorers: dict[str, Scorer] = {
            scoring: make_scorer(scoring, settings, cohorts, order.device) for scoring in settings.scorings
        }
        self._enrolment = Side(self.enrolled, settings.enrolment_view, enrolled)
        self._last = self._enrolment

    @cached_property
    def parts(self) -> list[tuple[str, tuple[int, ...]]]:
        """The work in parts, in the order of the file: a view, and row groups of the list."""
        return [(view, groups) for view in self.source.views for groups in self.listing.parts()]

    def tables(self, part: int) -> Iterator[pa.Table]:
        """Yield the scores of one part: batch by batch, scoring by scoring."""
        view, row_groups = self.parts[part]
        test = self._side(view)
        for trials in self.listing.batches(view, row_groups):
            for scoring, scorer in self.scorers.items():
                sides = self._ready(scoring, self._enrolment), self._ready(scoring, test)
                yield self._score_table(scoring, view, trials, scorer.score(*sides, trials.pairs_P2))

    def ranks(self, view: str) -> pa.Table:
        """Return where each test utterance's own speaker ranks in one view."""
        enrolled, enrolled_UD = self._enrolled_as_tested
        entries = self.listing.test
        tested = entries.utterances_of(self.survey.tested_on(view))
        codes_U = entries.speaker_codes[: entries.utterances]
        rank_T, speakers = rank_speakers(enrolled_UD, self._side(view).unit_UD, codes_U, enrolled, tested)
        return self._rank_table(view, tested[rank_T > 0], rank_T[rank_T > 0], speakers)

    @cached_property
    def _enrolled_as_tested(self) -> tuple[Indices, Floats]:
        """Which utterances of the test side are enrolled, and the enrolment side's vectors in its order, [U, D]."""
        enrolled, tested = self.listing.enrolment, self.listing.test
        occurring = enrolled.utterances_of(self.survey.enrolled)
        if enrolled is tested:
            return occurring, self._enrolment.unit_UD
        ids = [entries.ids.slice(0, entries.utterances) for entries in (enrolled, tested)]
        row_U = pc.fill_null(pc.index_in(ids[1], value_set=ids[0]), -1).to_numpy()  # -1: not on the enrolment side
        return np.flatnonzero(np.isin(row_U, occurring)), self._enrolment.unit_UD[row_U]

    def origin(self) -> Origin:
        """Return what the scores come from."""
        inputs = self.source.header.declaration.inputs
        return Origin(
            space=self.source.space,
            fingerprint=self.source.fingerprint,
            conditions=self.source.recipes,
            enrolment_view=self.order.settings.enrolment_view,
            crops=self.source.crops,
            crop_s=_crop_s(self.source),
            method=inputs.get("enhancer", RAW),
            config=inputs.get("config", {}),
            left_out=self.survey.left_out,
            scorings={name: scorer.facts for name, scorer in self.scorers.items()},
        )

    def _cohorts(self) -> tuple[Cohort, Cohort]:
        """Return the cohorts of the enrolment and of the test side; one and the same where the sides are."""
        order = self.order
        if (
            order.cohort is None
            or order.cohort_utterances is None
            or bool(order.enrolment) != bool(order.enrolment_cohort)
        ):
            asking = [scoring for scoring in order.settings.scorings if scoring in NEED_COHORT]
            both = ", and --enrolment-cohort STORE with --enrolment" if order.enrolment else ""
            raise ScoringError(
                f"{' and '.join(asking)} of {order.store} need other speakers: give --cohort STORE and "
                f"--cohort-utterances MANIFEST{both}"
            )
        test = self._cohort(order.cohort, order.cohort_utterances)
        return (self._cohort(order.enrolment_cohort, order.cohort_utterances) if order.enrolment_cohort else test), test

    def _cohort(self, path: Path, utterances: Path) -> Cohort:
        used = []
        for entries, occurring in (
            (self.listing.enrolment, self.survey.enrolled),
            (self.listing.test, np.concatenate(list(self.survey.tested.values()))),
        ):
            rows = pa.array(entries.utterances_of(occurring))
            used.append((entries.ids.take(rows), entries.speakers.take(rows)))
        ids, speakers = (pa.concat_arrays(column) for column in zip(*used, strict=True))
        cohort = Cohort(path, utterances, self.order.settings.cohort, pc.unique(ids), pc.unique(speakers))
        if cohort.source.space != self.source.space:
            raise ScoringError(
                f"the cohort {path} holds embeddings of {cohort.source.space}, {self.order.store} those of "
                f"{self.source.space}; extract, enhance or map the cohort in the same way"
            )
        return cohort

    def _side(self, view: str) -> Side:
        """Return the vectors of one view of the test side; beside the enrolment side only the last view is kept."""
        if self.order.enrolment is None and view == self._enrolment.view:
            return self._enrolment
        if self._last is self._enrolment or self._last.view != view:
            self._last = Side(self.source, view, self.listing.test)
        return self._last

    def _ready(self, scoring: str, side: Side) -> Any:
        """Return one side as a scorer wants it."""
        if scoring not in side.prepared:
            side.prepared[scoring] = self.scorers[scoring].prepare(side, enrolling=side is self._enrolment)
        return side.prepared[scoring]

    def _score_table(self, scoring: str, view: str, trials: Trials, score_P: Floats) -> pa.Table:
        enrolment, test = map(pa.array, trials.pairs_P2.T)
        (enrolled_names, enrolled_speakers), (tested_names, tested_speakers) = self._named
        columns = [
            *(_constant(name, score_P.size) for name in (self.order.system, scoring, view)),
            enrolled_names.take(enrolment),
            tested_names.take(test),
            trials.is_target,
            enrolled_speakers.take(enrolment),
            tested_speakers.take(test),
            pa.array(score_P),
        ]
        return pa.table(columns, schema=SCORES_SCHEMA)

    def _rank_table(self, view: str, test_T: Indices, rank_T: Indices, speakers: int) -> pa.Table:
        tested = pa.array(test_T)
        names, people = self._named[1]
        columns = [
            *(_constant(name, test_T.size) for name in (self.order.system, view)),
            names.take(tested),
            people.take(tested),
            pa.array(rank_T, pa.int32()),
            pa.array(np.full(test_T.size, speakers), pa.int32()),
        ]
        return pa.table(columns, schema=IDENTIFICATION_SCHEMA)

    @cached_property
    def _named(self) -> list[tuple[pa.DictionaryArray, pa.DictionaryArray]]:
        """Names and speakers of the entries of either side."""
        sides = (self.listing.enrolment, self.listing.test)
        return [(side.ids.dictionary_encode(), side.speakers.dictionary_encode()) for side in sides]


def check_sides(enrolled: EmbeddingStore, tested: EmbeddingStore, settings: ScoreSettings) -> None:
    """Check that two stores can be the enrolment and the test side.

    Raises:
        StoreError: the enrolment view is missing.
        ScoringError: they are of two spaces, or mapped for the other sides.
    """
    if settings.enrolment_view not in enrolled.views:
        raise StoreError(
            f"{enrolled.path} has the views {', '.join(enrolled.views)}, not {settings.enrolment_view!r} to enrol "
            "from; set score.enrolment_view to one"
        )
    if enrolled.space != tested.space:
        raise ScoringError(
            f"enrolment {enrolled.path} is of {enrolled.space}, test {tested.path} of {tested.space}, which do not "
            "compare; map both into one space (`reseed align`, then `reseed map`)"
        )
    for source, side in ((enrolled, "enrolment"), (tested, "test")):
        mapped = source.header.declaration.inputs.get("side", side)
        if mapped != side:
            raise ScoringError(
                f"{source.path} is mapped for the {mapped} side and given as the {side} side: swap the stores"
            )


def _crop_s(source: EmbeddingStore) -> float | None:
    """Return the length of the crops in seconds, as the catalogue of the first shard has it."""
    catalogue = source.shard(0).rows() if source.shards else pa.table({})
    lengths_s = pc.unique(catalogue["duration_s"]).to_pylist() if "duration_s" in catalogue.column_names else []
    return lengths_s[0] if len(lengths_s) == 1 else None


def _constant(name: str, count: int) -> pa.DictionaryArray:
    return pa.DictionaryArray.from_arrays(pa.array(np.zeros(count, np.int32)), pa.array([name], pa.string()))
