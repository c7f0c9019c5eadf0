"""Rules on who speaks: one recording under two ids, one person under two, two persons under one.

Thresholds were set on real recordings, where sound stores stay well clear of them and planted faults do not.
"""

from typing import Any

import numpy as np

from reseed.stages.auditing.duplicates import EXACT, MOST_PAIRS, NEAR
from reseed.stages.auditing.facts import Facts
from reseed.stages.auditing.finding import FAILED, LISTED, PASSED, SKIPPED, Finding, heard, quantile
from reseed.stages.auditing.review import KEPT, MARGIN_EDGES
from reseed.stages.auditing.speakers import FALLS_APART, MOST
from reseed.stages.common.prose import counted, first_few

_WRONG_SIDE = 1.5  # times the middle margin, on the other speaker's side
_TENTH = 1.2816  # standard deviations from the middle of a normal distribution to its lowest tenth
_UNLIKELY = 6.5  # standard deviations of the margin below the middle, and nearer to the other speaker
_ONE_PERSON = 0.95
_CROSSED = 1.3  # times better than by their labels do the utterances of two speakers hold together otherwise

_NO_LABELS = "There are no two speakers with three utterances or more."


def duplicates(facts: Facts) -> Finding:
    rows: list[dict[str, Any]] = []
    how = f"by hashing, beyond {EXACT:,}" if facts.by_hashing else "of every pair"
    for twin in facts.twins:
        found = "equal bits" if twin.is_exact else f"cosine {twin.cosine:.4f}, centred"
        told = {"utterance": twin.first, "again as": twin.second, "found by": found}
        rows.append(heard(facts, facts.place(twin.second), told))
    known = {frozenset((twin.first, twin.second)) for twin in facts.twins}
    pairs = len(facts.twins)
    if not isinstance(facts.manifest, str):
        count, listed = facts.manifest.twins
        for first, second in listed:
            if frozenset((first, second)) not in known:
                rows.append({"utterance": first, "again as": second, "found by": "one recording in the manifest"})
        pairs = max(pairs, count)
    if rows:
        most = "At least " if len(facts.twins) >= MOST_PAIRS else ""
        says = f"{most}{counted(pairs, 'pair')} of ids for one recording."
        return Finding("duplicates", FAILED, says, rows[: 2 * LISTED])
    says = f"No two of {facts.survey.whole.count:,} utterances have a centred cosine of {NEAR} ({how})."
    return Finding("duplicates", PASSED, says)


def speakers(facts: Facts) -> Finding:
    if not facts.within:
        return Finding("speakers", SKIPPED, _NO_LABELS)
    middle = float(np.median(list(facts.within.values())))
    loose = sorted((value, name) for name, value in facts.within.items() if value < FALLS_APART * middle)
    usual = f"the middle cosine of two utterances of one speaker is {middle:.2f}"
    rows = [
        heard(facts, facts.first_of.get(name), {"speaker": name, "mean cosine within": round(value, 3)})
        for value, name in loose[:LISTED]
    ]
    if loose:
        says = f"{counted(len(loose), 'speaker')} falling apart: {first_few(name for _, name in loose)}; {usual}."
        return Finding("speakers", FAILED, says, rows)
    lowest = min(facts.within, key=lambda name: (facts.within[name], name))
    says = f"{counted(len(facts.within), 'speaker')} judged; {usual}, the lowest {facts.within[lowest]:.2f} ({lowest})."
    return Finding("speakers", PASSED, says)


def labels(facts: Facts) -> Finding:
    if len(facts.speakers.names) < 2:
        return Finding("labels", SKIPPED, _NO_LABELS)
    least, usual = _wrong_side(facts)
    wrong = [found for found in facts.review.doubtful if found.margin < least]
    most = "at least " if len(wrong) == KEPT else ""
    exchanged = [f"{one} and {other}" for one, other, better in facts.exchanged if better >= _CROSSED]
    rows = [
        {
            "utterance": found.utterance_id,
            "speaker": found.speaker_id,
            "cosine": round(found.own, 3),
            "nearer to": found.other_id,
            "cosine there": round(found.other, 3),
        }
        for found in facts.review.doubtful[:LISTED]
    ]
    rows = [heard(facts, facts.place(row["utterance"]), row) for row in rows]
    parts = [
        f"{most}{counted(len(wrong), 'utterance')} far on another's side: {first_few(f.utterance_id for f in wrong)}"
        if wrong
        else "",
        f"speakers exchanged in part: {first_few(exchanged)}" if exchanged else "",
    ]
    if any(parts):
        return Finding("labels", FAILED, f"{'; '.join(filter(None, parts))} ({usual}).", rows)
    return Finding("labels", PASSED, f"{usual[0].upper()}{usual[1:]}; none lies far.", rows)


def _wrong_side(facts: Facts) -> tuple[float, str]:
    """Return the margin below which a label is taken for wrong, and what is usual."""
    margin_H = facts.review.margin_H
    middle, low = (quantile(margin_H, MARGIN_EDGES, share) for share in (0.5, 0.1))
    if middle is None or low is None:
        return -np.inf, "only the utterances least like their own speakers were compared with others"
    spread = (middle - low) / _TENTH  # by the lower half, so that a few wrong labels do not widen it
    nearer = int(margin_H[MARGIN_EDGES[1:] <= 0].sum())
    usual = f"{nearer:,} of {int(margin_H.sum()):,} utterances lie nearer to another speaker"
    return min(0.0, max(-_WRONG_SIDE * middle, middle - _UNLIKELY * spread)), usual


def people(facts: Facts) -> Finding:
    if not facts.alike:
        many = len(facts.speakers.names) > MOST
        return Finding("people", SKIPPED, f"More than {MOST:,} speakers are not compared." if many else _NO_LABELS)
    one = [pair for pair in facts.alike if pair[2] >= _ONE_PERSON]
    rows = [
        {"speaker": first, "sounds like": second, "as like as to itself": f"{ratio:.0%}", "utterances": count}
        for first, second, ratio, count in facts.alike[:LISTED]
    ]
    rows = [heard(facts, facts.first_of.get(row["sounds like"]), row) for row in rows]
    if one:
        named = "; ".join(f"{first} and {second}" for first, second, _, _ in one[:LISTED])
        return Finding("people", FAILED, f"{counted(len(one), 'pair')} of ids like one person: {named}.", rows)
    first, second, ratio, _ = facts.alike[0]
    return Finding(
        "people", PASSED, f"{first} and {second} come nearest, {ratio:.0%} as alike as each to itself.", rows
    )
