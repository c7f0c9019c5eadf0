"""The page: one self-contained HTML file, every figure a data URI, every text escaped."""

from collections.abc import Sequence

from reseed.stages.common.pages import render
from reseed.stages.common.prose import counted
from reseed.stages.common.theme import THEMES
from reseed.stages.reporting.cards import cards, describe_scoring
from reseed.stages.reporting.contents import Contents
from reseed.stages.reporting.results.collect import Results
from reseed.stages.reporting.results.sentences import calibration_warning, in_words
from reseed.stages.reporting.results.styles import calibrated_label, families, scored_labels
from reseed.stages.reporting.setup import contradiction, set_up
from reseed.stages.reporting.tables import identified_among


def render_page(results: Results, contents: Contents, title: str, notes: Sequence[str]) -> str:
    """Return the page as HTML."""
    labels = {system: style.label for system, style in results.styles.items()}
    calibrated = {pooled.system: calibrated_label(pooled.system, results.styles) for pooled in results.pooled}
    return render(
        "reporting/page.html.j2",
        title=title,
        notes=[text for text in (*notes, contradiction(results.measurements)) if text],
        subtitle=_subtitle(results),
        findings=in_words(results.summaries, scored_labels(labels)),
        warnings=calibration_warning(results.pooled, calibrated, results.costs),
        themes=THEMES,
        contents=contents,
        describe_scoring=describe_scoring,
        has_intervals=results.has_intervals,
        costs=results.costs.in_words,
        cards=cards(results),
        footer={"Set-up": set_up(results), "How these numbers are made": _methods(results, contents)},
    )


def _subtitle(results: Results) -> str:
    systems = list(results.styles)
    backbones = ", ".join(sorted({system.backbone for system in systems}))
    runs = sorted({system.run for system in systems} - {""})
    counts = [
        *([counted(len(runs), "run")] if runs else []),
        counted(len(set(results.styles.values())), "system"),
        counted(len(results.conditions), "condition"),
        counted(results.speakers, "speaker") if results.speakers else "speakers unknown",
    ]
    return f"{', '.join(counts)} · backbone {backbones} · {', '.join(families(systems))} scoring"


def _methods(results: Results, contents: Contents) -> list[tuple[str, str]]:
    costs = results.costs.in_words
    entries = [
        (
            "EER",
            "Equal error rate on the convex hull of the ROC, interpolated (convention “rocch”). The nearest-point "
            "convention (“nearest”) has tables of its own.",
        ),
        ("Intervals", _intervals(results)),
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
    if contents.calibration:
        entries.append(
            (
                "Actual DCF",
                f"The same cost at the threshold fixed beforehand by Bayes' rule for P_target = {costs}; what lies "
                " between it and minDCF is lost to calibration. A calibrated system is in the other tables only "
                "where calibration changes the order of trials.",
            )
        )
    among = identified_among(results.measurements)
    if among:
        text = (
            f"Closed set of {among} speakers: each test utterance against the mean enrolment embedding of every "
            "speaker, by cosine; an utterance that is itself enrolled is left out of its own speaker's mean."
        )
        entries.append(("Identification", text))
    return entries


def _intervals(results: Results) -> str:
    if not results.has_intervals:
        return "None: speakers are unknown, fewer than two, or no replicates were asked for."
    caution = " So few speakers make them too narrow rather than too wide." if results.speakers < 30 else ""
    return (
        f"Central 95\u202f% of {results.replicates} bootstrap replicates by speaker: speakers are drawn with "
        "replacement, a trial counts as often as its speakers were drawn. All systems and conditions share the draws, "
        "so changes are paired; p is twice the share of replicates on the other side of no change, at least "
        f"{2 / (results.replicates + 1):.2g}. They cover the choice of speakers alone: behind every number stand one "
        "seed of training and one draw of the noises, and the best system is picked on these very trials. "
        f"{results.speakers} speakers.{caution}"
    )
