"""Rules on where a store comes from, and on what it is to another one.

Thresholds were set on real recordings, where sound stores stay well clear of them and planted faults do not.
"""

import re
from collections import Counter
from collections.abc import Sequence
from typing import Any

from stages.auditing.against import LEAKAGE, PARENT, VERSIONS
from stages.auditing.blocks import Place
from stages.auditing.facts import Facts
from stages.auditing.finding import FAILED, LISTED, PASSED, SKIPPED, Finding, counted, hear, named

_REJECTED = 0.05
_REMADE = 0.999
_SAME = 0.999

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
    rows: list[dict[str, Any]] = [
        {"utterance": name, "speaker here": here, "in the manifest": there} for name, here, there in labels[:LISTED]
    ]
    rows += [{"utterance": name, "in the manifest": "not listed"} for name in strangers[:LISTED]]
    exchanged = sorted({(here, there) for _, here, there in labels if here < there and (there, here) in _pairs(labels)})
    parts = [
        f"{counted(relabelled, 'utterance')} stored under another speaker than the manifest says" if relabelled else "",
        f"{counted(unlisted, 'stored utterance')} not listed there" if unlisted else "",
    ]
    if any(parts):
        swapped = f" Exchanged: {named(f'{one} and {other}' for one, other in exchanged)}." if exchanged else ""
        return Finding("manifest", FAILED, f"{'; '.join(filter(None, parts))}.{swapped}", rows)
    return Finding("manifest", PASSED, f"All stored ids and speakers are those of {found.path}.")


def replay(facts: Facts) -> Finding:
    if isinstance(facts.remade, str):
        return Finding("replay", SKIPPED, f"Nothing was made again: {facts.remade}.")
    rows = [
        {
            "shard": made.shard,
            "utterance": made.utterance_id,
            "view": made.view,
            "cosine": "" if made.cosine is None else round(made.cosine, 6),
            "problem": made.problem,
            "hear": hear(facts.path, Place(made.utterance_id, made.view, made.crop)),
        }
        for made in facts.remade
    ]
    others = [row for row, made in zip(rows, facts.remade, strict=True) if not _is_same(made.cosine)]
    if others:
        where = named(dict.fromkeys(str(row["shard"]) for row in others))
        says = f"{len(others)} of {len(rows)} rows made again are not the stored ones, in {where}."
        return Finding("replay", FAILED, says, others[:LISTED])
    lowest = min(made.cosine for made in facts.remade if made.cosine is not None) if rows else 1.0
    return Finding("replay", PASSED, f"{counted(len(rows), 'row')} made again; the lowest cosine is {lowest:.6f}.")


def leakage(facts: Facts) -> Finding:
    other = facts.against
    if other is None or other.relation != LEAKAGE:
        return Finding("leakage", SKIPPED, _NOT_COMPARED if other is None else f"{other.path} is its {other.relation}.")
    parts = [
        f"{counted(count, what)} ({named(names)})" if count else ""
        for what, (count, names) in (("utterance id", other.shared_ids), ("speaker id", other.shared_speakers))
    ]
    known = set(other.shared_ids[1])
    twins = [twin for twin in other.twins or () if twin.first not in known]
    parts.append(f"{counted(len(twins), 'recording')} under another id" if twins else "")
    rows: list[dict[str, Any]] = [
        {"utterance": twin.first, "there": twin.second, "cosine": round(twin.cosine, 5)} for twin in twins[:LISTED]
    ]
    rows += [{"utterance": name, "there": name} for name in other.shared_ids[1][:LISTED]]
    if any(parts):
        return Finding("leakage", FAILED, f"{other.path} shares {', '.join(filter(None, parts))}.", rows)
    unseen = "" if other.twins is not None else f" Vectors are of {other.space} there and cannot be compared."
    return Finding("leakage", PASSED, f"Nothing is shared with {other.path}.{unseen}")


def versions(facts: Facts) -> Finding:
    other = facts.against
    if other is None or other.comparison is None:
        return Finding("versions", SKIPPED, _NOT_COMPARED if other is None else "The two stores are not versions.")
    compared, alike = other.comparison, f"similarity of the clean spaces (linear CKA) {other.comparison.similarity:.3f}"
    rows: list[dict[str, Any]] = []
    for view, tally in compared.drift.items():
        row: dict[str, Any] = {"view": view, "rows": tally.count, "mean cosine": round(tally.mean, 4)}
        if view in compared.residual and other.relation == PARENT:
            row["with clean, before"] = round(compared.before[view].mean, 4)
            row["with clean, after"] = round(compared.residual[view].mean, 4)
        rows.append(row)
    relabelled, labels = other.relabelled
    who = f"; {counted(relabelled, 'utterance')} under another speaker ({named(f[0] for f in labels)})" * bool(labels)
    if other.relation == VERSIONS and other.space == facts.source.header.declaration.space:
        moved = {view: tally.mean for view, tally in compared.drift.items() if tally.mean < _SAME}
        if moved or labels:
            worst = min(moved, key=lambda view: moved[view]) if moved else ""
            drifted = f"Vectors of one space differ, most in {worst} (mean cosine {moved[worst]:.4f})" if moved else ""
            return Finding("versions", FAILED, f"{drifted or 'Speakers differ'}{who}; {alike}.", rows)
        return Finding("versions", PASSED, f"Vectors of the same rows are the same; {alike}.", rows)
    what = "It was made from that store" if other.relation == PARENT else f"That store is of {other.space}"
    return Finding("versions", FAILED if labels else PASSED, f"{what}{who}; {alike}.", rows)


def _pairs(labels: Sequence[tuple[str, str, str]]) -> set[tuple[str, str]]:
    return {(here, there) for _, here, there in labels}


def _is_same(cosine: float | None) -> bool:
    return cosine is not None and cosine >= _REMADE


def _reason(text: str) -> str:
    """Leave out of a reason what differs from file to file."""
    return re.sub(r"\d+(\.\d+)?", "#", re.sub(r"^\S*[/\\]\S*\s+", "", text)).strip()
