"""The rule that training and evaluation share nothing: no utterance, speaker, recording, noise, music or room.

Shapes: U and P utterances of the two stores, D embedding dimension.
"""

from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from reseed.stages.audio.manifest import Manifest
from reseed.stages.audio.shared import Shared, shared
from reseed.stages.auditing.duplicates import EXACT, Duplicate, duplicates_of, mean_of
from reseed.stages.auditing.evidence import Evidence, RuleGroup
from reseed.stages.auditing.finding import FAILED, LISTED, PASSED, SKIPPED, Finding, FirstFew, Offender
from reseed.stages.auditing.near_pairs import MOST_PAIRS, confirmed, near_pairs
from reseed.stages.auditing.other_store import LEAKAGE, NOT_COMPARED, OtherStore, other_store
from reseed.stages.auditing.utterances import Utterances
from reseed.stages.common.prose import counted, first_few
from reseed.stages.extraction.lineage import ancestry, find_path
from reseed.store import EmbeddingStore, ManifestError

_FIRST = 20
_ROLES = ("utterances", "babble", "noise", "music", "rir")
_STRETCH = 65_536


@dataclass(frozen=True)
class SharedRecordings:
    """Utterances of both stores that are one recording.

    Attributes:
        is_thorough: vectors were compared, not only their bits.
    """

    pairs: list[Duplicate]
    is_thorough: bool


@dataclass(frozen=True)
class SharedSounds:
    """What the recordings behind both stores have in common, by content, and a sentence on what was not compared."""

    found: list[Shared]
    unseen: str


def leakage(evidence: Evidence) -> Finding:
    """The other store shares no utterance, speaker, recording, noise, music or room."""
    other = evidence.conclude(other_store)
    if other is None:
        return Finding(SKIPPED, NOT_COMPARED)
    if other.relation != LEAKAGE:
        return Finding(SKIPPED, f"{other.says}, not for its evaluation (--relation leakage).")
    ids, speakers, recordings = _shared_ids(evidence, other), _shared_speakers(evidence, other), None
    unseen = f" Vectors are of {other.space} there and cannot be compared."
    if other.space == evidence.store.header.declaration.space:
        recordings = _shared_recordings(evidence, other)
        unseen = "" if recordings.is_thorough else " Of so many vectors only equal bits were looked for."
    renamed = [pair for pair in (recordings.pairs if recordings else ()) if pair.first != pair.second]
    heard = _shared_sounds(evidence, other, but_speech=bool(ids.count or renamed))
    unseen += heard.unseen
    parts = [
        f"{counted(ids.count, 'utterance id')} ({first_few(ids.first, ids.count)})" if ids.count else "",
        f"{counted(speakers.count, 'speaker id')} ({first_few(speakers.first, speakers.count)})"
        if speakers.count
        else "",
        f"{counted(len(renamed), 'recording')} under another id" if renamed else "",
        *map(str, heard.found),
    ]
    if not any(parts):
        return Finding(PASSED, f"Nothing is shared with {other.store.path}.{unseen}")
    rows: list[Offender] = [
        evidence.with_replay(
            {"utterance": pair.first, "there": pair.second, "cosine": round(pair.cosine, 5)},
            evidence.store.key(pair.first),
        )
        for pair in renamed[:LISTED]
    ]
    rows += [{"utterance": name, "there": name} for name in ids.first[:LISTED]]
    rows += [
        {"kind": each.evaluation, each.what: first, "there": second}
        for each in heard.found
        for first, second in each.examples[:LISTED]
    ]
    return Finding(FAILED, f"{other.store.path} shares {'; '.join(filter(None, parts))}.{unseen}", rows)


def _shared_ids(evidence: Evidence, other: OtherStore) -> FirstFew[str]:
    names = evidence.store.names(other.here[:_FIRST])
    return FirstFew(len(other.here), [name for name, _ in names])


def _shared_speakers(evidence: Evidence, other: OtherStore) -> FirstFew[str]:
    speakers, first = np.unique(evidence[Utterances].speakers, return_index=True)
    shared = first[(speakers != 0) & np.isin(speakers, other.utterances.speakers)]
    return FirstFew(len(shared), sorted(str(speaker) for _, speaker in evidence.store.names(shared[:_FIRST])))


def _shared_sounds(evidence: Evidence, other: OtherStore, *, but_speech: bool) -> SharedSounds:
    """Compare the manifests that both stores were extracted from, as far as they are there."""
    here, there = (
        {} if store is None else _manifests(store)
        for store in (evidence.ancestry.extracted, ancestry(other.store.path, other.store.header).extracted)
    )
    try:
        sides = ({role: Manifest(path) for role, (path, _) in side.items() if path.is_file()} for side in (there, here))
        found = shared(*sides)
    except ManifestError as error:
        return SharedSounds([], f" The recordings behind them cannot be compared ({error}).")
    found = [each for each in found if each.what != "speaker" and not (but_speech and each.evaluation == "utterances")]
    gone = [role for side in (here, there) for role, (path, _) in side.items() if not path.is_file()]
    digests = {digest for _, digest in there.values()}
    same = [role for role, (path, digest) in here.items() if role in gone and digest in digests]
    found += [Shared("manifest", role, role, 1, 1, [(role, role)]) for role in same]
    unseen = sorted({*gone} - {*same}) if here and there else ["one of them"]
    says = f" The manifests of {', '.join(unseen)} are not there to compare recordings by." if unseen else ""
    return SharedSounds(found, says)


def _manifests(store: EmbeddingStore) -> dict[str, tuple[Path, str]]:
    """Return where the manifests lie that a store was extracted from, and their digests of then, by role."""
    parents = {role: store.header.declaration.parent(role) for role in _ROLES}
    return {role: (find_path(found.path, store.path), found.digest) for role, found in parents.items() if found}


def _shared_recordings(evidence: Evidence, other: OtherStore) -> SharedRecordings:
    """Find recordings that are in both stores: by equal bits, and by all pairs where these are not too many.

    The smaller store is held in memory, the larger one read a stretch at a time.
    """
    mean_D, stores = mean_of(evidence), (evidence.store, other.store)
    _, here, there = np.intersect1d(evidence[Utterances].bits, other.utterances.bits, return_indices=True)
    equal = np.stack([here, there], axis=1)[:MOST_PAIRS]
    smaller, larger = sorted(stores, key=lambda store: store.utterances)
    is_thorough = smaller.utterances <= EXACT and smaller.utterances * larger.utterances <= EXACT**2
    found = [equal]
    if is_thorough:
        held_UD = smaller.centred_vectors(np.arange(smaller.utterances), mean_D)
        for first in range(0, larger.utterances, _STRETCH):
            rows = np.arange(first, min(first + _STRETCH, larger.utterances))
            near = near_pairs(held_UD, larger.centred_vectors(rows, mean_D)) + np.array([0, first])
            found.append(near if smaller is evidence.store else near[:, ::-1])
    pairs = np.unique(np.concatenate(found), axis=0)[:MOST_PAIRS]
    pairs, cosines = confirmed(pairs, *(partial(store.centred_vectors, mean_D=mean_D) for store in stores))
    return SharedRecordings(duplicates_of(*stores, pairs, cosines, equal), is_thorough)


GROUP = RuleGroup((leakage,))
