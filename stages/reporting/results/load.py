"""Score files to arrays: every system's trials by condition, labelled ones apart from unlabelled.

Shapes: P trials, T target and N non-target trials, G groupings.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from reseed.stages.audio.conditions import Condition, describe
from reseed.stages.reporting.metrics.base import Identified
from reseed.stages.reporting.results.groups import Codes, Grouper, Grouping
from reseed.stages.scoring.labelled import LabelledTrials, Mask
from reseed.stages.trial_scoring.files import (
    CALIBRATED,
    RAW,
    Origin,
    is_calibrated,
    labels_of,
    read_identification,
    read_scores,
    speakers_of,
)
from reseed.store import ScoringError

FUSION = "fusion"


@dataclass(frozen=True)
class System:
    """What is compared: a named system, the embedding space it lives in, and a way of scoring.

    Attributes:
        space: the backbone and what came after it, "ge2e:1a2b3c4d+seed:5e6f7a8b".
        run: the run it comes from, where several are compared.
    """

    name: str
    space: str
    scoring: str
    run: str = ""

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

    @property
    def is_fused(self) -> bool:
        """Whether its scores are those of several systems: `calibrate` ends the space of such by "+fusion:5e6f7a8b"."""
        return self.space.rpartition("+")[2].startswith(f"{FUSION}:")

    @property
    def family(self) -> str:
        """The scoring before calibration, which orders trials as it does unless more than the score went into it."""
        return self.scoring.removesuffix(CALIBRATED)

    @property
    def is_calibrated(self) -> bool:
        return is_calibrated(self.scoring)

    @property
    def uncalibrated(self) -> "System":
        """The same system before calibration."""
        return replace(self, scoring=self.family)

    def comparable(self, other: "System") -> bool:
        """Whether both differ in nothing but the enhancement and the calibration."""
        return (self.run, self.backbone_space, self.family) == (other.run, other.backbone_space, other.family)


@dataclass(frozen=True)
class TrialScores(LabelledTrials):
    """The trials of one system under one condition, by label.

    Speakers are numbers into the sorted list; groups are numbers into the labels of each grouping, -1 where none.
    """

    target_groups_TG: Codes
    nontarget_groups_NG: Codes


@dataclass(frozen=True)
class ScoredSystem:
    """One system's trials by condition, in reading order, and where they come from."""

    system: System
    path: Path
    origin: Origin
    trials: dict[Condition, TrialScores]


@dataclass(frozen=True)
class Loaded:
    """All systems in the order given, the speakers of all labelled trials, sorted, and how trials are grouped."""

    systems: list[ScoredSystem]
    speakers: list[str]
    groupings: tuple[Grouping, ...]


def load_systems(paths: Sequence[tuple[str, Path]], utterances: Path) -> Loaded:
    """Read score files.

    Args:
        paths: (run, scores.parquet); the run is empty where there is one only.
        utterances: utterances.parquet, by which trials are grouped.

    Raises:
        ScoringError: no file, an unreadable or empty one, or one system twice.
        ManifestError: the manifest cannot be read.
    """
    if not paths:
        raise ScoringError("no score files to report on; run `reseed score` first")
    read = [(run, path, *read_scores(path)) for run, path in paths]
    speakers = sorted(set[str]().union(*(_labelled_speakers(table) for _, _, table, _ in read)))
    grouper = Grouper(utterances, {name for _, _, table, _ in read for name in pc.unique(table["test_id"]).to_pylist()})
    recipes = [
        dict.fromkeys(pc.unique(table["condition"]).to_pylist()) | origin.conditions for *_, table, origin in read
    ]
    systems = [
        scored
        for (run, path, table, origin), conditions in zip(read, describe(*recipes), strict=True)
        for scored in _split(run, path, origin, _Columns(path, table, speakers, grouper), conditions)
    ]
    seen: dict[tuple[str, ...], Path] = {}
    for scored in systems:
        system = scored.system
        key = (*filter(None, [system.run]), system.name, system.backbone_space, system.scoring)
        if key in seen:
            raise ScoringError(f"{scored.path} and {seen[key]} both score {' · '.join(key)}; give it once")
        seen[key] = scored.path
    return Loaded(systems, speakers, grouper.groupings)


