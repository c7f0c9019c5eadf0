"""`score`: trials and the vectors of one store -> scores.parquet and identification.parquet.

Every view of the store is a test condition; enrolment comes from one view. No audio is opened and no model is loaded.
The list of trials is streamed. What is in memory is one vector per utterance of the store, for two views (of all
crops, where these are compared).

Shapes: X entries (utterances and models), P trials, T test utterances.
"""

import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from threading import get_ident
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from stages.score_files import IDENTIFICATION_SCHEMA, RAW, SCORES_SCHEMA, Origin, scores_schema
from stages.scorers.cohort import Cohort
from stages.scorers.entries import Indices, entries_of
from stages.scorers.listing import Listing, Survey, Trials, check_views
from stages.scorers.settings import NEED_COHORT, ScoreSettings
from stages.scorers.side import Side
from stages.scorers.table import Scorer, make_scorer
from stages.scoring.curves import Floats
from stages.scoring.identification import rank_speakers
from store import EmbeddingStore, ScoringError, StoreError
from store.atomic import atomic_path

Execute = Callable[[Callable[[int], str], Sequence[int]], Iterator[str]]


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
    device: str = "cpu"


def score(
    *,
    store: Path,
    trials: Path,
    utterances: Path,
    scores: Path,
    identification: Path,
    system: str,
    settings: ScoreSettings,
    enrolments: Path | None = None,
    cohort: Path | None = None,
    cohort_utterances: Path | None = None,
    device: str = "cpu",
    execute: Execute | None = None,
) -> str:
    """Write scores.parquet and identification.parquet, and return one sentence on them.

    Args:
        store, trials, utterances, system, enrolments, cohort, cohort_utterances, device: see `ScoreOrder`.
        scores: written; one row per trial, condition and scoring.
        identification: written; rank of the true speaker per test utterance and condition, where speakers are known.
        execute: calls a function for each part of the work on other machines that share the disk; none: here.

    Raises:
        StoreError: the store, or a view that enrolment or a trial asks for, is missing.
        ManifestError: the trial list or manifest cannot be read, or names an utterance that the store lacks.
        ScoringError: a vector has no direction, or the cohort does not fit the trials.
    """
    order = ScoreOrder(store, trials, utterances, system, settings, enrolments, cohort, cohort_utterances, device)
    job = Job(order)
    schema = scores_schema(job.origin())
    with atomic_path(scores) as temporary, pq.ParquetWriter(temporary, schema, compression="zstd") as writer:
        for table in _scored(job, scores, execute):
            writer.write_table(table)
    with atomic_path(identification) as temporary:
        pq.write_table(pa.concat_tables(job.ranks()), temporary, compression="zstd")
    survey = job.survey
    tail = f", {survey.unlabelled} of them unlabelled" if survey.unlabelled else ""
    tail += f", {survey.left_out} left out (their utterances are not in the store)" if survey.left_out else ""
    ways = "" if len(settings.scorings) == 1 else f" in {len(settings.scorings)} ways"
    return f"{system}: {survey.stored} trials scored{ways} in {len(job.source.views)} conditions{tail}"


