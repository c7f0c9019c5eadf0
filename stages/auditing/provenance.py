"""Rules on a store against the manifest it was made from: none is missing, and all are who it says they are.

Shapes: U stored utterances, M rows of the manifest.
"""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from reseed.stages.audio.manifest import MANIFEST, Manifest, manifest_digest
from reseed.stages.auditing.arrays import Hashes, Indices, hashed_ids
from reseed.stages.auditing.blocks import Name
from reseed.stages.auditing.evidence import Evidence, RuleGroup
from reseed.stages.auditing.finding import FAILED, LISTED, PASSED, SKIPPED, Finding, FirstFew, Offender, Unchecked
from reseed.stages.auditing.utterances import Utterances
from reseed.stages.common.prose import counted, first_few
from reseed.stages.extraction.allowed import Allowed
from reseed.stages.extraction.lineage import find_path
from reseed.store import EmbeddingStore, ManifestError, Reject, ReseedError

_REJECTED = 0.05
_BATCH = 65_536
_FIRST = 20
_NAMES = ("utterance_id", "speaker_id")
_RECORDING = ("sha256", "start_s", "duration_s", "channel")
_PATH = re.compile(r"^.*[/\\][^/\\]*?(\.\w{1,5})?\s+(?=\w)")


@dataclass(frozen=True)
class Relabelled:
    """An utterance whose speaker is another one in the manifest."""

    utterance_id: str
    here: str
    there: str


@dataclass(frozen=True)
class ManifestCheck:
    """What the manifest of a store says that the store does not.

    Attributes:
        is_unchanged: it is what the store was made from, and the store was not edited since; else nothing is said of
            what is missing or unlisted.
        missing: utterances it lists that are neither stored nor rejected.
        unlisted: stored ones that it does not list.
        same_recording: pairs of stored utterances that are one stretch of one recording.
    """

    path: Path
    is_unchanged: bool
    missing: FirstFew[str]
    unlisted: FirstFew[str]
    relabelled: FirstFew[Relabelled]
    same_recording: FirstFew[tuple[str, str]]


@dataclass(frozen=True)
class _Listed:
    """64 bits of each row of a manifest: its id, its speaker (0: none) and its stretch of a recording, [M]."""

    path: Path
    ids: Hashes
    speakers: Hashes
    recordings: Hashes

    def names(self, rows: Indices) -> list[Name]:
        """Return id and speaker of some rows."""
        if not len(rows):
            return []
        table = Manifest(self.path).table(_NAMES).take(pa.array(rows))
        return list(zip(*(table[name].to_pylist() for name in _NAMES), strict=True))


def manifest_check(evidence: Evidence) -> ManifestCheck | Unchecked:
    """Conclude what the manifest of the store that vectors were extracted into says."""
    origin = evidence.ancestry.extracted
    path = None if origin is None else _manifest_path(origin)
    if origin is None or path is None:
        return Unchecked("It names no manifest, or none that is still there.")
    try:
        Allowed(origin.path, evidence.recordings).check("utterances", path)
    except ManifestError as error:
        return Unchecked(f"{error}.")
    try:
        return _check(evidence, path, _is_unchanged(path, origin))
    except (ReseedError, OSError, ValueError, KeyError) as error:
        return Unchecked(f"{path} cannot be read ({error}).")


def rejects(evidence: Evidence) -> list[Reject]:
    """Return what a store has left out; nothing where the file cannot be read, which the rule on files says."""
    try:
        return evidence.store.vectors.rejects()
    except (ReseedError, OSError, pa.ArrowException):
        return []


def coverage(evidence: Evidence) -> Finding:
    """Few utterances were rejected, and none is missing."""
    header, check = evidence.store.header, evidence.conclude(manifest_check)
    reasons = Counter(_reason(reject.reason) for reject in evidence.conclude(rejects))
    rows: list[Offender] = [{"reason": reason, "utterances": count} for reason, count in reasons.most_common(LISTED)]
    says = f"{header.stored:,} utterances stored, {header.rejected:,} rejected, of {header.expected:,}."
    missing = FirstFew[str](0, []) if isinstance(check, Unchecked) else check.missing
    rows += [{"reason": "neither stored nor rejected", "utterance": name} for name in missing.first[:LISTED]]
    if missing.count:
        says += f" {counted(missing.count, 'utterance')} of its manifest neither stored nor rejected."
    failed = missing.count or header.rejected > _REJECTED * max(header.expected, 1)
    return Finding(FAILED if failed else PASSED, says, rows)


