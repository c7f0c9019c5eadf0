"""`audit`: pass over a store block by block, judge it by rules, and say so in words, as JSON and as one page."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stages.auditing import against as others
from stages.auditing.blocks import Place, Source, named, unit, utterance_vectors
from stages.auditing.duplicates import EXACT, confirmed, equal_pairs, hashed_pairs, near_pairs
from stages.auditing.facts import Against, Facts, Twin
from stages.auditing.finding import FAILED, PASSED, SKIPPED, Finding
from stages.auditing.provenance import Manifest, Remade, check_manifest, manifest_path, rejects_of, remake
from stages.auditing.review import review, whitened
from stages.auditing.rules import RULES, judge
from stages.auditing.shards import captured
from stages.auditing.speakers import alike, cohesion, exchanged
from stages.auditing.survey import Survey, in_order, survey
from stages.execution import Execute, in_process
from store import ConfigError, ReseedError, undamaged

_LISTED = 20


@dataclass(frozen=True)
class Audit:
    """What an audit has found.

    Attributes:
        failed_on: the rules of `fail_on` that failed.
    """

    store: Path
    fingerprint: str
    findings: list[Finding]
    failed_on: list[str]
    page: Path | None

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
    """Audit a store; memory is that of some blocks, of 24 to 48 bytes per utterance, and of one vector per speaker.

    Args:
        against: another store: training against evaluation, another version of this one, or what it was made from.
        relation: which of these it is, "leakage", "versions" or "parent"; none: told from lineage and shared ids.
        replay: how many shards one row is made again of, where the recordings are there.
        fail_on: rules, or "any".
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
    found = gather(store, against, relation, replay, execute, folder=page.resolve().parent if page else None)
    findings = judge(found)
    failed = [finding.rule for finding in findings if finding.status == FAILED]
    on = failed if "any" in fail_on else [rule for rule in failed if rule in fail_on]
    audited = Audit(store, found.source.header.fingerprint, findings, on, page)
    if page is not None:
        from stages.auditing.page import write_page  # matplotlib takes seconds

        write_page(page, found, findings, audited.verdict)
    return audited


def gather(
    store: Path, against: Path | None, relation: str | None, replay: int, execute: Execute, folder: Path | None
) -> Facts:
    """Make the passes over a store, and over the other one."""
    opened, problems = undamaged(store)
    source = Source(store, opened.header)
    seen = survey(source, execute)
    speakers = whitened(seen)
    by_hashing = source.utterances > EXACT
    reviewed = review(source, seen, speakers, execute, by_hashing=by_hashing, folder=folder)
    rejects, nearest = rejects_of(store), alike(reviewed, speakers)
    return Facts(
        path=store,
        source=source,
        problems=problems,
        survey=seen,
        review=reviewed,
        speakers=speakers,
        rejects=rejects,
        captured=captured(seen.sketches),
        alike=nearest,
        exchanged=exchanged(source, seen, speakers, nearest),
        within=cohesion(reviewed, speakers),
        twins=_twins(source, seen, in_order(reviewed.signatures) if by_hashing else None),
        by_hashing=by_hashing,
        manifest=_manifest(store, source, seen, rejects),
        remade=_remade(store, source, replay),
        against=None if against is None else _against(source, seen, against, relation, execute, folder),
        heard=_heard(source, seen),
    )


def _twins(source: Source, seen: Survey, signature_UW: NDArray[np.uint64] | None) -> list[Twin]:
    """Find the utterances of a store that are one recording."""
    mean_D = seen.whole.mean_D.astype(np.float32)

    def centred(rows: NDArray[np.int64]) -> NDArray[np.float32]:
        return unit(utterance_vectors(source, rows) - mean_D)

    equal = equal_pairs(in_order(seen.vector_hash))
    hashed = signature_UW is not None
    near = hashed_pairs(signature_UW) if hashed else near_pairs(centred(np.arange(source.utterances)))
    pairs = np.unique(np.sort(np.concatenate([equal, near]), axis=1), axis=0)
    pairs, cosines = confirmed(pairs, centred)
    return _named_twins(source, source, pairs, cosines, {(min(pair), max(pair)) for pair in equal.tolist()})