class Job:
    """An order with its files opened, its list surveyed, its scorers made."""

    def __init__(self, order: ScoreOrder) -> None:
        self.order = order
        self.source = EmbeddingStore(order.store)
        settings = order.settings
        if settings.enrolment_view not in self.source.views:
            raise StoreError(
                f"{order.store} has the views {', '.join(self.source.views)}, not {settings.enrolment_view!r} to enrol "
                "from; set score.enrolment_view to one"
            )
        entries = entries_of(self.source, order.utterances, order.enrolments)
        self.listing = Listing(order.trials, entries, entries)
        self.survey: Survey = self.listing.survey(allow_missing=settings.allow_missing)
        check_views(self.source, self.survey, order.trials)
        cohort = self._cohort() if settings.needs_cohort else None
        self.scorers: dict[str, Scorer] = {
            scoring: make_scorer(scoring, settings, cohort, order.device) for scoring in settings.scorings
        }
        self._sides: dict[str, Side] = {}
        self._prepared: dict[tuple[str, str], Any] = {}

    @cached_property
    def parts(self) -> list[tuple[str, tuple[int, ...]]]:
        """The work in parts, in the order of the file: a view, and row groups of the list."""
        return [(view, groups) for view in self.source.views for groups in self.listing.parts()]

    def tables(self, part: int) -> Iterator[pa.Table]:
        """Yield the scores of one part: batch by batch, scoring by scoring."""
        view, row_groups = self.parts[part]
        for trials in self.listing.batches(view, row_groups):
            for scoring, scorer in self.scorers.items():
                enrolment = self._ready(scoring, self.order.settings.enrolment_view)
                score_P = scorer.score(enrolment, self._ready(scoring, view), trials.pairs_P2)
                yield self._score_table(scoring, view, trials, score_P)

    def ranks(self) -> Iterator[pa.Table]:
        """Yield where each test utterance's own speaker ranks, view by view."""
        entries = self.listing.enrolment
        enrolled = entries.utterances_of(self.survey.enrolled)
        codes_U = entries.speaker_codes[: entries.utterances]
        for view in self.source.views:
            tested = entries.utterances_of(self.survey.tested_on(view))
            first, second = self._side(self.order.settings.enrolment_view), self._side(view)
            rank_T, speakers = rank_speakers(first.unit_UD, second.unit_UD, codes_U, enrolled, tested)
            yield self._rank_table(view, tested[rank_T > 0], rank_T[rank_T > 0], speakers)

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

    def _cohort(self) -> Cohort:
        order, entries = self.order, self.listing.enrolment
        if order.cohort is None or order.cohort_utterances is None:
            asking = [scoring for scoring in order.settings.scorings if scoring in NEED_COHORT]
            raise ScoringError(
                f"{' and '.join(asking)} of {order.store} need other speakers: give --cohort STORE and "
                "--cohort-utterances MANIFEST"
            )
        occurring = np.union1d(self.survey.enrolled, np.concatenate(list(self.survey.tested.values())))
        used = pa.array(entries.utterances_of(occurring))
        cohort = Cohort(
            order.cohort,
            order.cohort_utterances,
            order.settings.cohort,
            entries.ids.take(used),
            pc.unique(entries.speakers.take(used)),
        )
        if cohort.source.space != self.source.space:
            raise ScoringError(
                f"the cohort {order.cohort} holds embeddings of {cohort.source.space}, {order.store} those of "
                f"{self.source.space}; extract or enhance the cohort in the same way"
            )
        return cohort

    def _side(self, view: str) -> Side:
        """Return the vectors of one view; those of enrolment and of the last other view are kept."""
        kept = self.order.settings.enrolment_view
        if view not in self._sides:
            self._sides = {name: side for name, side in self._sides.items() if name == kept}
            self._prepared = {key: made for key, made in self._prepared.items() if key[1] == kept}
            self._sides[view] = Side(self.source, view, self.listing.enrolment)
        return self._sides[view]

    def _ready(self, scoring: str, view: str) -> Any:
        """Return one view as a scorer wants it."""
        side = self._side(view)
        if (scoring, view) not in self._prepared:
            self._prepared[scoring, view] = self.scorers[scoring].prepare(side)
        return self._prepared[scoring, view]

    def _score_table(self, scoring: str, view: str, trials: Trials, score_P: Floats) -> pa.Table:
        enrolment, test = map(pa.array, trials.pairs_P2.T)
        columns = [
            *(_constant(name, score_P.size) for name in (self.order.system, scoring, view)),
            self._names.take(enrolment),
            self._names.take(test),
            trials.is_target,
            self._speakers.take(enrolment),
            self._speakers.take(test),
            pa.array(score_P),
        ]
        return pa.table(columns, schema=SCORES_SCHEMA)

    def _rank_table(self, view: str, test_T: Indices, rank_T: Indices, speakers: int) -> pa.Table:
        tested = pa.array(test_T)
        columns = [
            *(_constant(name, test_T.size) for name in (self.order.system, view)),
            self._names.take(tested),
            self._speakers.take(tested),
            pa.array(rank_T, pa.int32()),
            pa.array(np.full(test_T.size, speakers), pa.int32()),
        ]
        return pa.table(columns, schema=IDENTIFICATION_SCHEMA)

    @cached_property
    def _names(self) -> pa.DictionaryArray:
        return self.listing.enrolment.ids.dictionary_encode()

    @cached_property
    def _speakers(self) -> pa.DictionaryArray:
        return self.listing.enrolment.speakers.dictionary_encode()


@dataclass(frozen=True)
class PartTask:
    """Writes the scores of one part to a file of its own, wherever it is called."""

    order: ScoreOrder
    folder: Path

    def __call__(self, part: int) -> str:
        job = _opened(self.order, get_ident())
        path = self.folder / f"{part:06}.parquet"
        with pq.ParquetWriter(path, SCORES_SCHEMA) as writer:
            for table in job.tables(part):
                writer.write_table(table)
        return path.name


@lru_cache(maxsize=16)
def _opened(order: ScoreOrder, thread: int) -> Job:
    """Open an order once in each thread of a worker: a job keeps the last view, which threads must not share."""
    return Job(order)


def _scored(job: Job, scores: Path, execute: Execute | None) -> Iterator[pa.Table]:
    """Yield all scores in the order of the parts, computed here or elsewhere."""
    if execute is None:
        for part in range(len(job.parts)):
            yield from job.tables(part)
        return
    scores.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=scores.parent, prefix=f".{scores.stem}.") as folder:
        names = sorted(execute(PartTask(job.order, Path(folder).resolve()), range(len(job.parts))))
        for name in names:
            with pq.ParquetFile(Path(folder) / name) as file:
                yield from map(pa.table, file.iter_batches())


def _crop_s(source: EmbeddingStore) -> float | None:
    """Return the length of the crops in seconds, as the catalogue of the first shard has it."""
    catalogue = source.shard_rows(0) if source.shards else pa.table({})
    lengths_s = pc.unique(catalogue["duration_s"]).to_pylist() if "duration_s" in catalogue.column_names else []
    return lengths_s[0] if len(lengths_s) == 1 else None


def _constant(name: str, count: int) -> pa.DictionaryArray:
    return pa.DictionaryArray.from_arrays(pa.array(np.zeros(count, np.int32)), pa.array([name], pa.string()))
