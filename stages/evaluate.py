"""`evaluate`: anybody's score files, and the labels of their trials -> every metric with intervals, and the page."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from reseed.stages.common.figures import Plot
from reseed.stages.common.prose import counted
from reseed.stages.common.terminal import lines
from reseed.stages.evaluation.figures import Figure
from reseed.stages.evaluation.groups import Grouping, group_trials
from reseed.stages.evaluation.measures import Measured, Settings, evaluate_trials
from reseed.stages.evaluation.page import conclusions, render_page, warnings
from reseed.stages.evaluation.plots import Drawn, plots
from reseed.stages.evaluation.score_lists import NoScoresError, ScoreList, read_score_list
from reseed.stages.evaluation.speakers import tell_speakers
from reseed.stages.evaluation.tables import Evaluation, tables
from reseed.stages.evaluation.trials import Scored, Trials, bring_together
from reseed.stages.evaluation.utterances import Described, describe
from reseed.stages.reporting.folder import PAGE, check_place, check_table, page_files, remove_stale
from reseed.stages.reporting.table import as_csv
from reseed.stages.scoring.detection_costs import detection_cost
from reseed.store import ScoringError
from reseed.store.atomic import atomic_files, write_json, write_text
from reseed.store.bounded import read_json
from reseed.store.outputs import check_file

_ROWS = ("metrics", "differences", "groups", "gaps", "flips")


@dataclass(frozen=True)
class EvaluationResult:
    """What was found.

    Attributes:
        report: where the page is; None: none was asked for.
    """

    evaluation: Evaluation
    report: Path | None

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON."""
        found = self.evaluation.found
        return {
            "title": self.evaluation.trials.title,
            "speakers": self.evaluation.speakers.count or None,
            "speakers_told": self.evaluation.speakers.told_by,
            "metrics": [measured.row() for measured in [*found.pooled, *found.by_condition]],
            "differences": [difference.row() for difference in found.differences],
            "groups": [group.row() for group in found.groups],
            "gaps": [gap.row() for gap in found.gaps],
            "changed": [vars(changed) for changed in found.flipped.changed],
            "worse": [worse.row() for worse in found.flipped.worse],
            "warnings": list(warnings(self.evaluation)),
        }

    def summary(self) -> str:
        """Return it line by line."""
        title = self.evaluation.trials.title
        first = self.evaluation.found.pooled[0]
        of = f"{title}: " if title else ""
        return lines(
            [
                f"{of}{counted(first.targets, 'target')}, {counted(first.nontargets, 'non-target')}, intervals over "
                f"{self.evaluation.speakers.counted}, told {self.evaluation.speakers.told_by}",
                *(sentence.replace("\u202f", " ") for sentence in conclusions(self.evaluation)),
                *(f"  {_line(measured)}" for measured in self.evaluation.found.pooled),
                *(f"warning: {warning}" for warning in warnings(self.evaluation)),
                *([f"see {self.report / PAGE}"] if self.report else []),
            ]
        )


def evaluate(
    *,
    scores: Sequence[Path],
    labels: Path | None = None,
    report: Path | None = None,
    speakers: Path | None = None,
    utterances: Path | None = None,
    groups: Sequence[str] = (),
    store: Path | None = None,
    costs: Sequence[str] = ("vox", "vox-0.01"),
    llr: bool = False,
    equalise: bool = False,
    allow_missing: bool = False,
    title: str = "",
    replicates: int = 1000,
    seed: int = 0,
) -> EvaluationResult:
    """Measure score files and, where that is asked for, write the page.

    Args:
        scores: a file for each system, or one that names several in a column `system`; among them may be the trial
            list.
        labels: a trial list in any form that `reseed trials` reads; None: it is among `scores`, or the first score
            file labels its trials.
        report: folder to write index.html, metrics.json and differences.json (metrics also as .csv), groups.json and
            gaps.json where there are groups, flips.json where a trial got worse, tables/ and plots/ to.
        speakers: "utterance speaker" per line; None: the ids and the labels tell.
        utterances: a table with utterance_id, speaker_id and session_id where these are known, and what trials may be
            grouped by; see `reseed.stages.evaluation.utterances`.
        groups: columns of `utterances` to group trials by.
        store: what was scored: commands by which the trials that got worse can be heard name it.
        costs: names of `reseed.stages.scoring.detection_costs`, or priors, "0.01+0.005".
        llr, equalise, replicates, seed: as of `Settings`; `allow_missing` as of `bring_together`.

    Raises:
        ReseedError: a file cannot be read, a trial has no score or two, a class is empty, a cost or column is unknown.
    """
    named = [detection_cost(cost) for cost in dict.fromkeys(costs)]
    _check_replaceable(report, [*scores, *filter(None, (labels, speakers, utterances))])
    lists, labels = _read(scores, labels)
    trials, scored = bring_together(lists, labels, allow_missing)
    described = describe(utterances, trials.names) if utterances else None
    told, groupings = tell_speakers(trials, speakers, described), _groupings(trials, described, groups)
    found = evaluate_trials(trials, scored, told, named, Settings(replicates, seed, equalise, llr, groupings, store))
    evaluation = Evaluation(title or trials.title or "Evaluation", trials, told, named, found, equalise, groupings)
    if report is not None:
        _write(report, evaluation, plots(_drawn(trials, scored, found.pooled, llr), found.by_condition))
    return EvaluationResult(evaluation, report)


