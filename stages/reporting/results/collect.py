"""All that a report says, measured and summarised."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from reseed.stages.audio.conditions import Condition
from reseed.stages.common.terms import SPEECH, Wording, wording
from reseed.stages.reporting.metrics.base import Metric
from reseed.stages.reporting.metrics.table import METRICS, metrics_with
from reseed.stages.reporting.results.backbone_pairs import PairComparison, compare_pairs, other_seeds
from reseed.stages.reporting.results.flips import Flipped
from reseed.stages.reporting.results.group_eers import GroupEer, measure_groups
from reseed.stages.reporting.results.groups import Grouping
from reseed.stages.reporting.results.measure import (
    Measured,
    Measurement,
    measure,
    order_preserving,
    pooled_calibration,
)
from reseed.stages.reporting.results.rank_changes import RankChange, rank_changes
from reseed.stages.reporting.results.retrieval import Found, measure_retrieval, none_of_audio
from reseed.stages.reporting.results.run_flips import measure_flips
from reseed.stages.reporting.results.settings import ReportSettings
from reseed.stages.reporting.results.styles import Styles, system_labels, system_styles
from reseed.stages.reporting.results.summary import Summary, headline, shared_views, summarise
from reseed.stages.reporting.results.systems import Loaded, ScoredSystem, System
from reseed.stages.scoring.bootstrap import speaker_draws
from reseed.stages.scoring.detection_costs import Costs


@dataclass(frozen=True)
class Results:
    """All that was measured, or what of it concerns one way of scoring.

    A calibrated system that orders trials as before calibration, and a repeat of an alignment under another seed, are
    not shown by themselves: they have no style, and are in no table of EERs.

    Attributes:
        systems, measurements: of every system.
        summaries, styles, groups: of those that are shown.
        shared_views: the conditions that every system was scored on.
        groupings: by what the trials are grouped.
        pooled: the calibration of the calibrated systems.
        metrics: which were measured.
        speakers, replicates: how many speakers the trials have, and how often they were resampled.
        rank_changes: whom each system makes recognised, and whom it loses.
        flips: what each system decides otherwise than centred or raw vectors.
        retrieval: what is found by the vectors of each system in each view, where that was asked for.
        wording: what things are called.
    """

    systems: Sequence[ScoredSystem]
    measurements: Sequence[Measurement]
    summaries: Sequence[Summary]
    styles: Styles
    shared_views: set[str]
    groupings: Sequence[Grouping]
    groups: Sequence[GroupEer]
    backbone_pairs: Sequence[PairComparison]
    pooled: Sequence[Measured]
    speakers: int
    replicates: int
    metrics: Sequence[Metric[Any]] = METRICS
    retrieval: Found = field(default_factory=dict)
    rank_changes: Sequence[RankChange] = ()
    flips: Mapping[System, Flipped] = field(default_factory=dict)
    wording: Wording = SPEECH

    def say(self, text: str) -> str:
        """Return a sentence on speech in the terms of the run."""
        return self.wording.say(text)

    @property
    def costs(self) -> Costs:
        """What errors cost in every DCF."""
        return self.measurements[0].costs

    @property
    def conditions(self) -> list[Condition]:
        """Every condition, in reading order."""
        return sorted({m.condition for m in self.measurements}, key=lambda condition: condition.reading_order)

    @property
    def has_intervals(self) -> bool:
        return any(m.eer_ci95 for m in self.measurements)

    @property
    def raw_and_best(self) -> list[System]:
        """The systems that are raw, and the one to name first."""
        best = headline(self.summaries)[0].system
        return [scored.system for scored in self.systems if scored.system.is_raw or scored.system == best]

    def of_family(self, family: str) -> "Results":
        """Return the results of the systems that are shown and scored in this way."""
        styles = {system: style for system, style in self.styles.items() if system.family == family}
        return replace(
            self,
            systems=[scored for scored in self.systems if scored.system in styles],
            measurements=[m for m in self.measurements if m.system in styles],
            summaries=[summary for summary in self.summaries if summary.system in styles],
            styles=styles,
            groups=[group for group in self.groups if group.system in styles],
            backbone_pairs=[pair for pair in self.backbone_pairs if pair.family == family],
            flips={system: found for system, found in self.flips.items() if system in styles},
        )


def collect(loaded: Loaded, settings: ReportSettings, terms: Mapping[str, str]) -> Results:
    """Measure and summarise what was loaded; `terms` are what the run calls things otherwise than is usual.

    Raises:
        ScoringError: a condition lacks a class.
    """
    draws_SR = speaker_draws(len(loaded.speakers), settings.bootstrap_replicates, settings.seed)
    costs = Costs(settings.p_target, settings.c_miss, settings.c_fa)
    metrics = metrics_with(settings.metrics)
    measurements = measure(loaded.systems, loaded.identified, draws_SR, costs, metrics)
    repeats = order_preserving(loaded.systems)
    hidden = {*repeats, *other_seeds([scored.system for scored in loaded.systems], loaded.runs)}
    shown = [scored for scored in loaded.systems if scored.system not in hidden]
    views = shared_views(measurements)
    with_store = [s for s in shown if s.store]
    is_audio = not none_of_audio(with_store)
    is_retrieved = not is_audio if settings.retrieval is None else settings.retrieval
    conditions = list(dict.fromkeys(m.condition for m in measurements))
    styles = system_styles(system_labels([scored.system for scored in shown]))
    with_seeds = summarise([m for m in measurements if m.system not in repeats])
    return Results(
        systems=loaded.systems,
        measurements=measurements,
        summaries=summarise([m for m in measurements if m.system not in hidden]),
        styles=styles,
        shared_views=views,
        groupings=loaded.groupings,
        groups=list(measure_groups(shown, loaded.groupings, views)),
        backbone_pairs=list(compare_pairs(with_seeds, loaded.runs)),
        pooled=list(pooled_calibration(loaded.systems, views, costs, draws_SR)) if views else [],
        speakers=len(loaded.speakers),
        replicates=settings.bootstrap_replicates,
        metrics=metrics,
        retrieval=measure_retrieval(with_store, loaded.runs[0].utterances) if is_retrieved else {},
        rank_changes=list(rank_changes(loaded.identified, conditions)),
        flips=measure_flips(shown, styles, costs, is_audio=is_audio),
        wording=wording(terms, is_speech=is_audio),
    )
