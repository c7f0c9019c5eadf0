"""`threshold`: the operating point for a false-accept rate, from a score file, with its interval and its support."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from reseed.stages.common.terminal import lines
from reseed.stages.scoring.labelled import LabelledTrials
from reseed.stages.scoring.operating_point import Interval, OperatingPoint, operating_point
from reseed.stages.trial_scoring.files import labels_of, read_scores, speakers_of
from reseed.store import ConfigError, ScoringError

POOLED = "all conditions"


@dataclass(frozen=True)
class Thresholds:
    """The operating points of one system and scoring: each condition, then all of them pooled."""

    scores: Path
    system: str
    scoring: str
    asked: float
    points: list[OperatingPoint]

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON."""
        named = {"scores": str(self.scores), "system": self.system, "scoring": self.scoring}
        return {**named, "asked_false_accept": self.asked, "points": [asdict(point) for point in self.points]}

    def summary(self) -> str:
        """Return it line by line."""
        head = f"{self.scores}, {self.system}, {self.scoring}: false accepts of at most {self.asked:.3%}"
        return lines([head, *(f"  {_line(point)}" for point in self.points)])


def threshold(
    *,
    scores: Path,
    false_accept: float,
    condition: str | None = None,
    system: str | None = None,
    scoring: str | None = None,
    replicates: int = 1000,
    seed: int = 0,
) -> Thresholds:
    """Return the operating point for a false-accept rate, of every condition by itself and of all pooled.

    Args:
        scores: scores.parquet.
        false_accept: the highest rate of accepted non-targets that is allowed, between 0 and 1.
        condition: this view alone.
        system, scoring: which, where the file holds several.
        replicates: of the bootstrap, which draws speakers with replacement; see `reseed.stages.scoring.bootstrap`.

    Raises:
        ConfigError: the rate is out of range.
        ScoringError: the file cannot be read, holds several systems or scorings and none is chosen, or a condition
            lacks targets or non-targets or holds a score that is not finite; says which.
    """
    if not 0 < false_accept < 1:
        raise ConfigError(f"a false-accept rate lies between 0 and 1, e.g. 0.01; got {false_accept:g}")
    table, _ = read_scores(scores)
    table, system = _chosen(table, "system", system, scores)
    table, scoring = _chosen(table, "scoring", scoring, scores)
    if condition is not None:
        table, _ = _chosen(table, "condition", condition, scores)
    points = []
    for name, rows in _conditions(table):
        try:
            points.append(operating_point(name, _trials(rows), false_accept, replicates, seed))
        except ScoringError as error:
            raise ScoringError(f"{scores}, {system}, {scoring}, {name}: {error}") from error
    return Thresholds(scores, system, scoring, false_accept, points)


def _conditions(table: pa.Table) -> Iterator[tuple[str, pa.Table]]:
    views = pc.unique(table["condition"].cast(pa.string())).to_pylist()
    for view in views:
        yield view, table.filter(pc.equal(table["condition"].cast(pa.string()), view))
    if len(views) > 1:
        yield POOLED, table


def _trials(rows: pa.Table) -> LabelledTrials:
    names = [rows[f"{side}_speaker_id"].cast(pa.string()).combine_chunks() for side in ("enrolment", "test")]
    speakers_P2 = speakers_of(rows, pc.unique(pa.concat_arrays(names)).drop_null())
    score_P, label_P = rows["score"].to_numpy(), labels_of(rows)
    target, nontarget = label_P == 1, label_P == 0
    unlabelled = int((label_P == -1).sum())
    return LabelledTrials(score_P[target], score_P[nontarget], speakers_P2[target], speakers_P2[nontarget], unlabelled)


def _chosen(table: pa.Table, column: str, wanted: str | None, path: Path) -> tuple[pa.Table, str]:
    """Return the rows of one system, scoring or condition, and its name."""
    values = pc.unique(table[column].cast(pa.string())).to_pylist()
    if not values:
        raise ScoringError(f"{path} holds no scores; run `reseed score` on a list that has trials")
    if wanted is None and len(values) > 1:
        raise ScoringError(f"{path} holds the {column}s {', '.join(values)}; choose one with --{column}")
    if wanted is not None and wanted not in values:
        raise ScoringError(f"{path} holds no {column} {wanted!r}; there is {', '.join(values)}")
    name: str = values[0] if wanted is None else wanted
    return table.filter(pc.equal(table[column].cast(pa.string()), name)), name


def _line(point: OperatingPoint) -> str:
    threshold = f"{point.threshold:.4f}{_between(point.threshold_ci95, '.4f')}"
    accepted = f"false accepts {point.false_accept:.3%}{_between(point.false_accept_ci95, '.3%')}"
    missed = f"misses {point.miss:.2%}{_between(point.miss_ci95, '.2%')}"
    aside = f", {point.unlabelled} unlabelled left aside" if point.unlabelled else ""
    counted = f"({point.targets} targets, {point.nontargets} non-targets{aside})"
    warning = f"; {point.warning}" if point.warning else ""
    return f"{point.condition}: threshold {threshold}: {accepted}, {missed} {counted}{warning}"


def _between(interval: Interval | None, form: str) -> str:
    return f" (95 %: {interval[0]:{form}} to {interval[1]:{form}})" if interval else ""
