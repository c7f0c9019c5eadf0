"""`score`: trials and the vectors of one store -> scores.parquet and identification.parquet.

Every view of the store is a test condition; enrolment comes from one view. No audio is opened and no model is loaded.
The list of trials is streamed. What is in memory is one vector per utterance of the store, for two views (of all
crops, where these are compared).
"""

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from threading import get_ident

import pyarrow as pa
import pyarrow.parquet as pq

from reseed.stages.common.execution import Execute
from reseed.stages.trial_scoring.files import SCORES_SCHEMA, scores_schema
from reseed.stages.trial_scoring.job import Job, ScoreOrder
from reseed.stages.trial_scoring.settings import ScoreSettings
from reseed.store.atomic import atomic_path


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
    enrolment: Path | None = None,
    enrolment_cohort: Path | None = None,
    device: str = "cpu",
    execute: Execute | None = None,
) -> str:
    """Write scores.parquet and identification.parquet, and return one sentence on them.

    Args:
        store, trials, utterances, system, settings, enrolments, cohort, cohort_utterances, enrolment,
            enrolment_cohort, device: see `ScoreOrder`.
        scores: written; one row per trial, condition and scoring.
        identification: written; rank of the true speaker per test utterance and condition, where speakers are known.
        execute: calls a function for each part of the work on other machines that share the disk; none: here.

    Raises:
        StoreError: the store, or a view that enrolment or a trial asks for, is missing.
        ManifestError: the trial list or manifest cannot be read, or names an utterance that the store lacks.
        ScoringError: a vector has no direction, or the cohort does not fit the trials.
    """
    order = ScoreOrder(
        store,
        trials,
        utterances,
        system,
        settings,
        enrolments,
        cohort,
        cohort_utterances,
        enrolment,
        enrolment_cohort,
        device,
    )
    job = Job(order)
    schema = scores_schema(job.origin())
    ranks: dict[str, pa.Table] = {}
    with atomic_path(scores) as temporary, pq.ParquetWriter(temporary, schema, compression="zstd") as writer:
        for view, tables in _scored(job, scores, execute):
            for table in tables:
                writer.write_table(table)
            if view not in ranks:  # now, while the vectors of this view are in memory
                ranks[view] = job.ranks(view)
    with atomic_path(identification) as temporary:
        pq.write_table(pa.concat_tables(ranks.values()), temporary, compression="zstd")
    survey = job.survey
    tail = f", {survey.unlabelled} of them unlabelled" if survey.unlabelled else ""
    tail += f", {survey.left_out} left out (their utterances are not in the store)" if survey.left_out else ""
    ways = "" if len(settings.scorings) == 1 else f" in {len(settings.scorings)} ways"
    return f"{system}: {survey.stored} trials scored{ways} in {len(job.source.views)} conditions{tail}"


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


def _scored(job: Job, scores: Path, execute: Execute | None) -> Iterator[tuple[str, Iterator[pa.Table]]]:
    """Yield (view, its scores) for each part in order, computed here or elsewhere."""
    if execute is None:
        for part, (view, _) in enumerate(job.parts):
            yield view, job.tables(part)
        return
    scores.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=scores.parent, prefix=f".{scores.stem}.") as folder:
        names = sorted(execute(PartTask(job.order, Path(folder).resolve()), range(len(job.parts))))
        for name, (view, _) in zip(names, job.parts, strict=True):
            with pq.ParquetFile(Path(folder) / name) as file:
                yield view, map(pa.table, file.iter_batches())
