"""The page: one self-contained HTML file, every figure a data URI, every text escaped."""

from collections.abc import Sequence

from reseed.stages.common.pages import render
from reseed.stages.common.prose import counted
from reseed.stages.common.theme import THEMES
from reseed.stages.reporting.cards import cards, describe_scoring
from reseed.stages.reporting.contents import Contents
from reseed.stages.reporting.results.collect import Results
from reseed.stages.reporting.results.sentences import calibration_warning, conclusions
from reseed.stages.reporting.results.styles import calibrated_label, families, scored_labels
from reseed.stages.reporting.setup import contradiction, set_up
from reseed.stages.reporting.tables import identified_among
from reseed.stages.scoring.comparison import least_p


def render_page(
    results: Results, contents: Contents, title: str, notes: Sequence[str], leaks: Sequence[str] = ()
) -> str:
    """Return the page as HTML; `leaks` is what training and evaluation share."""
    say = results.say
    calibrated = {pooled.system: calibrated_label(pooled.system, results.styles) for pooled in results.pooled}
    return render(
        "reporting/page.html.j2",
        title=title,
        notes=[text for text in (*notes, say(contradiction(results.measurements) or "")) if text],
        subtitle=say(_subtitle(results)),
        leaks=list(map(say, leaks)),
        conclusions=concluded(results),
        warnings=list(map(say, calibration_warning(results.pooled, calibrated, results.costs))),
        say=say,
        themes=THEMES,
        places=_places(contents),
        contents=contents,
        describe_scoring=lambda family: say(describe_scoring(family)),
        has_intervals=results.has_intervals,
        costs=results.costs.in_words,
        cards=cards(results),
        footer={
            heading: [(say(term), say(text)) for term, text in texts]
            for heading, texts in (
                ("Set-up", set_up(results)),
                ("How these numbers are computed", _methods(results, contents)),
            )
        },
    )


def concluded(results: Results) -> list[str]:
    """Return what the results say, the most important first."""
    labels = {system: style.label for system, style in results.styles.items()}
    return list(map(results.say, conclusions(results.summaries, scored_labels(labels))))


def _places(contents: Contents) -> list[tuple[str, str]]:
    """Return where the parts of the page are, and what they are called."""
    found = [("overview", "Overview")] if contents.overview else []
    found += [("calibration-of-scores", "Calibration")] if contents.calibration else []
    found += [(f"scoring-{section.slug}", f"Scoring: {section.family}") for section in contents.sections]
    further = {
        "identification": bool(contents.identification),
        "retrieval": bool(contents.retrieval),
        "embeddings": bool(contents.embedding_plots or contents.space),
    }
    found += [(name, name.capitalize()) for name, is_there in further.items() if is_there]
    return [*found, ("all-systems", "Systems"), ("set-up", "Set-up"), ("how-these-numbers-are-computed", "Methods")]


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
    """Return (term, text) on how each number of the page is computed."""
    costs, among = results.costs.in_words, identified_among(results.measurements)
    texts = {
        "EER": "Equal error rate on the convex hull of the ROC, interpolated (convention “rocch”). The nearest-point "
        "convention (“nearest”) has a table of its own.",
        "Intervals": _intervals(results),
        "Noisy mean": "Arithmetic mean of the EERs of all noisy conditions that every system was scored on.",
        "Against centred": "Compared with the system “centre”: the same unit vectors less a mean, that of the training "
        "vectors where its settings name no other. This costs next to nothing, so that an enhancer is worth what it "
        "gains over it. The enhancers of a backbone that has centred vectors of its own are compared with these; all "
        "else with those of the backbone that is used as it is.",
        "minDCF": f"Lowest detection cost over all thresholds at P_target = {costs}, normalised: 1 is the cost of the "
        "better of accepting all and rejecting all.",
        "Cllr": "Cost of the scores, taken as natural-log likelihood ratios. Cosines are not calibrated, so that their "
        "Cllr says little by itself; min Cllr, after the best monotone map, is what calibration could reach.",
        "Actual DCF": f"The same cost as minDCF, at the threshold that Bayes' rule sets for P_target = {costs}. The "
        "difference from minDCF is the loss from calibration. Other tables show a calibrated system only where "
        "calibration changes the order of trials.",
        "Identification": f"Closed set of {among} speakers: each test utterance against the mean enrolment embedding "
        "of every speaker, by cosine; an utterance that is itself enrolled is left out of its own speaker's mean.",
    }
    texts["What got worse"] = (
        "Each system against centred vectors, or against raw ones where there are no centred ones. A decision is right "
        "where a target is accepted or a non-target rejected, at one threshold of each system for the trials of all "
        "conditions: that of minDCF, of calibrated scores Bayes'. The worst are farthest on the wrong side, in "
        "deviations of the system's scores."
    )
    texts["Retrieval and classification"] = _retrieval(results)
    is_centred = any(scored.system.is_centred for scored in results.systems)
    absent = {"Against centred": not is_centred, "Actual DCF": not contents.calibration, "Identification": not among}
    absent["What got worse"] = not results.flips
    absent["Retrieval and classification"] = not results.retrieval
    return [(term, text) for term, text in texts.items() if not absent.get(term)]


def _retrieval(results: Results) -> str:
    found = next(iter(results.retrieval.values()), None)
    if found is None:
        return ""
    return (
        f"Of each speaker every other utterance is in the gallery ({found.gallery:,} of {found.classes:,} speakers), "
        f"in the view of enrolment; the {found.queries:,} others are queries, in the view of the condition. Recall at "
        "k: the share with one of their own speaker among the k nearest by cosine. Average precision ranks the whole "
        "gallery. The class means, the neighbours and the probe, which is logistic regression on the unit vectors, "
        "know the gallery alone: it is a closed set."
    )


def _intervals(results: Results) -> str:
    if not results.has_intervals:
        return "None: speakers are unknown, fewer than two, or no replicates were asked for."
    caution = " With so few speakers they tend to be too narrow." if results.speakers < 30 else ""
    return (
        f"95\u202f% confidence intervals: bias-corrected percentiles (Efron, 1981) of {results.replicates} bootstrap "
        "replicates over speakers; those of changes and means are of the changes and means of the replicates. Speakers "
        "are drawn with replacement; a trial counts as often as its speakers were drawn. All systems and conditions "
        "share the draws, so that changes are paired; p is twice the share of replicates on the other side of no "
        f"change, at least {least_p(results.replicates):.2g}, corrected for how many systems of one way of scoring are "
        f"compared (Holm, 1979). Intervals cover the choice of the {results.speakers} "
        "speakers alone, not the seed of training or the noises drawn, nor that the best system is picked on these "
        f"very trials.{caution}"
    )
