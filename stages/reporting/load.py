"""Score files to arrays: every system's trials by condition, labelled ones apart from unlabelled.

Shapes: P trials, T target and N non-target trials.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from stages.score_files import read_identification, read_scores
from stages.scoring.conditions import Condition, describe
from stages.scoring.curves import Floats
from store import ScoringError

RAW = "raw"


@dataclass(frozen=True)
class System:
    """What is compared: a named system on a backbone, under a way of scoring."""

    name: str
    backbone: str
    scoring: str

    @property
    def is_raw(self) -> bool:
        return self.name == RAW

    def comparable(self, other: "System") -> bool:
        """Whether both differ in nothing but the enhancement."""
        return (self.backbone, self.scoring) == (other.backbone, other.scoring)


@dataclass(frozen=True)
class TrialScores:
    """The trials of one system under one condition; speakers are numbers into the sorted list, -1 where unknown."""

    target_T: Floats
    nontarget_N: Floats
    target_speaker_T: NDArray[np.intp]
    nontarget_speakers_N2: NDArray[np.intp]
    unlabelled: int

    @property
    def speakers_known(self) -> bool:
        return bool((self.target_speaker_T >= 0).all() and (self.nontarget_speakers_N2 >= 0).all())


@dataclass(frozen=True)
class ScoredSystem:
    """One system's trials by condition, in reading order, and where they come from."""

    system: System
    path: Path
    fingerprint: str
    left_out: int
    trials: dict[Condition, TrialScores]


def load_systems(paths: Sequence[Path]) -> tuple[list[ScoredSystem], list[str]]:
    """Read score files; return their systems in the order given, and the speakers of all labelled trials, sorted.

    Raises:
        ScoringError: no file, an unreadable or empty one, or one system twice.
    """
    if not paths:
        raise ScoringError("no score files to report on; run `reseed score` first")
    read = [(path, *read_scores(path)) for path in paths]
    speakers = sorted(set[str]().union(*(_labelled_speakers(table) for _, table, _ in read)))
    systems = [scored for path, table, described in read for scored in _split(path, table, described, speakers)]
    seen: dict[System, Path] = {}
    for scored in systems:
        if scored.system in seen:
            raise ScoringError(f"{scored.path} and {seen[scored.system]} both score {scored.system}; give it once")
        seen[scored.system] = scored.path
    return systems, speakers


def identification_accuracies(path: Path) -> dict[tuple[str, str], float]:
    """Return the share of test utterances whose own speaker ranks first, by (system, condition)."""
    table = read_identification(path)
    right = pc.equal(table["rank"], 1).cast(pa.float64())
    means = table.append_column("right", right).group_by(["system", "condition"]).aggregate([("right", "mean")])
    return {(row["system"], row["condition"]): row["right_mean"] for row in means.to_pylist()}


def _labelled_speakers(table: pa.Table) -> set[str]:
    labelled = table.filter(pc.is_valid(table["is_target"]))
    names = (pc.unique(labelled[f"{side}_speaker_id"]).to_pylist() for side in ("enrolment", "test"))
    return set[str]().union(*names) - {None}


def _split(path: Path, table: pa.Table, described: dict[str, Any], speakers: list[str]) -> Iterator[ScoredSystem]:
    if not table.num_rows:
        raise ScoringError(f"{path} holds no scores; run `reseed score` on a list that has trials")
    columns = _Columns(table, speakers)
    views = _rows_by_value(table["condition"])
    for name, in_system in _rows_by_value(table["system"]).items():
        for scoring, in_scoring in _rows_by_value(table["scoring"]).items():
            trials = {
                describe(view, described["conditions"].get(view)): columns.select(in_system & in_scoring & in_view)
                for view, in_view in views.items()
                if (in_system & in_scoring & in_view).any()
            }
            if trials:
                system = System(name, described["backbone"], scoring)
                ordered = dict(sorted(trials.items(), key=lambda item: item[0].reading_order))
                yield ScoredSystem(system, path, described["fingerprint"], described["left_out"], ordered)


def _rows_by_value(column: pa.ChunkedArray) -> dict[str, NDArray[np.bool_]]:
    """Return each value of a column, in order of appearance, with a mask [P] of the rows that hold it."""
    encoded = column.cast(pa.string()).combine_chunks().dictionary_encode()
    code_P = encoded.indices.to_numpy(zero_copy_only=False)
    return {value: code_P == code for code, value in enumerate(encoded.dictionary.to_pylist())}


class _Columns:
    """The columns of a score file as arrays [P]."""

    def __init__(self, table: pa.Table, speakers: list[str]) -> None:
        self.score_P = table["score"].to_numpy()
        self.label_P = pc.fill_null(table["is_target"].cast(pa.int8()), -1).to_numpy()
        known = pa.array(speakers, pa.string())
        sides = (table[f"{side}_speaker_id"].cast(pa.string()) for side in ("enrolment", "test"))
        found = [pc.fill_null(pc.index_in(side, value_set=known, skip_nulls=True), -1).to_numpy() for side in sides]
        self.speakers_P2 = np.stack(found, axis=1).astype(np.intp)

    def select(self, rows_P: NDArray[np.bool_]) -> TrialScores:
        target, nontarget = np.flatnonzero(rows_P & (self.label_P == 1)), np.flatnonzero(rows_P & (self.label_P == 0))
        return TrialScores(
            self.score_P[target],
            self.score_P[nontarget],
            self.speakers_P2[target, 0],
            self.speakers_P2[nontarget],
            int((rows_P & (self.label_P == -1)).sum()),
        )
