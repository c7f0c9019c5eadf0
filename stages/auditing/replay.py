"""The rule that vectors made again from their recordings are the stored ones."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from reseed.stages.auditing.blocks import RowKey
from reseed.stages.auditing.evidence import Evidence, RuleGroup
from reseed.stages.auditing.finding import FAILED, LISTED, PASSED, SKIPPED, Finding, Unchecked
from reseed.stages.common.prose import counted, first_few
from reseed.store import EmbeddingStore, ReseedError, StoreError

_SAME = 0.999


@dataclass(frozen=True)
class ReplayedRow:
    """One row of a shard made again from its recording: how well it agrees, or why it could not be made."""

    shard: str
    key: RowKey
    cosine: float | None
    problem: str = ""


def replayed(evidence: Evidence) -> list[ReplayedRow] | Unchecked:
    """Conclude how well rows that are made again agree."""
    if not evidence.replay:
        return Unchecked("it was not asked for")
    if evidence.ancestry.extracted is None:
        return Unchecked(evidence.ancestry.problem)
    try:
        return list(_replayed(evidence, evidence.ancestry.extracted))
    except (ReseedError, OSError) as error:
        return Unchecked(str(error))


def replay(evidence: Evidence) -> Finding:
    """Vectors made again from their recordings are the stored ones."""
    rows = evidence.conclude(replayed)
    if isinstance(rows, Unchecked):
        return Finding(SKIPPED, f"Nothing was made again: {rows.reason}.")
    unmade = [row for row in rows if row.cosine is None]
    cosines = [row.cosine for row in rows if row.cosine is not None]
    if not cosines:
        return Finding(SKIPPED, f"Nothing was made again: {unmade[0].problem if unmade else 'there are no rows'}.")
    others = [row for row in rows if row.cosine is not None and not row.cosine >= _SAME]
    offenders = [
        evidence.with_replay(
            {
                "shard": row.shard,
                "utterance": row.key.utterance_id,
                "view": row.key.view,
                "cosine": "" if row.cosine is None else round(row.cosine, 6),
                "problem": row.problem,
            },
            row.key,
        )
        for row in (*others, *unmade)[:LISTED]
    ]
    rest = f"; {counted(len(unmade), 'row')} could not be made" if unmade else ""
    if others:
        where = first_few(dict.fromkeys(row.shard for row in others))
        says = f"{len(others)} of {len(cosines)} rows made again are not the stored ones, in {where}{rest}."
        return Finding(FAILED, says, offenders)
    says = f"{counted(len(cosines), 'row')} made again; the lowest cosine is {min(cosines):.6f}{rest}."
    return Finding(PASSED, says, offenders)


def _replayed(evidence: Evidence, origin: EmbeddingStore) -> Iterator[ReplayedRow]:
    """Make one row of each of some shards again, evenly over the store.

    Raises:
        ReseedError: nothing of this store can be made again here, and why.
    """
    from reseed.stages.extraction.replayer import Replayer  # torch takes seconds

    store = evidence.store
    if origin.path.resolve() != store.vectors.path:
        raise StoreError(f"it was made from {origin.path}; audit that")
    replayer = Replayer(origin.path, recordings=evidence.recordings)
    first_block = {part.shard: number for number, part in reversed(list(enumerate(store.slices)))}
    shards = len(store.header.shards)
    for position in np.unique(np.linspace(0, shards - 1, evidence.replay).astype(int)).tolist() if shards else ():
        if position not in first_block:
            continue
        block = store.read(first_block[position])
        row = len(block.ids) // 2 * store.rows_per_utterance + position % len(store.views)
        key, name, cosine, problem = block.key(row), store.header.shards[position].name, None, ""
        try:
            cosine = replayer.replay(key.utterance_id, key.view, key.crop).cosine
        except ReseedError as error:
            problem = str(error)
        yield ReplayedRow(name, key, cosine, problem)


GROUP = RuleGroup((replay,))