def _named_twins(
    own: Source, other: Source, pairs: NDArray[np.int64], cosines: NDArray[np.float32], equal: set[tuple[int, int]]
) -> list[Twin]:
    first, second = named(own, pairs[:, 0]), named(other, pairs[:, 1])
    return [
        Twin(one[0], two[0], float(cosine), (pair[0], pair[1]) in equal)
        for one, two, cosine, pair in zip(first, second, cosines, pairs.tolist(), strict=True)
    ]


def _manifest(store: Path, source: Source, seen: Survey, rejects: Any) -> Manifest | str:
    path = manifest_path(store, source.header)
    if path is None:
        return "It names no manifest, or none that is still there"
    try:
        return check_manifest(path, source, seen, rejects)
    except (ReseedError, OSError, ValueError, KeyError) as error:
        return f"{path} cannot be read ({error})"


def _remade(store: Path, source: Source, shards: int) -> list[Remade] | str:
    if not shards:
        return "not asked for"
    try:
        return list(remake(store, source, shards))
    except (ReseedError, OSError) as error:
        return str(error)


def _against(
    source: Source, seen: Survey, path: Path, relation: str | None, execute: Execute, folder: Path | None
) -> Against:
    opened, _ = undamaged(path)
    other = Source(path, opened.header)
    theirs = survey(other, execute)
    here, there = others.shared_utterances(seen, theirs)
    is_a = relation or others.relation(source.header, other.header, len(here))
    shared_names = sorted(seen.speakers.keys() & theirs.speakers.keys())
    mine, their_rows = others.relabelled(seen, theirs, here, there)
    labels = zip(named(source, mine[:_LISTED]), named(other, their_rows[:_LISTED]), strict=True)
    twins = None
    if is_a == others.LEAKAGE and other.header.declaration.space == source.header.declaration.space:
        twins = _common(source, seen, other, theirs)
    return Against(
        path=path,
        space=other.header.declaration.space,
        relation=is_a,
        shared_ids=(len(here), [name for name, _ in named(source, here[:_LISTED])]),
        shared_speakers=(len(shared_names), shared_names[:_LISTED]),
        relabelled=(len(mine), [(name, str(own), str(their)) for (name, own), (_, their) in labels]),
        twins=twins,
        comparison=None if is_a == others.LEAKAGE else others.compare(source, other, theirs, execute, folder),
    )


def _common(source: Source, seen: Survey, other: Source, theirs: Survey) -> list[Twin]:
    """Find utterances of two stores that are one recording: by all pairs, or beyond that by equal bits."""
    _, here, there = np.intersect1d(in_order(seen.vector_hash), in_order(theirs.vector_hash), return_indices=True)
    equal = np.stack([here, there], axis=1)
    mean_D = seen.whole.mean_D.astype(np.float32)
    pairs = equal
    if source.utterances * other.utterances <= EXACT**2:
        mine, their = (unit(utterance_vectors(kind, np.arange(kind.utterances)) - mean_D) for kind in (source, other))
        pairs = np.unique(np.concatenate([equal, near_pairs(mine, their)]), axis=0)
    first, second = utterance_vectors(source, pairs[:, 0]), utterance_vectors(other, pairs[:, 1])
    cosines = np.einsum("pd,pd->p", unit(first - mean_D), unit(second - mean_D))
    return _named_twins(source, other, pairs, cosines, {(a, b) for a, b in equal.tolist()})


def _heard(source: Source, seen: Survey) -> dict[str, Place]:
    """Return a row with each sound that the worst rows name, and of the first block."""
    heard = {noise: row.place for rows in seen.farthest.values() for row in rows for noise in row.noise_ids}
    if source.blocks:
        rows = source.read(0)
        for number, noises in enumerate(rows.sounds("noise_ids")):
            for noise in noises or ():
                heard.setdefault(noise, rows.place(number))
    return heard
