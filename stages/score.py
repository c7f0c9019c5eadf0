"""`score`: trials and the vectors of one store -> scores.parquet and, where asked for, identification.parquet.

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

from reseed.stages.common.execution import Execute
from reseed.stages.trial_scoring.files import IDENTIFICATION_SCHEMA, SCORES, SCORES_SCHEMA, scores_schema
from reseed.stages.trial_scoring.order import ScoreOrder
from reseed.stages.trial_scoring.trial_scoring import TrialScoring
from reseed.store import ScoringError
from reseed.store.atomic import atomic_paths
from reseed.store.outputs import check_apart, check_table_output
from reseed.store.sealed import table_writer, write_table


def score(order: ScoreOrder, *, execute: Execute | None = None) -> str:
    """Write scores.parquet and, where asked for, identification.parquet, and return one sentence on them.

    Args:
        execute: calls a function for each part of the work on other machines that share the disk; none: here.

    Raises:
        StoreError: the store, or a view that enrolment or a trial asks for, is missing.
        ManifestError: the trial list or manifest cannot be read, or names an utterance that the store lacks.
        ScoringError: a vector has no direction, or the cohort does not fit the trials.
    """
    check_apart([order.scores, order.identification], order.inputs, ScoringError)
    check_table_output(order.scores, "a score file", SCORES_SCHEMA, error=ScoringError)
    check_table_output(order.identification, "an identification file", IDENTIFICATION_SCHEMA, error=ScoringError)
    scoring = TrialScoring(order)
    ranks: dict[str, pa.Table] = {}
    with atomic_paths(*filter(None, (order.scores, order.identification))) as (scores, *identification):
        with table_writer(scores, scores_schema(scoring.origin()), compression="zstd") as writer:
            for view, tables in _scored(scoring, execute):
                for table in tables:
                    writer.write_table(table)
                if identification and view not in ranks:  # now, while the vectors of this view are in memory
                    ranks[view] = scoring.ranks(view)
        for path in identification:
            write_table(path, pa.concat_tables(ranks.values()), compression="zstd")
    return _sentence(scoring)


def _sentence(scoring: TrialScoring) -> str:
    scan, ways = scoring.scan, len(scoring.scorers)
    text = f"{scoring.order.system}: {scan.stored} trials scored{f' in {ways} ways' if ways > 1 else ''}"
    text += f" in {len(scoring.store.views)} conditions"
    text += f", {scan.unlabelled} of them unlabelled" if scan.unlabelled else ""
    text += f", {scan.left_out} left out (their utterances are not in the store)" if scan.left_out else ""
    shadowed = scoring.enrolled.shadowed
    return text + (f"; of {shadowed} utterances enrolment has the vectors of the first store" if shadowed else "")


@dataclass(frozen=True)
class PartTask:
    """Writes the scores of one part to a file of its own, wherever it is called."""

    order: ScoreOrder
    folder: Path

    def __call__(self, part: int) -> str:
        path = self.folder / f"{part:06}.parquet"
        with table_writer(path, SCORES_SCHEMA) as writer:
            for table in _opened(self.order, get_ident()).scores(part):
                writer.write_table(table)
        return path.name


@lru_cache(maxsize=16)
def _opened(order: ScoreOrder, thread: int) -> TrialScoring:
    """Open an order once in each thread of a worker: the last view is kept, which threads must not share."""
    return TrialScoring(order)


def _scored(scoring: TrialScoring, execute: Execute | None) -> Iterator[tuple[str, Iterator[pa.Table]]]:
    """Yield (view, its scores) for each part in order, computed here or elsewhere."""
    if execute is None:
        for part, (view, _) in enumerate(scoring.parts):
            yield view, scoring.scores(part)
        return
    scores = scoring.order.scores
    with tempfile.TemporaryDirectory(dir=scores.parent, prefix=f".{scores.stem}.") as folder:
        task = PartTask(scoring.order.absolute(), Path(folder).resolve())
        names = sorted(execute(task, range(len(scoring.parts))))
        for name, (view, _) in zip(names, scoring.parts, strict=True):
            with SCORES.open(Path(folder) / name) as file:
                yield view, map(pa.table, file.iter_batches())
