"""Rules on where a store comes from, and on what it is to another one.

Thresholds were set on real recordings, where sound stores stay well clear of them and planted faults do not.
"""

import re
from collections import Counter
from collections.abc import Sequence
from typing import Any

from reseed.stages.auditing.against import LEAKAGE, PARENT, VERSIONS
from reseed.stages.auditing.blocks import Place
from reseed.stages.auditing.facts import Against, Facts
from reseed.stages.auditing.finding import FAILED, LISTED, PASSED, SKIPPED, Finding, heard
from reseed.stages.common.prose import counted, first_few

_REJECTED = 0.05
_REMADE = 0.999
_SAME = 0.999
_PATH = re.compile(r"^.*[/\\][^/\\]*?(\.\w{1,5})?\s+(?=\w)")

_NOT_COMPARED = "No other store was given with --against."


def coverage(facts: Facts) -> Finding:
    header = facts.source.header
    reasons = Counter(_reason(reject.reason) for reject in facts.rejects)
    rows = [{"reason": reason, "utterances": count} for reason, count in reasons.most_common(LISTED)]
    says = f"{header.stored:,} utterances stored, {header.rejected:,} rejected, of {header.expected:,}."
    if isinstance(facts.manifest, str):
        missing = 0
    else:
        missing, first = facts.manifest.missing
        rows += [{"reason": "neither stored nor rejected", "utterance": name} for name in first[:LISTED]]
    if missing:
        says += f" {counted(missing, 'utterance')} of its manifest neither stored nor rejected."
    failed = missing or header.rejected > _REJECTED * max(header.expected, 1)
    return Finding("coverage", FAILED if failed else PASSED, says, rows)


def manifest(facts: Facts) -> Finding:
    found = facts.manifest
    if isinstance(found, str):
        return Finding("manifest", SKIPPED, found)
    (relabelled, labels), (unlisted, strangers) = found.relabelled, found.unlisted
    rows = [
        heard(facts, facts.place(name), {"utterance": name, "speaker here": here, "in the manifest": there})
        for name, here, there in labels[:LISTED]
    ]
    rows += [{"utterance": name, "in the manifest": "not listed"} for name in strangers[:LISTED]]
    exchanged = sorted({(here, there) for _, here, there in labels if here < there and (there, here) in _pairs(labels)})
    parts = [
        f"{counted(relabelled, 'utterance')} stored under another speaker than the manifest says" if relabelled else "",
        f"{counted(unlisted, 'stored utterance')} not listed there" if unlisted else "",
    ]
    if any(parts):
        swapped = f" Exchanged: {first_few(f'{one} and {other}' for one, other in exchanged)}." if exchanged else ""
        return Finding("manifest", FAILED, f"{'; '.join(filter(None, parts))}.{swapped}", rows)
    if not found.is_as_then:
        says = f"Speakers are those of {found.path}; it, or the store, was changed since, so ids are not compared."
        return Finding("manifest", PASSED, says)
    return Finding("manifest", PASSED, f"All stored ids and speakers are those of {found.path}.")


def replay(facts: Facts) -> Finding:
    if isinstance(facts.remade, str):
        return Finding("replay", SKIPPED, f"Nothing was made again: {facts.remade}.")
    unmade = [made for made in facts.remade if made.cosine is None]
    cosines = [made.cosine for made in facts.remade if made.cosine is not None]
    if not cosines:
        why = unmade[0].problem if unmade else "there are no rows"
        return Finding("replay", SKIPPED, f"Nothing was made again: {why}.")
    others = [made for made in facts.remade if made.cosine is not None and not made.cosine >= _REMADE]
    rows = [
        heard(
            facts,
            Place(made.utterance_id, made.view, made.crop),
            {
                "shard": made.shard,
                "utterance": made.utterance_id,
                "view": made.view,
                "cosine": "" if made.cosine is None else round(made.cosine, 6),
                "problem": made.problem,
            },
        )
        for made in (*others, *unmade)
    ]
    rest = f"; {counted(len(unmade), 'row')} could not be made" if unmade else ""
    if others:
        where = first_few(dict.fromkeys(made.shard for made in others))
        says = f"{len(others)} of {len(cosines)} rows made again are not the stored ones, in {where}{rest}."
        return Finding("replay", FAILED, says, rows[:LISTED])
    says = f"{counted(len(cosines), 'row')} made again; the lowest cosine is {min(cosines):.6f}{rest}."
    return Finding("replay", PASSED, says, rows[:LISTED])


