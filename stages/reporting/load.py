"""Score files to arrays: every system's trials by condition, labelled ones apart from unlabelled.

Shapes: P trials, T target and N non-target trials.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from stages.score_files import RAW, Origin, read_identification, read_scores
from stages.scoring.conditions import Condition, describe
from stages.scoring.curves import Floats
from store import ScoringError

Speakers = NDArray[np.intp]
Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class System:
    """What is compared: a named system, the embedding space it lives in, and a way of scoring.

    Attributes:
        space: the backbone and what came after it, "ge2e:1a2b3c4d+seed:5e6f7a8b".
    """

    name: str
    space: str
    scoring: str

    @property
    def backbone_space(self) -> str:
        """The backbone with the digest of its weights, "ge2e:1a2b3c4d"."""
        return self.space.partition("+")[0]

    @property
    def backbone(self) -> str:
        """The backbone's plain name, "ge2e"."""
        return self.backbone_space.partition(":")[0]

    @property
    def is_raw(self) -> bool:
        return self.name == RAW

    def comparable(self, other: "System") -> bool:
        """Whether both differ in nothing but the enhancement."""
        return (self.backbone_space, self.scoring) == (other.backbone_space, other.scoring)


@dataclass(frozen=True)
class TrialScores:
    """The trials of one system under one condition, by label.

    Speakers are numbers into the sorted list, enrolment first, -1 where unknown.
    """

    target_T: Floats
    nontarget_N: Floats
    target_speakers_T2: Speakers
    nontarget_speakers_N2: Speakers
    unlabelled: int

    @property
    def speakers_known(self) -> bool:
        return bool((self.target_speakers_T2 >= 0).all() and (self.nontarget_speakers_N2 >= 0).all())

    @property
    def contradicted_T(self) -> Mask:
        """Which targets [T] are of two speakers, as the manifest has it."""
        enrolled_T, tested_T = self.target_speakers_T2[:, 0], self.target_speakers_T2[:, 1]
        mask_T: Mask = (enrolled_T >= 0) & (tested_T >= 0) & (enrolled_T != tested_T)
        return mask_T

    @property
    def contradicted_N(self) -> Mask:
        """Which non-targets [N] are of one speaker, as the manifest has it."""
        enrolled_N, tested_N = self.nontarget_speakers_N2[:, 0], self.nontarget_speakers_N2[:, 1]
        mask_N: Mask = (enrolled_N >= 0) & (enrolled_N == tested_N)
        return mask_N

    @property
    def contradictory(self) -> int:
        """How many labels the manifest contradicts."""
        return int(self.contradicted_T.sum() + self.contradicted_N.sum())


@dataclass(frozen=True)
class ScoredSystem:
    """One system's trials by condition, in reading order, and where they come from."""

    system: System
    path: Path
    origin: Origin
    trials: dict[Condition, TrialScores]


@dataclass(frozen=True)
class Identified:
    """The share of test utterances whose own speaker ranks first, and among how many speakers."""

    accuracy: float
    speakers: int


def load_systems(paths: Sequence[Path]) -> tuple[list[ScoredSystem], list[str]]:
    """Read score files; return their systems in the order given, and the speakers of all labelled trials, sorted.

    Raises:
        ScoringError: no file, an unreadable or empty one, or one system twice.
    """
    if not paths:
        raise ScoringError("no score files to report on; run `reseed score` first")
    read = [(path, *read_scores(path)) for path in paths]
    speakers = sorted(set[str]().union(*(_labelled_speakers(table) for _, table, _ in read)))
    systems = [scored for path, table, origin in read for scored in _split(path, table, origin, speakers)]
    seen: dict[tuple[str, ...], Path] = {}
    for scored in systems:
        system = scored.system
        key = (system.name, system.backbone_space, system.scoring)
        if key in seen:
            raise ScoringError(f"{scored.path} and {seen[key]} both score {' · '.join(key)}; give it once")
        seen[key] = scored.path
    return systems, speakers


def load_identification(path: Path) -> dict[tuple[str, str], Identified]:
    """Return how well speakers are identified, by (system, condition)."""
    table = read_identification(path)
    right = pc.equal(table["rank"], 1).cast(pa.float64())
    groups = table.append_column("right", right).group_by(["system", "condition"])
    rows = groups.aggregate([("right", "mean"), ("speakers", "max")]).to_pylist()
    return {(row["system"], row["condition"]): Identified(row["right_mean"], row["speakers_max"]) for row in rows}


def _labelled_speakers(table: pa.Table) -> set[str]:
    labelled = table.filter(pc.is_valid(table["is_target"]))
    names = (pc.unique(labelled[f"{side}_speaker_id"]).to_pylist() for side in ("enrolment", "test"))
    return set[str]().union(*names) - {None}


def _split(path: Path, table: pa.Table, origin: Origin, speakers: list[str]) -> Iterator[ScoredSystem]:
    if not table.num_rows:
        raise ScoringError(f"{path} holds no scores; run `reseed score` on a list that has trials")
    columns = _Columns(table, speakers)
    views = _rows_by_value(table["condition"])
    for name, in_system in _rows_by_value(table["system"]).items():
        for scoring, in_scoring in _rows_by_value(table["scoring"]).items():
            trials = {
                describe(view, origin.conditions.get(view)): columns.select(in_system & in_scoring & in_view)
                for view, in_view in views.items()
                if (in_system & in_scoring & in_view).any()
            }
            if trials:
                system = System(name, origin.space, scoring)
                ordered = dict(sorted(trials.items(), key=lambda item: item[0].reading_order))
                yield ScoredSystem(system, path, origin, ordered)


def _rows_by_value(column: pa.ChunkedArray) -> dict[str, Mask]:
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

    def select(self, rows_P: Mask) -> TrialScores:
        target, nontarget = np.flatnonzero(rows_P & (self.label_P == 1)), np.flatnonzero(rows_P & (self.label_P == 0))
        return TrialScores(
            self.score_P[target],
            self.score_P[nontarget],
            self.speakers_P2[target],
            self.speakers_P2[nontarget],
            int((rows_P & (self.label_P == -1)).sum()),
        )
