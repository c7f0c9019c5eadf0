"""`audit`: pass over a store block by block, judge it by rules, and say so in words, as JSON and as one page."""

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reseed.stages.auditing import against as others
from reseed.stages.auditing.blocks import Place, Source, centred_vectors, hashed_ids, identities
from reseed.stages.auditing.duplicates import EXACT, MOST_PAIRS, confirmed, equal_pairs, hashed_pairs, near_pairs
from reseed.stages.auditing.facts import Against, Facts, Twin
from reseed.stages.auditing.finding import FAILED, PASSED, SKIPPED, Finding
from reseed.stages.auditing.measures import measures
from reseed.stages.auditing.provenance import Manifest, Remade, check_manifest, manifest_path, rejects_of, remake
from reseed.stages.auditing.review import review, whitened
from reseed.stages.auditing.rules import RULES, judge
from reseed.stages.auditing.shards import captured
from reseed.stages.auditing.speakers import alike, cohesion, exchanged
from reseed.stages.auditing.survey import Survey, in_order, survey
from reseed.stages.common.execution import Execute, in_process
from reseed.stages.extraction.lineage import derived_from, extracted
from reseed.store import ConfigError, EmbeddingStore, Header, Reject, ReseedError, StoreError, undamaged

_LISTED = 20
_STRETCH = 65_536


@dataclass(frozen=True)
class Audit:
    """What an audit has found.

    Attributes:
        failed_on: the rules of `fail_on` that failed.
        measures: the figures behind it, see `reseed.stages.auditing.measures`.
    """

    store: Path
    fingerprint: str
    findings: list[Finding]
    failed_on: list[str]
    page: Path | None
    measures: dict[str, Any]

    @property
    def verdict(self) -> str:
        """One sentence."""
        by = {status: [f.rule for f in self.findings if f.status == status] for status in (PASSED, FAILED, SKIPPED)}
        held = f"{len(by[PASSED])} rules hold, {len(by[SKIPPED])} could not be checked"
        if by[FAILED]:
            return f"Do not trust {self.store} as it is: {', '.join(by[FAILED])} failed; {held}."
        return f"Nothing speaks against {self.store}: {held}."

    def facts(self) -> dict[str, Any]:
        """Return it as JSON."""
        return {
            "store": str(self.store),
            "fingerprint": self.fingerprint,
            "verdict": self.verdict,
            "findings": [finding.facts() for finding in self.findings],
            "measures": self.measures,
            "page": None if self.page is None else str(self.page),
        }

    def summary(self) -> str:
        """Return it as lines."""
        lines = [f"{finding.status:8}{finding.rule:12}{finding.says}" for finding in self.findings]
        return "\n".join([self.verdict, *lines, *([f"page: {self.page}"] if self.page else [])])


def audit(
    *,
    store: Path,
    against: Path | None = None,
    relation: str | None = None,
    replay: int = 32,
    fail_on: tuple[str, ...] = (),
    page: Path | None = None,
    execute: Execute = in_process,
) -> Audit:
    """Audit a store; memory is that of some blocks, of about 150 bytes per utterance and of two vectors per speaker.

    Args:
        against: another store: training against evaluation, another version of this one, or what it was made from;
            none: what it was made from, where that is another store that is still there.
        relation: which of these it is, "leakage", "versions" or "parent"; none: told from lineage and shared ids.
        replay: how many shards one row is made again of, where the recordings are there.
        fail_on: rules, or "any"; a rule that is named and could not be checked counts as failed.
        page: HTML file to write.
        execute: calls a function for each block, here or on other machines that share the disk.

    Raises:
        StoreError: one of the two is no store, or its header is damaged.
        ConfigError: no such rule or relation.
    """
    unknown = [name for name in fail_on if name not in RULES and name != "any"]
    if unknown:
        raise ConfigError(f"no rule {unknown[0]!r}; choose any, or of {', '.join(RULES)}")
    if relation is not None and relation not in others.RELATIONS:
        raise ConfigError(f"no relation {relation!r}; choose one of {', '.join(others.RELATIONS)}")
    beside = None if execute is in_process else (page or store).resolve().parent
    found = gather(store, against, relation, replay, execute, folder=beside)
    findings = judge(found)
    failed = [finding.rule for finding in findings if finding.status == FAILED]
    passed = [finding.rule for finding in findings if finding.status == PASSED]
    on = [rule for rule in RULES if (rule in fail_on and rule not in passed) or ("any" in fail_on and rule in failed)]
    audited = Audit(store, found.source.header.fingerprint, findings, on, page, measures(found))
    if page is not None:
        from reseed.stages.auditing.page import write_page  # matplotlib takes seconds

        write_page(page, found, findings, audited.verdict, audited.measures)
    return audited


