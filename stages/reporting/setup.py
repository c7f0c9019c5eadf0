"""The experimental set-up in words: enrolment, trials, and what to keep in mind about them."""

from collections.abc import Mapping, Sequence

import numpy as np

from reseed.stages.common.prose import listed
from reseed.stages.reporting.results.collect import Results
from reseed.stages.reporting.results.measure import Measurement
from reseed.stages.reporting.results.systems import ScoredSystem


def set_up(results: Results) -> list[tuple[str, str]]:
    """Return (term, text) for each thing a reader must know to judge the numbers."""
    styles = [(results.styles.get(s.system) or results.styles.get(s.system.uncalibrated), s) for s in results.systems]
    by_label = {style.label: scored for style, scored in styles if style}
    texts = [
        ("Enrolment", _by_system({label: _enrolment(s) for label, s in by_label.items()})),
        ("Embedding", _by_system({label: _crops(s) for label, s in by_label.items()})),
        ("Trials", _trials(results.systems, results.measurements)),
        ("Non-targets", _nontargets(results.systems[0], is_speech=results.wording.is_speech)),
    ]
    if any(condition.recipe and condition.recipe.babble for condition in results.conditions):
        texts.append(("Babble", _BABBLE))
    return texts


def contradiction(measurements: Sequence[Measurement]) -> str | None:
    """Return the warning that labels and manifest disagree, where they do."""
    worst = max(measurements, key=lambda m: m.contradictory)
    if not worst.contradictory:
        return None
    return (
        f"The manifest contradicts the label of {worst.contradictory:,} of {worst.trials:,} trials: targets of two "
        "speakers, or non-targets of one. They count by their label, but not in the intervals."
    )


_BABBLE = (
    "Mixed from the voices of other speakers than the one tested. Where these are drawn from the scored speakers, the "
    "babble of a non-target trial may contain the voice of the enrolled speaker."
)


def _enrolment(scored: ScoredSystem) -> str:
    return (
        f"Always from the view “{scored.origin.enrolment_view}”; test utterances are from the view of the condition. "
        "An enhancer is applied to both."
    )


def _crops(scored: ScoredSystem) -> str:
    count, length_s = scored.origin.crops, scored.origin.crop_s
    each = f" of {length_s:g} s" if length_s is not None else ""
    if count == 1:  # of no one length: whole utterances, or what another program embedded
        return f"One {'crop' + each if each else 'vector'} per utterance, scaled to unit length."
    return f"Mean of {count} crops{each} per utterance, each scaled to unit length first."


def _trials(systems: Sequence[ScoredSystem], measurements: Sequence[Measurement]) -> str:
    per_condition = {(m.trials, m.targets) for m in measurements}
    if len(per_condition) == 1:
        trials, targets = next(iter(per_condition))
        text = f"{trials:,} labelled trials per condition, {targets:,} of them targets."
    else:
        counts = [m.trials for m in measurements]
        text = f"{min(counts):,} to {max(counts):,} labelled trials per condition; see metrics.csv."
    unlabelled = max(m.unlabelled for m in measurements)
    left_out = max(scored.origin.left_out for scored in systems)
    if unlabelled:
        text += f" Unlabelled trials, scored but in no metric: {unlabelled:,} per condition at most."
    if left_out:
        text += f" Left out because their utterances have no embedding: {left_out:,}."
    return text


def _nontargets(scored: ScoredSystem, *, is_speech: bool) -> str:
    text = (
        "Speakers are paired regardless of gender and age, unless the trial list keeps these apart; that is easier "
        "than within one gender."
    )
    if not is_speech:
        text = "Speakers are paired whatever they are, unless the trial list keeps some apart."
    pairs_N2 = np.sort(np.concatenate([trials.nontarget_speakers_N2 for trials in scored.trials.values()]), axis=1)
    known = np.unique(pairs_N2[pairs_N2[:, 0] >= 0], axis=0)
    speakers = np.unique(known).size
    if not speakers:
        return text
    return f"{text} {len(known):,} of {speakers * (speakers - 1) // 2:,} possible pairs of speakers occur."


def _by_system(texts: Mapping[str, str]) -> str:
    """Join the texts on each system; what holds for all is said once."""
    groups: dict[str, list[str]] = {}
    for label, text in texts.items():
        groups.setdefault(text, []).append(label)
    if len(groups) == 1:
        return next(iter(groups))
    return " ".join(f"{listed(labels)}: {text}" for text, labels in groups.items())
