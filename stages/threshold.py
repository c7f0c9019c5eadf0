"""`threshold`: the operating point for a false-accept rate, from a score file, with its interval and its support.

Shapes: P trials, T target and N non-target trials, S speakers, R replicates, K thresholds.
"""

import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from reseed.stages.scoring.bootstrap import percentile_interval, speaker_draws
from reseed.stages.scoring.curves import ErrorRates, Floats, ScoredTrials, error_rates, grouped
from reseed.stages.scoring.labelled import LabelledTrials
from reseed.stages.trial_scoring.files import read_scores
from reseed.store import ConfigError, ScoringError

POOLED = "all conditions"
REPLICATES = 1000

_SUPPORT = 30  # Doddington's rule: 30 errors at least, for 90 % confidence that the rate is within 30 % of the true one
Interval = tuple[float, float]


@dataclass(frozen=True)
class OperatingPoint:
    """Where to put the threshold: a trial is accepted where its score is at least that. Rates are fractions.

    Attributes:
        false_accept: the measured rate at the threshold, at most the one asked for; ties may keep it well below.
        threshold_ci95: of the threshold that the same rate would ask for among other speakers, by bootstrap over
            speakers; None where they are unknown or too few.
        false_accept_ci95, miss_ci95: of both rates at the threshold given here, likewise.
        warning: in words, where the trials do not support the rate; otherwise empty.
    """

    condition: str
    targets: int
    nontargets: int
    unlabelled: int
    threshold: float
    threshold_ci95: Interval | None
    false_accept: float
    false_accept_ci95: Interval | None
    miss: float
    miss_ci95: Interval | None
    warning: str

    def line(self) -> str:
        """Return it in one line."""
        threshold = f"{self.threshold:.4f}{_between(self.threshold_ci95, '.4f')}"
        accepted = f"false accepts {self.false_accept:.3%}{_between(self.false_accept_ci95, '.3%')}"
        rates = f"{accepted}, misses {self.miss:.2%}{_between(self.miss_ci95, '.2%')}"
        counted = f"{self.targets} targets, {self.nontargets} non-targets"
        aside = f", {self.unlabelled} unlabelled left aside" if self.unlabelled else ""
        warning = f"; {self.warning}" if self.warning else ""
        return f"{self.condition}: threshold {threshold}: {rates} ({counted}{aside}){warning}"


@dataclass(frozen=True)
class Thresholds:
    """The operating points of one system and scoring: each condition, then all of them pooled."""

    scores: Path
    system: str
    scoring: str
    asked: float
    points: list[OperatingPoint]

    def facts(self) -> dict[str, Any]:
        """Return it as JSON."""
        named = {"scores": str(self.scores), "system": self.system, "scoring": self.scoring}
        return {**named, "asked_false_accept": self.asked, "points": [asdict(point) for point in self.points]}

    def summary(self) -> str:
        """Return it line by line."""
        head = f"{self.scores}, {self.system}, {self.scoring}: false accepts of at most {self.asked:.3%}"
        return "\n".join([head, *(f"  {point.line()}" for point in self.points)])