def gather(
    store: Path, against: Path | None, relation: str | None, replay: int, execute: Execute, folder: Path | None
) -> Facts:
    """Make the passes over a store, and over the other one."""
    header, problems = undamaged(store)
    source = Source(store, header)
    seen = survey(source, execute)
    speakers = whitened(seen)
    by_hashing = source.utterances > EXACT
    reviewed = review(source, seen, speakers, execute, by_hashing=by_hashing, folder=folder)
    rejects, origin = rejects_of(store), _origin(store)
    within = cohesion(reviewed, speakers)
    nearest = alike(reviewed, speakers, within)
    if against is None:
        against = _parent(store, header)
    return Facts(
        path=store,
        source=source,
        replayed=None if isinstance(origin, str) else origin.path,
        problems=problems,
        survey=seen,
        review=reviewed,
        speakers=speakers,
        rejects=rejects,
        twice=len(seen.ids) - len(np.unique(seen.ids)),
        captured=captured(seen.sketches),
        alike=nearest,
        exchanged=exchanged(source, seen, speakers, nearest),
        within=within,
        twins=_twins(source, seen, in_order(reviewed.signatures) if by_hashing else None),
        by_hashing=by_hashing,
        manifest=_manifest(origin, source, seen, rejects, is_whole=not problems),
        remade=_remade(source, origin, replay),
        against=None if against is None else _against(source, seen, against, relation, execute, folder),
        first_of=_first_of(source, seen, [*sorted(within, key=lambda name: within[name])[:_LISTED], *_named(nearest)]),
    )


def _origin(store: Path) -> EmbeddingStore | str:
    """Return the store that this one's rows were extracted into, or why there is none."""
    try:
        origin = extracted(store)
    except (ReseedError, OSError) as error:
        return str(error)
    heard = origin.header.declaration.parent("backbone") is not None
    return origin if heard else "it was not extracted from audio"


def _parent(store: Path, header: Header) -> Path | None:
    """Return what a store was made from, where that still lies there as it was."""
    try:
        return derived_from(store, header)
    except StoreError:
        return None


def _twins(source: Source, seen: Survey, signature_UW: NDArray[np.uint64] | None) -> list[Twin]:
    """Find the utterances of a store that are one recording."""
    mean_D = seen.whole.mean_D.astype(np.float32)
    centred = partial(centred_vectors, source, mean_D=mean_D)
    equal = equal_pairs(seen.bits)
    hashed = signature_UW is not None
    near = hashed_pairs(signature_UW) if hashed else near_pairs(centred(np.arange(source.utterances)))
    pairs = np.unique(np.sort(np.concatenate([equal, near]), axis=1), axis=0)
    pairs, cosines = confirmed(pairs, centred)
    return _named_twins(source, source, pairs, cosines, {(min(pair), max(pair)) for pair in equal.tolist()})


def _named_twins(
    own: Source, other: Source, pairs: NDArray[np.int64], cosines: NDArray[np.float32], equal: set[tuple[int, int]]
) -> list[Twin]:
    first, second = identities(own, pairs[:, 0]), identities(other, pairs[:, 1])
    return [
        Twin(one[0], two[0], float(cosine), (pair[0], pair[1]) in equal)
        for one, two, cosine, pair in zip(first, second, cosines, pairs.tolist(), strict=True)
    ]


