"""`audit`: pass over a store block by block, judge it by rules, and say so in words, as JSON and as one page."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from reseed.stages.auditing.blocks import AuditedStore
from reseed.stages.auditing.evidence import Evidence
from reseed.stages.auditing.finding import Audit
from reseed.stages.auditing.measures import measures
from reseed.stages.auditing.table import GROUPS, check_choices, failures, judge
from reseed.stages.auditing.workspace import workspace
from reseed.stages.common.execution import Execute, in_process
from reseed.stages.common.pages import check_page
from reseed.stages.common.terms import wording
from reseed.stages.extraction.lineage import ancestry
from reseed.store import ConfigError, undamaged
from reseed.store.header import read_header
from reseed.store.inputs import of_other_data
from reseed.store.outputs import check_apart
from reseed.store.url import AnyPath, Url


def audit(
    *,
    store: AnyPath,
    against: AnyPath | None = None,
    relation: str | None = None,
    replay: int = 32,
    shards: int | None = None,
    recordings: Sequence[Path | Url] = (),
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
        shards: look at so many shards alone, spread over the store: a sample of one that is too large. What is missing
            of its manifest is not said then, nor is it compared with another store. None: all.
        recordings: folders in which manifests and recordings may be opened, beside that of the store's run.
        fail_on: rules, or "any"; a rule that is named and could not be checked counts as failed. A damaged file fails
            an audit whether or not `files` is named.
        page: HTML file to write.
        execute: calls a function for each block, here or on other machines that share the disk.

    Raises:
        StoreError: one of the two is no store, or its header is damaged.
        ConfigError: no such rule or relation, or a sample is to be compared with another store.
    """
    check_choices(fail_on, relation)
    if shards is not None and against is not None:
        raise ConfigError("a sample of shards is compared with no other store; leave out --shards or --against")
    if page is not None:
        check_apart([page], [store, against])
        check_page(page)
    whole = 0 if shards is None else len(read_header(store).shards)
    positions = None if shards is None or shards >= whole else _spread(whole, shards)
    header, problems = undamaged(store, positions)
    origin = ancestry(store, header)
    against = against or (origin.parent if positions is None else None)
    other = None if against is None else AuditedStore(against, *undamaged(against))
    with workspace(None if execute is in_process else _seen_by_all(page or store)) as shared:
        audited = AuditedStore(store, header, problems, is_sample=positions is not None)
        evidence = Evidence(
            audited, execute, shared, origin, other=other, relation=relation, replay=replay, recordings=recordings
        )
        evidence.gather(GROUPS)
        words = wording({}, is_speech=not of_other_data(header.declaration.inputs))
        findings = {rule: replace(found, says=words.say(found.says)) for rule, found in judge(evidence).items()}
        damaged = [*problems, *(other.problems if other else [])]
        failed = failures(findings, [*fail_on, *(["files"] if damaged else [])])
        sample = None if positions is None else f"{len(positions)} of {whole} shards"
        found = Audit(store, header.fingerprint, findings, failed, page, measures(evidence), sample)
        if page is not None:
            from reseed.stages.auditing.page import write_page  # matplotlib takes seconds

            write_page(page, evidence, found, words)
    return found


def _seen_by_all(path: AnyPath) -> Path | None:
    """Return the folder of a path, which other machines see, too; one that lies elsewhere has none."""
    return path.resolve().parent if isinstance(path, Path) else None


def _spread(whole: int, shards: int) -> set[int]:
    """Return the positions of so many shards, from the first to the last."""
    return {round(place) for place in np.linspace(0, whole - 1, shards)}
