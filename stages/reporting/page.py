"""The page: one self-contained HTML file, every figure a data URI, every text escaped."""

from collections.abc import Sequence

from reseed.stages.common.pages import render
from reseed.stages.common.prose import counted
from reseed.stages.common.theme import THEMES
from reseed.stages.reporting.cards import cards, describe_scoring
from reseed.stages.reporting.contents import Contents, Findings
from reseed.stages.reporting.results.labels import families, scored_labels
from reseed.stages.reporting.results.load import System
from reseed.stages.reporting.results.words import calibration_warning, in_words
from reseed.stages.reporting.setup import contradiction, set_up
from reseed.stages.reporting.tables import calibrated_label, identified_among


def render_page(findings: Findings, made: Contents, title: str, notes: Sequence[str]) -> str:
    """Return the page as HTML."""
    measurements, summaries = findings.measurements, findings.summaries
    labels = {system: look.label for system, look in findings.looks.items()}
    every_label = {s.system: labels.get(s.system, labels.get(s.system.uncalibrated, "")) for s in findings.systems}
    return render(
        "reporting/page.html.j2",
        title=title,
        notes=[text for text in (*notes, contradiction(measurements)) if text],
        subtitle=_subtitle(findings),
        findings=in_words(summaries, scored_labels(labels)),
        warnings=calibration_warning(findings.pooled, _calibrated(findings), measurements[0].costs),
        themes=THEMES,
        contents=made,
        describe_scoring=describe_scoring,
        has_intervals=any(m.eer_ci95 for m in measurements),
        costs=measurements[0].costs.in_words,
        cards=cards(findings.systems, findings.looks),
        footer={
            "Set-up": set_up(findings.systems, measurements, every_label),
            "How these numbers are made": _made(findings, made),
        },
    )


def _calibrated(findings: Findings) -> dict[System, str]:
    return {pooled.system: calibrated_label(pooled.system, findings.looks) for pooled in findings.pooled}


def _subtitle(findings: Findings) -> str:
    systems: list[System] = list(findings.looks)
    conditions = {m.condition.view for m in findings.measurements}
    backbones = ", ".join(sorted({system.backbone for system in systems}))
    runs = sorted({system.run for system in systems} - {""})
    counts = [
        *([counted(len(runs), "run")] if runs else []),
        counted(len({look.label for look in findings.looks.values()}), "system"),
        counted(len(conditions), "condition"),
        counted(findings.speakers, "speaker") if findings.speakers else "speakers unknown",
    ]
    return f"{', '.join(counts)} · backbone {backbones} · {', '.join(families(systems))} scoring"


def _made(findings: Findings, made: Contents) -> list[tuple[str, str]]:
    costs = findings.measurements[0].costs.in_words
    entries = [
        (
            "EER",
            "Equal error rate on the convex hull of the ROC, interpolated (convention “rocch”). The nearest-point "
            "convention (“nearest”) has tables of its own.",
        ),
        ("Intervals", _intervals(findings)),
        ("Noisy mean", "Plain mean of the EERs of all conditions but the clean ones that every system was scored on."),
        (
            "minDCF",
            f"Lowest detection cost over all thresholds at P_target = {costs}, normalised: 1 is "
            "the cost of the better of accepting all and rejecting all.",
        ),
        (
            "Cllr",
            "Of the scores taken as natural-log likelihood ratios. Cosines are not calibrated, so their Cllr says "
            "little by itself; min Cllr, after the best monotone map, is what calibration could reach.",
        ),
    ]
    if made.calibration:
        entries.append(
            (
                "Actual DCF",
                f"The same cost at the threshold fixed beforehand by Bayes' rule for P_target = {costs}; what lies "
                " between it and minDCF is lost to calibration. A calibrated system is in the other tables only "
                "where calibration changes the order of trials.",
            )
        )
    among = identified_among(findings.measurements)
    if among:
        text = (
            f"Closed set of {among} speakers: each test utterance against the mean enrolment embedding of every "
            "speaker, by cosine; an utterance that is itself enrolled is left out of its own speaker's mean."
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
        "so changes are paired; p is twice the share of replicates on the other side of no change, at least "
        f"{2 / (findings.replicates + 1):.2g}. They cover the choice of speakers alone: behind every number stand one "
        "seed of training and one draw of the noises, and the best system is picked on these very trials. "
        f"{findings.speakers} speakers.{caution}"
    )