def _manifest(
    origin: EmbeddingStore | str, source: Source, seen: Survey, rejects: list[Reject], *, is_whole: bool
) -> Manifest | str:
    path = None if isinstance(origin, str) else manifest_path(origin)
    if path is None or isinstance(origin, str):
        return "It names no manifest, or none that is still there."
    try:
        return check_manifest(path, origin, source, seen, rejects, is_whole)
    except (ReseedError, OSError, ValueError, KeyError) as error:
        return f"{path} cannot be read ({error})."


def _remade(source: Source, origin: EmbeddingStore | str, shards: int) -> list[Remade] | str:
    if not shards:
        return "it was not asked for"
    if isinstance(origin, str):
        return origin
    try:
        return list(remake(source, origin, shards))
    except (ReseedError, OSError) as error:
        return str(error)


def _against(
    source: Source, seen: Survey, path: Path, relation: str | None, execute: Execute, folder: Path | None
) -> Against:
    header, problems = undamaged(path)
    other = Source(path, header)
    theirs = survey(other, execute)
    here, there = others.shared_utterances(seen, theirs)
    is_a = relation or others.relation(source.header, other.header, len(here))
    spoken = others.shared_speakers(seen, theirs)
    mine, their_rows = others.relabelled(seen, theirs, here, there)
    labels = zip(identities(source, mine[:_LISTED]), identities(other, their_rows[:_LISTED]), strict=True)
    twins, thorough = None, True
    if is_a == others.LEAKAGE and other.header.declaration.space == source.header.declaration.space:
        twins, thorough = _common(source, seen, other, theirs)
    return Against(
        path=path,
        space=other.header.declaration.space,
        relation=is_a,
        is_assumed=relation is None,
        problems=problems,
        shared_ids=(len(here), [name for name, _ in identities(source, here[:_LISTED])]),
        shared_speakers=(len(spoken), sorted(str(speaker) for _, speaker in identities(source, spoken[:_LISTED]))),
        relabelled=(len(mine), [(name, str(own), str(their)) for (name, own), (_, their) in labels]),
        twins=twins,
        thorough=thorough,
        comparison=None if is_a == others.LEAKAGE else others.compare(source, other, theirs, execute, folder),
    )


def _common(source: Source, seen: Survey, other: Source, theirs: Survey) -> tuple[list[Twin], bool]:
    """Find utterances of two stores that are one recording: equal bits, and by all pairs where these are not too many.

    The smaller store is held in memory, the larger one read a stretch at a time.
    """
    mean_D = seen.whole.mean_D.astype(np.float32)
    _, here, there = np.intersect1d(seen.bits, theirs.bits, return_indices=True)
    equal = np.stack([here, there], axis=1)[:MOST_PAIRS]
    few, many, turned = (source, other, False) if source.utterances <= other.utterances else (other, source, True)
    thorough = few.utterances <= EXACT and few.utterances * many.utterances <= EXACT**2
    found = [equal]
    if thorough:
        held = centred_vectors(few, np.arange(few.utterances), mean_D)
        for first in range(0, many.utterances, _STRETCH):
            rows = np.arange(first, min(first + _STRETCH, many.utterances))
            near = near_pairs(held, centred_vectors(many, rows, mean_D)) + np.array([0, first])
            found.append(near[:, ::-1] if turned else near)
    pairs = np.unique(np.concatenate(found), axis=0)[:MOST_PAIRS]
    pairs, cosines = confirmed(
        pairs,
        partial(centred_vectors, source, mean_D=mean_D),
        partial(centred_vectors, other, mean_D=mean_D),
    )
    return _named_twins(source, other, pairs, cosines, {(a, b) for a, b in equal.tolist()}), thorough


def _named(pairs: list[tuple[str, str, float, int]]) -> list[str]:
    return [name for pair in pairs[:_LISTED] for name in pair[:2]]


def _first_of(source: Source, seen: Survey, names: list[str]) -> dict[str, Place]:
    """Return a row of each of some speakers."""
    marks, speakers = seen.labels, list(dict.fromkeys(names))
    rows = [int(np.argmax(marks == mark)) for mark in hashed_ids(speakers)]
    found = identities(source, np.array(rows, np.int64))
    view = source.views[source.judged]
    return {name: Place(utterance, view, 0) for name, (utterance, _) in zip(speakers, found, strict=True)}
