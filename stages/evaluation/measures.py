"""Every metric of every system, with intervals, by condition and by group, and how systems differ.

Shapes: T target and N non-target trials, P trials, Q applications, R replicates, U units that are drawn.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reseed.stages.evaluation.differences import Difference, differences
from reseed.stages.evaluation.figures import Figure, figure_of, mean_of
from reseed.stages.evaluation.flips import flips_from_first
from reseed.stages.evaluation.group_measures import Gap, GroupMeasured, gaps, measure_groups
from reseed.stages.evaluation.groups import Group, Grouping
from reseed.stages.evaluation.speakers import Speakers
from reseed.stages.evaluation.trials import Codes, Scored, Trials
from reseed.stages.reporting.results.flips import Flipped
from reseed.stages.scoring.bootstrap import labelled_replicates, speaker_draws
from reseed.stages.scoring.curves import Floats
from reseed.stages.scoring.detection_costs import Costs, DetectionCost, threshold_of
from reseed.stages.scoring.labelled import LabelledTrials
from reseed.stages.scoring.metrics import cllr, eer, min_cllr
from reseed.store import ScoringError

ALL, MEAN = "all trials", "mean of conditions"


@dataclass(frozen=True)
class Measured:
    """The metrics of one system on the trials of one condition; error rates are fractions.

    Attributes:
        contradictory: trials whose label is against their speakers; they are in every metric and in no interval.
        figures: by their names in metrics.json: "eer", "min_dcf vox", and of log-likelihood ratios alone
            "actual_dcf vox" and "cllr".
    """

    system: str
    condition: str
    targets: int
    nontargets: int
    contradictory: int
    figures: Mapping[str, Figure]
    eer_nearest: float
    min_cllr: float

    @property
    def eer(self) -> Figure:
        """The equal error rate."""
        return self.figures["eer"]

    @property
    def cllr(self) -> Figure | None:
        """The cost of the log-likelihood ratios, in bits."""
        return self.figures.get("cllr")

    @property
    def min_dcf(self) -> dict[str, Figure]:
        """By the name of the detection cost."""
        return self._of_costs("min_dcf ")

    @property
    def actual_dcf(self) -> dict[str, Figure]:
        """By the name of the detection cost; empty where scores are no log-likelihood ratios."""
        return self._of_costs("actual_dcf ")

    def row(self) -> dict[str, Any]:
        """Return the row of metrics.json."""
        counts = {"trials": self.targets + self.nontargets, "targets": self.targets}
        values = {name: figure.value for name, figure in self.figures.items()}
        intervals = {f"{name}_ci95": figure.ci95 for name, figure in self.figures.items()}
        plain = {"eer_nearest": self.eer_nearest, "min_cllr": self.min_cllr}
        return {"system": self.system, "condition": self.condition, **counts, **values, **plain, **intervals}

    def _of_costs(self, begins: str) -> dict[str, Figure]:
        return {name.removeprefix(begins): found for name, found in self.figures.items() if name.startswith(begins)}


@dataclass(frozen=True)
class Evaluated:
    """All that was measured.

    Attributes:
        pooled: over all trials, in the order of the systems.
        by_condition: the systems one after another, and of each the mean of its conditions last; empty: there is one.
    """

    pooled: Sequence[Measured]
    by_condition: Sequence[Measured]
    differences: Sequence[Difference]
    groups: Sequence[GroupMeasured]
    gaps: Sequence[Gap]
    replicates: int
    flipped: Flipped


@dataclass(frozen=True)
class Settings:
    """What is computed.

    Attributes:
        replicates, seed: draws of speakers, 0: no intervals; and what they start from.
        equalise: where trials are pooled, let every condition weigh alike in either class, as NIST does with its
            partitions (SRE 2016 evaluation plan, section 3.2).
        llr: scores are natural-log likelihood ratios, so that Cllr and actual DCF say something.
        groupings: groups of trials to measure, all of one system at one threshold, by the first of the costs.
        store: what was scored, for commands by which a trial can be heard.
    """

    replicates: int = 1000
    seed: int = 0
    equalise: bool = False
    llr: bool = False
    groupings: Sequence[Grouping] = ()
    store: Path | None = None


def evaluate_trials(
    trials: Trials,
    scored: Sequence[Scored],
    speakers: Speakers,
    costs: Sequence[DetectionCost],
    settings: Settings,
) -> Evaluated:
    """Measure every system.

    Raises:
        ScoringError: a class is empty, in a condition or altogether; says where.
    """
    draws_UR = None
    if speakers.speaker_N is not None:
        draws_UR = speaker_draws(speakers.count, settings.replicates, settings.seed, speakers.sessions)
    scored = [replace(system, is_llr=settings.llr or system.is_llr) for system in scored]
    weights_of = {ALL: _equal_weights(trials)} if settings.equalise else {}
    everywhere = np.arange(trials.is_target_P.size)

    def measured(system: Scored, condition: str, rows: NDArray[np.intp]) -> Measured:
        split, weights = labelled(system, rows, trials, speakers), weights_of.get(condition, {})
        try:
            return _measured(system.name, condition, split, weights, draws_UR, costs, system.is_llr)
        except ScoringError as error:
            raise ScoringError(f"{system.path}, {system.name}, {condition}: {error}") from error

    pooled = [measured(system, ALL, everywhere) for system in scored]
    named = list(enumerate(trials.conditions)) if len(trials.conditions) > 1 else []
    places = [(name, np.flatnonzero(trials.condition_P == number)) for number, name in named]
    by_condition = []
    for system in scored:
        found = [measured(system, name, rows) for name, rows in places if rows.size]
        by_condition += [*found, _mean(found)] if len(found) > 1 else found
    told_apart = list(differences({each.system: each.figures for each in pooled}))
    thresholds = [_threshold(system, trials, costs) for system in scored]
    groups = list(_groups(trials, scored, speakers, thresholds, settings.groupings, draws_UR))
    flipped = flips_from_first(trials, scored, thresholds, settings.store)
    replicates = 0 if draws_UR is None else settings.replicates
    return Evaluated(pooled, by_condition, told_apart, groups, list(gaps(groups)), replicates, flipped)


def _threshold(system: Scored, trials: Trials, costs: Sequence[DetectionCost]) -> float:
    """Return the threshold of a system on all trials, by the first of the costs."""
    scores = system.score_P[trials.is_target_P], system.score_P[~trials.is_target_P]
    return threshold_of(*scores, costs[0].applications[0] if costs else Costs(0.05), system.is_llr)


def _groups(
    trials: Trials,
    scored: Sequence[Scored],
    speakers: Speakers,
    thresholds: Sequence[float],
    groupings: Sequence[Grouping],
    draws_UR: Floats | None,
) -> Iterator[GroupMeasured]:
    for system, threshold in zip(scored, thresholds, strict=True):
        taken = partial(_of_group, system, trials, speakers)
        yield from measure_groups(system.name, groupings, taken, threshold, draws_UR)


def _of_group(system: Scored, trials: Trials, speakers: Speakers, group: Group) -> LabelledTrials:
    return labelled(system, np.flatnonzero(group.in_P), trials, speakers)


def _equal_weights(trials: Trials) -> dict[str, Floats]:
    """Return weights of all targets and non-targets by which every condition weighs alike in either class."""
    weights = {}
    for name, is_of_class in (("target_weights", trials.is_target_P), ("nontarget_weights", ~trials.is_target_P)):
        condition = trials.condition_P[is_of_class]
        weight = 1 / np.bincount(condition)[condition]
        weights[name] = weight * (weight.size / weight.sum())
    return weights


def labelled(system: Scored, rows: NDArray[np.intp], trials: Trials, speakers: Speakers) -> LabelledTrials:
    """Return some trials by label, with their speakers."""
    is_target_P, score_P = trials.is_target_P[rows], system.score_P[rows]
    sides = trials.enrolment_P[rows], trials.test_P[rows]

    def of_sides(value_N: Codes | None, first: int = 0) -> Codes:
        if value_N is None:
            return np.full((rows.size, 2), -1)
        return first + np.stack([value_N[side] for side in sides], axis=1)

    speakers_P2 = of_sides(speakers.speaker_N)
    by_label = [(score_P[mask], speakers_P2[mask]) for mask in (is_target_P, ~is_target_P)]
    (target_T, target_T2), (nontarget_N, nontarget_N2) = by_label
    split = LabelledTrials(target_T, nontarget_N, target_T2, nontarget_N2, 0)
    if speakers.session_N is None:
        return split
    sessions_P2 = of_sides(speakers.session_N, speakers.count)
    return replace(split, target_sessions_T2=sessions_P2[is_target_P], nontarget_sessions_N2=sessions_P2[~is_target_P])


def _measured(
    name: str,
    condition: str,
    trials: LabelledTrials,
    weights: Mapping[str, Any],
    draws_UR: Floats | None,
    costs: Sequence[DetectionCost],
    llr: bool,
) -> Measured:
    scores, count = (trials.target_T, trials.nontarget_N), (trials.target_T.size, trials.nontarget_N.size)
    applications = [(each.of_misses, each.of_false_alarms) for cost in costs for each in cost.applications]
    drawn = labelled_replicates(trials, draws_UR, applications, **weights)
    min_R = {} if drawn is None else _of_costs(drawn.min_dcf_QR, costs)
    actual_R = {} if drawn is None else _of_costs(drawn.actual_dcf_QR, costs)
    figures = {"eer": figure_of(eer(*scores, **weights), None if drawn is None else drawn.eer_R)}
    for cost in costs:
        figures[f"min_dcf {cost.name}"] = figure_of(cost.minimum(*scores, **weights), min_R.get(cost.name))
    if llr:
        for cost in costs:
            figures[f"actual_dcf {cost.name}"] = figure_of(cost.actual(*scores, **weights), actual_R.get(cost.name))
        figures["cllr"] = figure_of(cllr(*scores, **weights), None if drawn is None else drawn.cllr_R)
    nearest, least = eer(*scores, "nearest", **weights), min_cllr(*scores, **weights)
    return Measured(name, condition, *count, trials.contradictory, figures, nearest, least)


def _mean(found: Sequence[Measured]) -> Measured:
    """Return the mean of a system's conditions, each weighing alike: of their metrics, not of their trials."""
    return Measured(
        found[0].system,
        MEAN,
        sum(each.targets for each in found),
        sum(each.nontargets for each in found),
        sum(each.contradictory for each in found),
        {name: mean_of([each.figures[name] for each in found]) for name in found[0].figures},
        float(np.mean([each.eer_nearest for each in found])),
        float(np.mean([each.min_cllr for each in found])),
    )


def _of_costs(table_QR: Floats, costs: Sequence[DetectionCost]) -> dict[str, Floats]:
    """Return the mean over the applications of each detection cost, [R]."""
    edges = np.cumsum([0, *(len(cost.applications) for cost in costs)])
    return {
        cost.name: table_QR[first:last].mean(axis=0)
        for cost, first, last in zip(costs, edges[:-1], edges[1:], strict=True)
    }
