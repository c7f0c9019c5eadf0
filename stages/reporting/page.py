"""The page: one self-contained HTML file, every figure a data URI, every text escaped."""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from stages.reporting.figures import Looks
from stages.reporting.load import ScoredSystem, System
from stages.reporting.measure import Measurement
from stages.reporting.setup import contradiction, set_up
from stages.reporting.summary import Summary
from stages.reporting.tables import eer_table, identified_among, metric_tables, summary_table
from stages.reporting.theme import THEMES
from stages.reporting.words import counted, in_words


@dataclass(frozen=True)
class Plot:
    """One figure of the page: its SVG by theme. `name` is also its file name under plots/."""

    name: str
    title: str
    caption: str
    svgs: Mapping[str, str]

    def source(self, theme: str) -> str:
        """Return the figure as a data URI: an image cannot clash with the page's ids and styles, nor load anything."""
        return "data:image/svg+xml;base64," + base64.b64encode(self.svgs[theme].encode()).decode()


@dataclass(frozen=True)
class Findings:
    """All that the page shows, computed."""

    systems: Sequence[ScoredSystem]
    measurements: Sequence[Measurement]
    summaries: Sequence[Summary]
    looks: Looks
    plots: Sequence[Plot]
    speakers: int
    replicates: int


def render_page(findings: Findings, title: str, note: str) -> str:
    """Return the page as HTML."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    measurements, summaries = findings.measurements, findings.summaries
    labels = {system: look.label for system, look in findings.looks.items()}
    return environment.get_template("page.html.j2").render(
        title=title,
        notes=[text for text in (note, contradiction(measurements)) if text],
        subtitle=_subtitle(findings, list(labels)),
        findings=in_words(summaries, labels),
        looks=list(findings.looks.values()),
        themes=THEMES,
        summary_rows=summary_table(summaries, labels),
        eer_rows=eer_table(measurements, summaries, labels),
        metric_tables=metric_tables(measurements, labels),
        has_intervals=any(m.eer_ci95 for m in measurements),
        plots=findings.plots,
        p_target=f"{measurements[0].p_target:g}",
        footer={
            "Set-up": set_up(findings.systems, measurements, labels),
            "How these numbers are made": _made(findings),
        },
    )


def _subtitle(findings: Findings, systems: Sequence[System]) -> str:
    conditions = {m.condition.view for m in findings.measurements}
    backbones = ", ".join(sorted({system.backbone for system in systems}))
    scorings = ", ".join(sorted({system.scoring for system in systems}))
    counts = [
        counted(len(systems), "system"),
        counted(len(conditions), "condition"),
        counted(findings.speakers, "speaker") if findings.speakers else "speakers unknown",
    ]
    return f"{', '.join(counts)} · backbone {backbones} · {scorings} scoring"


def _made(findings: Findings) -> list[tuple[str, str]]:
    p_target = findings.measurements[0].p_target
    entries = [
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
    ]
    among = identified_among(findings.measurements)
    if among:
        text = (
            f"Closed set of {among} speakers: each test utterance against the mean enrolment embedding of every "
            "speaker; an utterance that is itself enrolled is left out of its own speaker's mean."
        )
        entries.append(("Identification", text))
    return entries


def _intervals(findings: Findings) -> str:
    if not any(m.eer_ci95 for m in findings.measurements):
        return "None: speakers are unknown, fewer than two, or no replicates were asked for."
    caution = " So few speakers make them too narrow rather than too wide." if findings.speakers < 30 else ""
    return (
        f"Central 95\u202f% of {findings.replicates} bootstrap replicates by speaker: speakers are drawn with "
        "replacement, a trial counts as often as its speakers were drawn. All systems and conditions share the draws, "
        "so changes against raw are paired. They cover the choice of speakers alone: behind every number stand one "
        "seed of training and one draw of the noises, and the best system is picked on these very trials. "
        f"{findings.speakers} speakers.{caution}"
    )
