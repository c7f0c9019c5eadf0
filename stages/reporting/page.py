"""The page: one self-contained HTML file, every figure a data URI, every text escaped."""

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from stages.reporting.figures import Looks
from stages.reporting.load import System
from stages.reporting.measure import Measurement
from stages.reporting.summary import Summary
from stages.reporting.tables import eer_table, metric_tables, summary_table
from stages.reporting.words import in_words


@dataclass(frozen=True)
class Plot:
    """One figure of the page; `name` is also its file name under plots/."""

    name: str
    title: str
    caption: str
    svg: str

    @property
    def source(self) -> str:
        """The figure as a data URI: an image cannot clash with the page's ids and styles, nor load anything."""
        return "data:image/svg+xml;base64," + base64.b64encode(self.svg.encode()).decode()


@dataclass(frozen=True)
class Findings:
    """All that the page shows, computed."""

    measurements: Sequence[Measurement]
    summaries: Sequence[Summary]
    looks: Looks
    plots: Sequence[Plot]
    speakers: int
    replicates: int
    left_out: int


def render_page(findings: Findings, title: str, note: str) -> str:
    """Return the page as HTML."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    labels = {system: look.label for system, look in findings.looks.items()}
    return environment.get_template("page.html.j2").render(
        title=title,
        note=note,
        subtitle=_subtitle(findings, list(labels)),
        findings=in_words(findings.summaries, labels),
        looks=list(findings.looks.values()),
        summary_rows=summary_table(findings.summaries, labels),
        eer_rows=eer_table(findings.measurements, findings.summaries, labels),
        metric_tables=metric_tables(findings.measurements, labels),
        has_intervals=any(m.eer_ci95 for m in findings.measurements),
        plots=findings.plots,
        p_target=f"{findings.measurements[0].p_target:g}",
        conventions=_conventions(findings),
    )


def _subtitle(findings: Findings, systems: Sequence[System]) -> str:
    conditions = {m.condition.view for m in findings.measurements}
    backbones = ", ".join(sorted({system.backbone for system in systems}))
    scorings = ", ".join(sorted({system.scoring for system in systems}))
    counts = [
        _count(len(systems), "system"),
        _count(len(conditions), "condition"),
        _count(findings.speakers, "speaker") if findings.speakers else "speakers unknown",
    ]
    return f"{', '.join(counts)} · backbone {backbones} · {scorings} scoring"


def _conventions(findings: Findings) -> list[tuple[str, str]]:
    p_target = findings.measurements[0].p_target
    return [
        ("EER", "Equal error rate on the convex hull of the ROC, interpolated (convention “rocch”)."),
        ("Intervals", _intervals(findings)),
        ("Noisy mean", "Plain mean of the EERs of all conditions but the clean ones that every system was scored on."),
        (
            "minDCF",
            f"Lowest detection cost over all thresholds at P_target = {p_target:g}, C_miss = C_fa = 1, normalised: 1 "
            "is the cost of the better of accepting all and rejecting all.",
        ),
        (
            "Cllr",
            "Of the raw scores (cosines) taken as natural-log likelihood ratios. They are not calibrated, so Cllr says "
            "little by itself; min Cllr, after the best monotone map, is what calibration could reach.",
        ),
        (
            "Identification",
            "Closed set: each test utterance against the mean enrolment embedding of every speaker; an utterance that "
            "is itself enrolled is left out of its own speaker's mean.",
        ),
        ("Trials", _trials(findings)),
    ]


def _intervals(findings: Findings) -> str:
    if not any(m.eer_ci95 for m in findings.measurements):
        return "None: speakers are unknown, fewer than two, or no replicates were asked for."
    caution = " So few speakers make them too narrow rather than too wide." if findings.speakers < 30 else ""
    return (
        f"Central 95\u202f% of {findings.replicates} bootstrap replicates by speaker: speakers are drawn with "
        "replacement, a trial counts as often as its speakers were drawn. All systems and conditions share the draws, "
        f"so changes against raw are paired. {findings.speakers} speakers.{caution}"
    )


def _trials(findings: Findings) -> str:
    per_condition = {(m.trials, m.targets) for m in findings.measurements}
    if len(per_condition) == 1:
        trials, targets = next(iter(per_condition))
        text = f"{trials:,} labelled trials per condition, {targets:,} of them targets."
    else:
        counts = [m.trials for m in findings.measurements]
        text = f"{min(counts):,} to {max(counts):,} labelled trials per condition; see metrics.csv."
    unlabelled = max(m.unlabelled for m in findings.measurements)
    text += f" Unlabelled trials, scored but in no metric: {unlabelled:,} per condition at most."
    return text + f" Left out because their utterances have no embedding: {findings.left_out:,}."


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