def threshold(
    *,
    scores: Path,
    false_accept: float,
    condition: str | None = None,
    system: str | None = None,
    scoring: str | None = None,
    replicates: int = REPLICATES,
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
            points.append(_operating_point(name, _trials(rows), false_accept, replicates, seed))
        except ScoringError as error:
            raise ScoringError(f"{scores}, {system}, {scoring}, {name}: {error}") from error
    return Thresholds(scores, system, scoring, false_accept, points)


def _operating_point(name: str, trials: LabelledTrials, asked: float, replicates: int, seed: int) -> OperatingPoint:
    ranked = _Ranked(trials)
    rates = ranked.rates(np.ones(trials.target_T.size), np.ones(trials.nontarget_N.size))
    at = _lowest(rates, asked)
    thresholds_R, accepted_R, missed_R = _replicates(
        ranked, trials, at, asked, speaker_counts(trials, replicates, seed)
    )
    return OperatingPoint(
        condition=name,
        targets=trials.target_T.size,
        nontargets=trials.nontarget_N.size,
        unlabelled=trials.unlabelled,
        threshold=_finite(rates, at),
        threshold_ci95=percentile_interval(thresholds_R),
        false_accept=float(rates.false_alarm_K[at]),
        false_accept_ci95=percentile_interval(accepted_R),
        miss=float(rates.miss_K[at]),
        miss_ci95=percentile_interval(missed_R),
        warning=_warning(trials, asked),
    )


class _Ranked:
    """The distinct scores of a condition, and where each trial stands among them."""

    def __init__(self, trials: LabelledTrials) -> None:
        try:
            self.score_K = grouped(trials.target_T, trials.nontarget_N).score_K
        except ScoringError as error:
            aside = f" ({trials.unlabelled} more are unlabelled)" if trials.unlabelled else ""
            raise ScoringError(f"{error}{aside}") from error
        self.place_T = np.searchsorted(self.score_K, trials.target_T)
        self.place_N = np.searchsorted(self.score_K, trials.nontarget_N)

    def rates(self, weight_T: Floats, weight_N: Floats) -> ErrorRates:
        target_K, nontarget_K = (
            np.bincount(place, weight, self.score_K.size).astype(np.float64)
            for place, weight in ((self.place_T, weight_T), (self.place_N, weight_N))
        )
        return error_rates(ScoredTrials(self.score_K, target_K, nontarget_K))


def speaker_counts(trials: LabelledTrials, replicates: int, seed: int) -> Floats | None:
    """Return how often each replicate draws each speaker, [S, R]; None where there is nobody to draw."""
    speakers = 1 + int(max(trials.target_speakers_T2.max(initial=-1), trials.nontarget_speakers_N2.max(initial=-1)))
    return speaker_draws(speakers, replicates, seed) if trials.speakers_known and speakers > 1 else None


def _replicates(
    ranked: _Ranked, trials: LabelledTrials, at: int, asked: float, draws_SR: Floats | None
) -> tuple[Floats, Floats, Floats]:
    """Return of each replicate the threshold it would choose, and both rates at the threshold chosen on all: [R] each.

    Trials whose label their speakers contradict are in none; NaN where a class has no trial left.
    """
    found_3R = np.full((3, 0 if draws_SR is None else draws_SR.shape[1]), np.nan)
    enrolled_T, tested_T = trials.target_speakers_T2.T
    enrolled_N, tested_N = trials.nontarget_speakers_N2.T
    for number in range(found_3R.shape[1]):
        draw_S = draws_SR[:, number] if draws_SR is not None else np.empty(0)
        weight_T = draw_S[enrolled_T] * (enrolled_T == tested_T)
        weight_N = draw_S[enrolled_N] * draw_S[tested_N] * (enrolled_N != tested_N)
        if weight_T.any() and weight_N.any():
            rates = ranked.rates(weight_T, weight_N)
            chosen = _finite(rates, _lowest(rates, asked))
            found_3R[:, number] = chosen, rates.false_alarm_K[at], rates.miss_K[at]
    return found_3R[0], found_3R[1], found_3R[2]


def _lowest(rates: ErrorRates, asked: float) -> int:
    """Return the lowest threshold whose false-accept rate is no higher than asked; the rate falls as it rises."""
    return int(np.argmax(rates.false_alarm_K <= asked))


def _finite(rates: ErrorRates, at: int) -> float:
    """Return a threshold; where only infinity will do, the next number above the highest score does as well."""
    found = rates.threshold_K[at]
    return float(found if np.isfinite(found) else np.nextafter(rates.threshold_K[-2], np.inf))


def _warning(trials: LabelledTrials, asked: float) -> str:
    expected = asked * trials.nontarget_N.size
    words = []
    if expected < _SUPPORT:
        words.append(
            f"too few non-targets: {asked:.3%} of {trials.nontarget_N.size} is {expected:.3g} false accepts, and a "
            f"rate rests on {_SUPPORT}, so on {math.ceil(_SUPPORT / asked)} non-targets"
        )
    if not trials.speakers_known:
        words.append("no intervals: the speakers of some trials are unknown")
    return "; ".join(words)


def _conditions(table: pa.Table) -> Iterator[tuple[str, pa.Table]]:
    views = pc.unique(table["condition"].cast(pa.string())).to_pylist()
    for view in views:
        yield view, table.filter(pc.equal(table["condition"].cast(pa.string()), view))
    if len(views) > 1:
        yield POOLED, table


def _trials(rows: pa.Table) -> LabelledTrials:
    sides = [rows[f"{side}_speaker_id"].cast(pa.string()) for side in ("enrolment", "test")]
    known = pc.unique(pa.chunked_array([*sides[0].chunks, *sides[1].chunks], pa.string())).drop_null()
    codes = [pc.fill_null(pc.index_in(side, value_set=known, skip_nulls=True), -1).to_numpy() for side in sides]
    speakers_P2 = np.stack(codes, axis=1).astype(np.intp)
    score_P = rows["score"].to_numpy()
    label_P = pc.fill_null(rows["is_target"].cast(pa.int8()), -1).to_numpy()
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


def _between(interval: Interval | None, form: str) -> str:
    return f" (95 %: {interval[0]:{form}} to {interval[1]:{form}})" if interval else ""