def manifest(evidence: Evidence) -> Finding:
    """Ids and speakers are those of the manifest."""
    check = evidence.conclude(manifest_check)
    if isinstance(check, Unchecked):
        return Finding(SKIPPED, check.reason)
    rows: list[Offender] = [
        evidence.with_replay(
            {"utterance": found.utterance_id, "speaker here": found.here, "in the manifest": found.there},
            evidence.store.key(found.utterance_id),
        )
        for found in check.relabelled.first[:LISTED]
    ]
    rows += [{"utterance": name, "in the manifest": "not listed"} for name in check.unlisted.first[:LISTED]]
    parts = [
        f"{counted(check.relabelled.count, 'utterance')} stored under another speaker than the manifest says"
        if check.relabelled.count
        else "",
        f"{counted(check.unlisted.count, 'stored utterance')} not listed there" if check.unlisted.count else "",
    ]
    if any(parts):
        pairs = _exchanged(check.relabelled.first)
        says = f"{'; '.join(filter(None, parts))}.{f' Exchanged: {first_few(pairs)}.' if pairs else ''}"
        return Finding(FAILED, says, rows)
    if not check.is_unchanged:
        says = f"Speakers are those of {check.path}; it, or the store, was changed since, so ids are not compared."
        return Finding(PASSED, says)
    return Finding(PASSED, f"All stored ids and speakers are those of {check.path}.")


def _check(evidence: Evidence, path: Path, is_unchanged: bool) -> ManifestCheck:
    """Compare the ids, speakers and recordings that a manifest lists with what is stored."""
    stored, listed = evidence[Utterances], _listed(path)
    left_out = hashed_ids([reject.utterance_id for reject in evidence.conclude(rejects)])
    is_stored = np.isin(listed.ids, stored.ids)
    is_whole = is_unchanged and not evidence.store.problems and not evidence.store.is_sample
    missing = np.flatnonzero(~is_stored & ~np.isin(listed.ids, left_out) & is_whole)
    unlisted = np.flatnonzero(~np.isin(stored.ids, listed.ids) & is_unchanged)
    _, here, there = np.intersect1d(stored.ids, listed.ids, return_indices=True)
    speaker, speaker_there = stored.speakers[here], listed.speakers[there]
    differ = np.flatnonzero((speaker != speaker_there) & (speaker != 0) & (speaker_there != 0))
    order = np.flatnonzero(is_stored)[np.argsort(listed.recordings[is_stored], kind="stable")]
    again = np.flatnonzero(listed.recordings[order][1:] == listed.recordings[order][:-1])
    first, second = (_ids(listed.names(order[again[:_FIRST] + step])) for step in (0, 1))
    names, others = evidence.store.names(here[differ[:_FIRST]]), listed.names(there[differ[:_FIRST]])
    return ManifestCheck(
        path,
        is_unchanged,
        FirstFew(len(missing), _ids(listed.names(missing[:_FIRST]))),
        FirstFew(len(unlisted), _ids(evidence.store.names(unlisted[:_FIRST]))),
        FirstFew(
            len(differ),
            [Relabelled(name, a or "", b or "") for (name, a), (_, b) in zip(names, others, strict=True)],
        ),
        FirstFew(len(again), list(zip(first, second, strict=True))),
    )


def _manifest_path(origin: EmbeddingStore) -> Path | None:
    """Return where the manifest of an extracted store lies; None where it names none, or none that is there."""
    parent = origin.header.declaration.parent("utterances")
    path = None if parent is None else find_path(parent.path, origin.path)
    return path if path is not None and path.exists() else None


def _is_unchanged(path: Path, origin: EmbeddingStore) -> bool:
    """Whether a manifest lists what it did when the store was made, and the store is as it was made."""
    declared = origin.header.declaration
    parent = declared.parent("utterances")
    return not declared.inputs.edits and parent is not None and manifest_digest(Manifest(path)) == parent.digest


def _listed(path: Path) -> _Listed:
    parts = [np.empty((3, 0), np.uint64)]
    with MANIFEST.open(path) as file:
        recording = [name for name in _RECORDING if name in file.schema_arrow.names]
        for batch in file.iter_batches(_BATCH, columns=[*_NAMES, *recording]):
            columns = batch.to_pydict()
            recordings = [str(row) for row in zip(*(columns[name] for name in recording), strict=True)]
            parts.append(np.stack(list(map(hashed_ids, (*(columns[name] for name in _NAMES), recordings)))))
    return _Listed(path, *np.concatenate(parts, axis=1))


def _ids(names: Sequence[Name]) -> list[str]:
    return [name for name, _ in names]


def _exchanged(relabelled: Sequence[Relabelled]) -> list[str]:
    """Name the pairs of speakers of which some utterances are here under the other one each."""
    pairs = {(found.here, found.there) for found in relabelled}
    return [f"{one} and {other}" for one, other in sorted(pairs) if one < other and (other, one) in pairs]


def _reason(text: str) -> str:
    """Leave out of a reason what differs from file to file."""
    return re.sub(r"\d+(\.\d+)?", "#", _PATH.sub("", text)).strip()


GROUP = RuleGroup((coverage, manifest))
