"""What rules are judged by: what the blocks of a store say, added up, and what is concluded from it.

A store is passed over twice: what the second pass gathers may build on what the first one has found.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar, cast

from reseed.stages.auditing.blocks import AuditedBlock, AuditedStore, RowKey
from reseed.stages.auditing.finding import Finding, Offender, replay_command
from reseed.stages.auditing.tally import Accumulator
from reseed.stages.auditing.workspace import Workspace
from reseed.stages.common.execution import Execute
from reseed.stages.extraction.lineage import Ancestry
from reseed.store.url import Url

Gather = Callable[[AuditedBlock], Accumulator]  # crosses to other processes
Gathered = TypeVar("Gathered", bound=Accumulator)
Concluded = TypeVar("Concluded")


@dataclass(frozen=True)
class RuleGroup:
    """Rules that are judged by the same evidence.

    Attributes:
        rules: functions that say of a store whether something holds, each called by the rule's name; its docstring is
            what must hold.
        gather: what one block says, in the first pass.
        review: returns what one block says in the second pass, from what the first one has found.
    """

    rules: Sequence[Callable[["Evidence"], Finding]]
    gather: Gather | None = None
    review: Callable[["Evidence"], Gather] | None = None


class Evidence:
    """What is known of a store.

    Args:
        other: the store it is compared with, and what that is to it where somebody said so.
        replay: how many shards one row is made again of.
        recordings: folders in which manifests and recordings may be opened, beside that of the store's run.
    """

    def __init__(
        self,
        store: AuditedStore,
        execute: Execute,
        workspace: Workspace,
        ancestry: Ancestry,
        *,
        other: AuditedStore | None = None,
        relation: str | None = None,
        replay: int = 0,
        recordings: Sequence[Path | Url] = (),
    ) -> None:
        self.store, self.other, self.relation, self.replay = store, other, relation, replay
        self.recordings = recordings
        self.execute, self.workspace, self.ancestry = execute, workspace, ancestry
        self._gathered: dict[type, Accumulator] = {}
        self._concluded: dict[Callable[[Evidence], object], object] = {}

    def __getitem__(self, kind: type[Gathered]) -> Gathered:
        """Return what all blocks say."""
        return cast(Gathered, self._gathered[kind])

    def gather(self, groups: Sequence[RuleGroup]) -> None:
        """Pass over the store twice."""
        self._pass(group.gather for group in groups if group.gather)
        self._pass(group.review(self) for group in groups if group.review)

    def conclude(self, conclusion: Callable[["Evidence"], Concluded]) -> Concluded:
        """Return what a function concludes from all this; it is called once."""
        if conclusion not in self._concluded:
            self._concluded[conclusion] = conclusion(self)
        return cast(Concluded, self._concluded[conclusion])

    def with_replay(self, row: Offender, key: RowKey | None) -> Offender:
        """Add to a row of a table the command that lets one hear it, where there are recordings behind the store."""
        if key is None or self.ancestry.extracted is None:
            return row
        return {**row, "hear": replay_command(self.ancestry.extracted.path, key, self.recordings)}

    def offender(self, key: RowKey) -> Offender:
        """Return a row as offenders name it."""
        return self.with_replay({"utterance": key.utterance_id, "view": key.view, "crop": key.crop}, key)

    def _pass(self, gathers: Iterable[Gather]) -> None:
        self._gathered |= {type(total): total for total in added_up(self.store, list(gathers), self.execute)}


def added_up(store: AuditedStore, gathers: Sequence[Gather], execute: Execute) -> list[Accumulator]:
    """Pass over a store once, and add up what each of some functions gathers of every block."""
    totals = _Gatherer(store, gathers).of(store.nothing())
    for found in execute(_Gatherer(store, gathers), range(len(store.slices))):
        for total, part in zip(totals, found, strict=True):
            total.add(part)
    return totals


@dataclass(frozen=True)
class _Gatherer:
    """Reads a block by its number, in any process, and lets all functions gather from it."""

    store: AuditedStore
    gathers: Sequence[Gather]

    def __call__(self, number: int) -> list[Accumulator]:
        return self.of(self.store.read(number))

    def of(self, block: AuditedBlock) -> list[Accumulator]:
        return [gather(block) for gather in self.gathers]