def leakage(facts: Facts) -> Finding:
    other = facts.against
    if other is None:
        return Finding("leakage", SKIPPED, _NOT_COMPARED)
    if other.relation != LEAKAGE:
        return Finding("leakage", SKIPPED, f"{_taken(other)}, not for its evaluation (--relation leakage).")
    parts = [
        f"{counted(count, what)} ({first_few(names)})" if count else ""
        for what, (count, names) in (("utterance id", other.shared_ids), ("speaker id", other.shared_speakers))
    ]
    twins = [twin for twin in other.twins or () if twin.first != twin.second]
    parts.append(f"{counted(len(twins), 'recording')} under another id" if twins else "")
    rows = [
        heard(
            facts,
            facts.place(twin.first),
            {"utterance": twin.first, "there": twin.second, "cosine": round(twin.cosine, 5)},
        )
        for twin in twins[:LISTED]
    ]
    rows += [{"utterance": name, "there": name} for name in other.shared_ids[1][:LISTED]]
    unseen = ""
    if other.twins is None:
        unseen = f" Vectors are of {other.space} there and cannot be compared."
    elif not other.thorough:
        unseen = " Of so many vectors only equal bits were looked for."
    if any(parts):
        return Finding("leakage", FAILED, f"{other.path} shares {', '.join(filter(None, parts))}.{unseen}", rows)
    return Finding("leakage", PASSED, f"Nothing is shared with {other.path}.{unseen}")


def versions(facts: Facts) -> Finding:
    other = facts.against
    if other is None or other.comparison is None:
        says = _NOT_COMPARED if other is None else f"{_taken(other)} (--relation versions or parent says otherwise)."
        return Finding("versions", SKIPPED, says)
    compared = other.comparison
    relabelled, labels = other.relabelled
    who = f"{counted(relabelled, 'utterance')} under another speaker ({first_few(label[0] for label in labels)})"
    if not compared.count:
        return Finding("versions", SKIPPED, f"{other.path} has no utterance with a direction in common with it.")
    alike = f"similarity of the clean spaces (linear CKA) {compared.similarity:.3f}"
    rows = _compared_rows(facts)
    same_space = other.relation == VERSIONS and other.space == facts.source.header.declaration.space
    moved = [row for row in compared.farthest if row.value < _SAME] if same_space else []
    if moved or labels:
        means = {view: tally.mean for view, tally in compared.drift.items()}
        worst = min(means, key=lambda view: means[view]) if means else ""
        drifted = f"vectors of one space differ, most in {worst} (mean cosine {means[worst]:.4f})" if moved else ""
        says = "; ".join(filter(None, [drifted, who if labels else "", alike]))
        return Finding("versions", FAILED, f"{says[0].upper()}{says[1:]}.", rows)
    if same_space:
        return Finding("versions", PASSED, f"Vectors of the same rows are the same; {alike}.", rows)
    what = "It was made from that store" if other.relation == PARENT else f"That store is of {other.space}"
    return Finding("versions", PASSED, f"{what}; {alike}.", rows)


def _compared_rows(facts: Facts) -> list[dict[str, Any]]:
    """Return cosines by view, then the rows that differ most."""
    other = facts.against
    assert other is not None
    assert other.comparison is not None
    compared, rows = other.comparison, []
    for view, tally in compared.drift.items():
        row: dict[str, Any] = {"view": view, "rows": tally.count, "mean cosine": round(tally.mean, 4)}
        if view in compared.residual and other.relation == PARENT:
            row["with clean, before"] = round(compared.before[view].mean, 4)
            row["with clean, after"] = round(compared.residual[view].mean, 4)
        rows.append(row)
    for found in compared.farthest if other.relation == VERSIONS else ():
        told = {"utterance": found.place.utterance_id, "view": found.place.view, "cosine": round(found.value, 5)}
        rows.append(heard(facts, found.place, told))
    return rows


def _taken(other: Against) -> str:
    kinds = {
        LEAKAGE: "training or evaluation beside it",
        VERSIONS: "another version of it",
        PARENT: "what it was made from",
    }
    return f"{other.path} is {'taken for ' if other.is_assumed else ''}{kinds[other.relation]}"


def _pairs(labels: Sequence[tuple[str, str, str]]) -> set[tuple[str, str]]:
    return {(here, there) for _, here, there in labels}


def _reason(text: str) -> str:
    """Leave out of a reason what differs from file to file."""
    return re.sub(r"\d+(\.\d+)?", "#", _PATH.sub("", text)).strip()
