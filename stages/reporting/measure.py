"""Scores to measurements: every metric of every system under every condition.

Shapes: P trials, T target and N non-target trials, S speakers, R bootstrap replicates.
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
from stages.scoring.bootstrap import eer_replicates, percentile_interval, speaker_draws
from stages.scoring.conditions import Condition, describe
from stages.scoring.curves import Floats, det_points, error_rates, grouped
from stages.scoring.metrics import cllr, eer, min_cllr, min_dcf
from store import ScoringError

RAW = "raw"

Interval = tuple[float, float]
Curve = tuple[Floats, Floats]


@dataclass(frozen=True)
class System:
    """What is compared: a named system on a backbone, under a way of scoring."""

    name: str
    backbone: str
    scoring: str

    @property
    def is_raw(self) -> bool:
        return self.name == RAW


@dataclass(frozen=True)
class TrialScores:
    """The trials of one system under one condition; speakers are rows of the draws, -1 where unknown."""

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
    """One system's trials by condition, in reading order, and the store that they were scored from."""

    system: System
    fingerprint: str
    path: Path
    trials: dict[Condition, TrialScores]


@dataclass(frozen=True)
class Measurement:
    """All metrics of one system under one condition; error rates are fractions.

    `replicate_R` holds the bootstrapped EERs, comparable one by one between measurements; None where speakers are
    unknown.
    """

    system: System
    condition: Condition
    trials: int
    targets: int
    unlabelled: int
    eer: float
    eer_ci95: Interval | None
    min_dcf: float
    p_target: float
    cllr: float
    min_cllr: float
    identification_accuracy: float | None
    replicate_R: Floats | None

    def row(self) -> dict[str, Any]:
        """Return the row of metrics.json."""
        return {
            "system": self.system.name,
            "backbone": self.system.backbone,
            "scoring": self.system.scoring,
            "condition": self.condition.view,
            "trials": self.trials,
            "targets": self.targets,
            "unlabelled": self.unlabelled,
            "eer": self.eer,
            "eer_ci95": list(self.eer_ci95) if self.eer_ci95 else None,
            "min_dcf": self.min_dcf,
            "p_target": self.p_target,
            "cllr": self.cllr,
            "min_cllr": self.min_cllr,
            "identification_accuracy": self.identification_accuracy,
        }


def load_systems(paths: Sequence[Path]) -> tuple[list[ScoredSystem], list[str]]:
    """Read score files; return their systems in the order given, and the speakers of all labelled trials, sorted.

    Raises:
        ScoringError: no file, an unreadable or empty one, or one system twice.
    """
    if not paths:
        raise ScoringError("no score files to report on; run `reseed score` first")
    read = [(path, *read_scores(path)) for path in paths]
    speakers = sorted(set().union(*(_labelled_speakers(table) for _, table, _ in read)))
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


def measure(
    scored: ScoredSystem, accuracies: dict[tuple[str, str], float], draws_SR: Floats | None, p_target: float
) -> Iterator[Measurement]:
    """Yield every metric of one system, condition by condition.

    Args:
        accuracies: from `identification_accuracies`.
        draws_SR: bootstrap draws over all speakers, the same for every system; None: no intervals.

    Raises:
        ScoringError: a condition lacks targets or non-targets, or has a score that is not finite; names it.
    """
    for condition, trials in scored.trials.items():
        target_T, nontarget_N = trials.target_T, trials.nontarget_N
        try:
            point = eer(target_T, nontarget_N)
        except ScoringError as error:
            raise ScoringError(f"{scored.path}, {scored.system.name}, condition {condition.view}: {error}") from error
        replicate_R = _replicates(trials, draws_SR)
        yield Measurement(
            system=scored.system,
            condition=condition,
            trials=target_T.size + nontarget_N.size,
            targets=target_T.size,
            unlabelled=trials.unlabelled,
            eer=point,
            eer_ci95=None if replicate_R is None else percentile_interval(replicate_R),
            min_dcf=min_dcf(target_T, nontarget_N, p_target=p_target),
            p_target=p_target,
            cllr=cllr(target_T, nontarget_N),
            min_cllr=min_cllr(target_T, nontarget_N),
            identification_accuracy=accuracies.get((scored.system.name, condition.view)),
            replicate_R=replicate_R,
        )


def draw_speakers(speakers: int, replicates: int, seed: int) -> Floats | None:
    """Return the draws that all systems share, [S, R]; None where one speaker or none leaves nothing to resample."""
    return speaker_draws(speakers, replicates, seed) if speakers > 1 and replicates else None


def det_curve(scored: ScoredSystem, *, clean: bool) -> Curve | None:
    """Return the DET curve of a system on its clean, or on all of its other conditions, trials pooled."""
    pooled = [trials for condition, trials in scored.trials.items() if condition.is_clean == clean]
    if not pooled:
        return None
    target_T, nontarget_N = (
        np.concatenate([getattr(trials, side) for trials in pooled]) for side in ("target_T", "nontarget_N")
    )
    return det_points(error_rates(grouped(target_T, nontarget_N)))


def _replicates(trials: TrialScores, draws_SR: Floats | None) -> Floats | None:
    if draws_SR is None or not trials.speakers_known:
        return None
    return eer_replicates(
        trials.target_T, trials.nontarget_N, trials.target_speaker_T, trials.nontarget_speakers_N2, draws_SR
    )


def _labelled_speakers(table: pa.Table) -> set[str]:
    labelled = table.filter(pc.is_valid(table["is_target"]))
    names = (pc.unique(labelled[f"{side}_speaker_id"]).to_pylist() for side in ("enrolment", "test"))
    return set().union(*names) - {None}


def _split(path: Path, table: pa.Table, described: dict[str, Any], speakers: list[str]) -> Iterator[ScoredSystem]:
    if not table.num_rows:
        raise ScoringError(f"{path} holds no scores; run `reseed score` on a list that has trials")
    recipes = described["conditions"]
    codes = {name: _codes(table[name]) for name in ("system", "scoring", "condition")}
    columns = _Columns(table, speakers)
    for name, in_system in codes["system"].items():
        for scoring, in_scoring in codes["scoring"].items():
            trials = {
                describe(view, recipes.get(view)): columns.select(in_system & in_scoring & in_condition)
                for view, in_condition in codes["condition"].items()
                if (in_system & in_scoring & in_condition).any()
            }
            ordered = dict(sorted(trials.items(), key=lambda item: item[0].reading_order))
            if ordered:
                yield ScoredSystem(
                    System(name, described["backbone"], scoring), described["fingerprint"], path, ordered
                )


def _codes(column: pa.ChunkedArray) -> dict[str, NDArray[np.bool_]]:
    """Return each value of a column, in order of appearance, with the rows [P] that hold it."""
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