def _read(paths: Sequence[Path], labels: Path | None) -> tuple[list[ScoreList], Path | None]:
    """Read the score files; one without scores is the trial list, where none is named."""
    lists = []
    for path in paths:
        try:
            lists.append(read_score_list(path))
        except NoScoresError as error:
            if len(paths) == 1:
                raise
            if labels is not None:
                message = f"{labels} and {path} have no column of scores; one trial list is taken"
                raise ScoringError(message) from error
            labels = path
    return lists, labels


def _groupings(trials: Trials, described: Described | None, columns: Sequence[str]) -> list[Grouping]:
    if not columns:
        return []
    if described is None:
        raise ScoringError("groups are columns of a table of utterances; name it with --utterances")
    return group_trials(trials, described, list(dict.fromkeys(columns)))


def _drawn(trials: Trials, scored: Sequence[Scored], pooled: Sequence[Measured], llr: bool) -> list[Drawn]:
    targets = trials.is_target_P
    return [
        Drawn(s.name, s.score_P[targets], s.score_P[~targets], measured.eer.value, llr or s.is_llr)
        for s, measured in zip(scored, pooled, strict=True)
    ]


def _line(measured: Measured) -> str:
    costs = [f"minDCF {name} {_plain(figure)}" for name, figure in measured.min_dcf.items()]
    costs += [f"actual DCF {name} {_plain(figure)}" for name, figure in measured.actual_dcf.items()]
    costs += [f"Cllr {_plain(measured.cllr)}"] if measured.cllr else []
    ends = measured.eer.ci95
    between = f" ({ends[0]:.2%} to {ends[1]:.2%})" if ends else ""
    return f"{measured.system}: " + ", ".join([f"EER {measured.eer.value:.2%}{between}", *costs])


def _plain(figure: Figure) -> str:
    return f"{figure.value:.3f}" + (f" ({figure.ci95[0]:.3f} to {figure.ci95[1]:.3f})" if figure.ci95 else "")


def _check_replaceable(report: Path | None, read: Sequence[Path]) -> None:
    if report is None:
        return
    check_place(report, read)
    for name in _ROWS:
        check_file(report / f"{name}.json", "of an evaluation", _is_rows, ScoringError)
    check_table(report / "metrics.csv", "of an evaluation")


def _is_rows(path: Path) -> bool:
    rows = read_json(path)
    return isinstance(rows, list) and all(isinstance(row, dict) and "system" in row for row in rows)


def _write(report: Path, evaluation: Evaluation, drawn: Sequence[Plot]) -> None:
    shown, found = tables(evaluation), evaluation.found
    rows = [measured.row() for measured in [*found.pooled, *found.by_condition]]
    files = page_files(drawn, shown)
    optional = {
        "groups.json": [group.row() for group in found.groups],
        "gaps.json": [gap.row() for gap in found.gaps],
        "flips.json": [worse.row() for worse in found.flipped.worse],
    }
    with atomic_files(report) as staged:
        write_json(staged / "metrics.json", rows)
        write_text(staged / "metrics.csv", as_csv(rows))
        write_json(staged / "differences.json", [difference.row() for difference in found.differences])
        for name, further in optional.items():
            if further:
                write_json(staged / name, further)
        for name, text in files.items():
            write_text(staged / name, text)
        write_text(staged / PAGE, render_page(evaluation, shown, drawn))
    remove_stale(report, files)
    for name in (name for name, further in optional.items() if not further):
        (report / name).unlink(missing_ok=True)