def load_identification(path: Path) -> dict[tuple[str, str], Identified]:
    """Return how well speakers are identified, by (system, condition)."""
    table = read_identification(path)
    for name, last in (("first", 1), ("top5", 5)):
        table = table.append_column(name, pc.less_equal(table["rank"], last).cast(pa.float64()))
    groups = table.group_by(["system", "condition"])
    rows = groups.aggregate([("first", "mean"), ("top5", "mean"), ("speakers", "max")]).to_pylist()
    return {
        (row["system"], row["condition"]): Identified(row["first_mean"], row["top5_mean"], row["speakers_max"])
        for row in rows
    }


def _labelled_speakers(table: pa.Table) -> set[str]:
    labelled = table.filter(pc.is_valid(table["is_target"]))
    names = (pc.unique(labelled[f"{side}_speaker_id"]).to_pylist() for side in ("enrolment", "test"))
    return set[str]().union(*names) - {None}


def _split(
    run: str, path: Path, origin: Origin, columns: "_Columns", conditions: Mapping[str, Condition]
) -> Iterator[ScoredSystem]:
    for name, scoring in columns.systems:
        trials = {conditions[view]: found for view, found in columns.select(name, scoring)}
        ordered = dict(sorted(trials.items(), key=lambda item: item[0].reading_order))
        yield ScoredSystem(System(name, origin.space, scoring, run), path, origin, ordered)


class _Columns:
    """The columns of a score file as arrays [P]."""

    def __init__(self, path: Path, table: pa.Table, speakers: list[str], grouper: Grouper) -> None:
        if not table.num_rows:
            raise ScoringError(f"{path} holds no scores; run `reseed score` on a list that has trials")
        self.score_P = table["score"].to_numpy()
        self.label_P = labels_of(table)
        self.speakers_P2 = speakers_of(table, pa.array(speakers, pa.string()))
        self.groups_PG = grouper.codes(
            *(_encoded(table[name]) for name in ("enrolment_id", "enrolment_speaker_id", "test_id"))
        )
        self._names, self._scorings, self._views = (
            _rows_by_value(table[name]) for name in ("system", "scoring", "condition")
        )

    @property
    def systems(self) -> list[tuple[str, str]]:
        """Every (system, scoring) that has scores, in order of appearance."""
        return [
            (name, scoring)
            for name, in_system in self._names.items()
            for scoring, in_scoring in self._scorings.items()
            if (in_system & in_scoring).any()
        ]

    def select(self, name: str, scoring: str) -> Iterator[tuple[str, TrialScores]]:
        """Yield the trials of one system by view."""
        chosen_P = self._names[name] & self._scorings[scoring]
        for view, in_view_P in self._views.items():
            rows = np.flatnonzero(chosen_P & in_view_P)
            if rows.size:
                yield view, self._trials(rows)

    def _trials(self, rows: NDArray[np.intp]) -> TrialScores:
        label = self.label_P[rows]
        target, nontarget = rows[label == 1], rows[label == 0]
        return TrialScores(
            self.score_P[target],
            self.score_P[nontarget],
            self.speakers_P2[target],
            self.speakers_P2[nontarget],
            int((label == -1).sum()),
            self.groups_PG[target],
            self.groups_PG[nontarget],
        )


def _encoded(column: pa.ChunkedArray) -> pa.DictionaryArray:
    return column.cast(pa.string()).combine_chunks().dictionary_encode()


def _rows_by_value(column: pa.ChunkedArray) -> dict[str, Mask]:
    """Return each value of a column, in order of appearance, with a mask [P] of the rows that hold it."""
    encoded = _encoded(column)
    code_P = encoded.indices.to_numpy(zero_copy_only=False)
    return {value: code_P == code for code, value in enumerate(encoded.dictionary.to_pylist())}
