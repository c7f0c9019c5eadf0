"""The trials of a score file and what is decided of them, worst first.

Shapes: P trials.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from reseed.stages.scoring.curves import Floats, eer_threshold, error_rates, grouped
from reseed.stages.trial_scoring.files import SCORES_SCHEMA, labels_of, read_scores
from reseed.store import ScoringError

FALSE_ACCEPTS, FALSE_REJECTS = "accepts", "rejects"
ERRORS = {"": "all trials", FALSE_ACCEPTS: "false accepts", FALSE_REJECTS: "false rejects"}

_OF_ONE = ("system", "scoring")  # scores of several have no threshold in common
_ROWS = 50  # trials of a page


@dataclass(frozen=True)
class ScoredTrial:
    """One row of a score file."""

    enrolment_id: str
    test_id: str
    condition: str
    scoring: str
    is_target: bool | None
    score: float


@dataclass(frozen=True)
class TrialsPage:
    """Some of the trials that were found.

    Attributes:
        number: of this page, from 0.
        first: how many trials stand on the pages before.
        errors: of each trial, a key of `ERRORS`, empty where it was decided rightly or is unlabelled.
    """

    number: int
    found: int
    trials: Sequence[ScoredTrial]
    errors: Sequence[str]

    @property
    def first(self) -> int:
        return self.number * _ROWS

    @property
    def is_last(self) -> bool:
        return self.first + _ROWS >= self.found


class JudgedTrials:
    """Trials that are decided at the threshold of their own EER.

    Attributes:
        threshold: a trial is accepted where its score is at least that; None: there is none.
        problem: why there is none.
    """

    def __init__(self, rows: pa.Table) -> None:
        self._rows, self._label_P = rows, labels_of(rows)
        self._score_P: Floats = rows["score"].to_numpy()
        self.threshold, self.problem = None, ""
        try:
            trials = grouped(self._score_P[self._label_P == 1], self._score_P[self._label_P == 0])
            self.threshold = eer_threshold(error_rates(trials))
        except ScoringError as error:
            self.problem = str(error)

    @property
    def targets(self) -> int:
        return int((self._label_P == 1).sum())

    @property
    def nontargets(self) -> int:
        return int((self._label_P == 0).sum())

    @cached_property
    def wrong(self) -> dict[str, NDArray[np.bool_]]:
        """Which trials are decided wrongly, by the kind of error, [P] each."""
        at = np.nan if self.threshold is None else self.threshold
        return {
            FALSE_ACCEPTS: (self._label_P == 0) & (self._score_P >= at),
            FALSE_REJECTS: (self._label_P == 1) & (self._score_P < at),
        }

    def page(self, error: str, number: int) -> TrialsPage:
        """Return the trials of one kind of error, or all, the worst first; after the last page comes the last.

        The worst lie farthest on the wrong side of the threshold; unlabelled ones come at the end.
        """
        place_P = np.flatnonzero(self.wrong[error]) if error in self.wrong else np.arange(len(self._score_P))
        sign_P = np.array([1.0, -1.0, np.nan])[self._label_P[place_P]]  # of a non-target, a target, an unlabelled one
        excess_P = sign_P * (self._score_P[place_P] - (self.threshold or 0.0))
        number = min(number, max(len(place_P) - 1, 0) // _ROWS)
        shown = place_P[np.argsort(-excess_P, kind="stable")][number * _ROWS :][:_ROWS]
        rows = self._rows.select(list(ScoredTrial.__annotations__)).take(shown).to_pylist()
        errors = [next((kind for kind, is_P in self.wrong.items() if is_P[place]), "") for place in shown]
        return TrialsPage(number, len(place_P), [ScoredTrial(**row) for row in rows], errors)


class ScoreFile:
    """A score file, in memory.

    Attributes:
        names: systems, scorings and conditions in it, by column.

    Raises:
        ScoringError: it is not a score file, is damaged or is empty.
    """

    def __init__(self, path: Path) -> None:
        self._table, self.origin = read_scores(path)
        if not self._table.num_rows:
            raise ScoringError(f"{path} holds no scores")
        self.names = {name: pc.unique(self._column(self._table, name)).to_pylist() for name in (*_OF_ONE, "condition")}

    def chosen(self, asked: Mapping[str, str]) -> dict[str, str]:
        """Return what is chosen by column: what is asked for, if it is there, or the first; else every condition."""
        firsts = {name: names[0] if name in _OF_ONE else "" for name, names in self.names.items()}
        return {name: asked[name] if asked.get(name) in self.names[name] else firsts[name] for name in firsts}

    def judged(self, chosen: Mapping[str, str]) -> JudgedTrials:
        """Return the trials of one system, scoring and condition (empty: all of them)."""
        rows = self._table
        for column, name in chosen.items():
            if name and len(self.names[column]) > 1:
                rows = rows.filter(pc.equal(self._column(rows, column), name))
        return JudgedTrials(rows)

    @staticmethod
    def _column(table: pa.Table, name: str) -> pa.ChunkedArray:
        return table[name].cast(pa.string())


def may_hold_scores(path: Path) -> bool:
    """Return whether a Parquet file has the columns of scores, or is damaged: who reads it is told."""
    try:
        return set(SCORES_SCHEMA.names) <= set(pq.read_schema(path).names)
    except (OSError, ValueError):
        return True


@lru_cache(maxsize=1)
def read_score_file(path: Path, state: int) -> ScoreFile:
    """Read a score file once as long as it stays as it was."""
    return ScoreFile(path)
