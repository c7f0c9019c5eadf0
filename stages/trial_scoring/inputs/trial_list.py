"""Trial lists, streamed: gone through once as a whole, then read part by part as rows of the two sides.

Shapes: P trials, X entries of a side.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from reseed.stages.trial_scoring.inputs.lists import trial_batches, trial_row_groups
from reseed.stages.trial_scoring.inputs.sides import Indices, Side
from reseed.store import EmbeddingStore, ManifestError, StoreError

_BATCH_P = 262_144
_PART_P = 4_000_000


@dataclass(frozen=True)
class Trials:
    """Some trials as rows of the two sides, [P, 2], and their labels (null: unlabelled)."""

    pairs_P2: Indices
    is_target: pa.Array


@dataclass(frozen=True)
class TrialScan:
    """What a pass over a whole trial list finds.

    Attributes:
        stored, left_out: trials that can be scored, and those whose utterances are not stored.
        unlabelled: of those that can be scored, how many do not say whether they are targets.
        enrolled: the entries that are enrolled, ascending.
        tested: condition (null: of every condition) -> the entries tested in it, ascending.
    """

    stored: int
    left_out: int
    unlabelled: int
    enrolled: Indices
    tested: dict[str | None, Indices]

    def tested_on(self, view: str) -> Indices:
        """Return the entries tested on one view, ascending."""
        none = np.empty(0, np.int64)
        return np.union1d(self.tested.get(None, none), self.tested.get(view, none))


@dataclass(frozen=True)
class TrialList:
    """A trial list and the two sides that its ids name; never in memory as a whole."""

    path: Path
    enrolment: Side
    test: Side

    def parts(self) -> list[tuple[int, ...]]:
        """Return the row groups of each part of about four million trials."""
        part = np.cumsum([0, *trial_row_groups(self.path)])[:-1] // _PART_P
        return [tuple(np.flatnonzero(part == number).tolist()) for number in np.unique(part)]

    def batches(self, view: str, row_groups: Sequence[int] | None = None) -> Iterator[Trials]:
        """Yield the stored trials to score on one view: those bound to it and those bound to none."""
        for table, pairs_P2 in self._resolved(row_groups):
            here = pc.fill_null(pc.equal(table["condition"], view), True).to_numpy(zero_copy_only=False)
            kept = here & (pairs_P2 >= 0).all(axis=1)
            if kept.any():
                yield Trials(pairs_P2[kept], table["is_target"].filter(pa.array(kept)))

    def compared(self, scan: TrialScan) -> tuple[pa.Array, pa.Array]:
        """Return the ids and the speakers of all utterances that the trials compare, each once."""
        tested = np.concatenate(list(scan.tested.values()))
        occurring = ((self.enrolment, scan.enrolled), (self.test, tested))
        rows = [(side, pa.array(side.utterances_of(entries))) for side, entries in occurring]
        ids, speakers = (
            pc.unique(pa.concat_arrays([getattr(side, name).take(row) for side, row in rows]))
            for name in ("ids", "speakers")
        )
        return ids, speakers.drop_null()

    def scan(self, store: EmbeddingStore, *, allow_missing: bool) -> TrialScan:
        """Go through the list once.

        Args:
            store: of the test side; its views are the conditions that trials may name.

        Raises:
            ManifestError: it cannot be read, is empty, or names utterances that are not stored.
            StoreError: it names a condition that is no view of the store.
        """
        stored = left_out = unlabelled = 0
        absent = set[str]()
        enrolled = np.zeros(len(self.enrolment.ids), np.bool_)
        tested: dict[str | None, NDArray[np.bool_]] = {}
        for table, pairs_P2 in self._resolved(None):
            there = (pairs_P2 >= 0).all(axis=1)
            stored, left_out = stored + int(there.sum()), left_out + int((~there).sum())
            unlabelled += int((there & pc.is_null(table["is_target"]).to_numpy()).sum())
            for side, name in enumerate(("enrolment_id", "test_id")):
                absent |= set(pc.unique(table[name].filter(pa.array(pairs_P2[:, side] < 0))).to_pylist())
            enrolled[pairs_P2[there, 0]] = True
            encoded = table["condition"].combine_chunks().dictionary_encode(null_encoding="encode")
            code_P = encoded.indices.to_numpy(zero_copy_only=False)
            for code, condition in enumerate(encoded.dictionary.to_pylist()):
                mask = tested.setdefault(condition, np.zeros(len(self.test.ids), np.bool_))
                mask[pairs_P2[there & (code_P == code), 1]] = True
        self._check_stored(stored, left_out, sorted(absent), allow_missing)
        self._check_views(store, sorted(tested.keys() - {None, *store.views}, key=str))
        found = {condition: np.flatnonzero(mask) for condition, mask in tested.items()}
        return TrialScan(stored, left_out, unlabelled, np.flatnonzero(enrolled), found)

    def _check_stored(self, stored: int, left_out: int, absent: list[str], allow_missing: bool) -> None:
        if not stored + left_out:
            raise ManifestError(f"{self.path}: no trials; make a list with `reseed trials`")
        if left_out and not allow_missing:
            raise ManifestError(
                f"{self.path}: {left_out} of {left_out + stored} trials name {len(absent)} utterances that are not "
                f"stored, e.g. {', '.join(absent[:3])}; they may have been rejected (see rejects.parquet in "
                "the store): correct the list, or set score.allow_missing=true to leave these trials out"
            )
        if not stored:
            raise ManifestError(f"{self.path}: no trial to score; {left_out} of {left_out} name utterances not stored")

    def _check_views(self, store: EmbeddingStore, absent: list[str | None]) -> None:
        if absent:
            named = ", ".join(map(repr, absent[:3]))
            raise StoreError(
                f"{store.path} has the views {', '.join(store.views)}, not {named} that {self.path} asks for; "
                "extract that view or correct the list"
            )

    def _resolved(self, row_groups: Sequence[int] | None) -> Iterator[tuple[pa.Table, Indices]]:
        """Yield batches with the row of either side, [P, 2]; -1 where it is not stored."""
        for batch in trial_batches(self.path, row_groups, _BATCH_P):
            sides = (("enrolment_id", self.enrolment.ids), ("test_id", self.test.ids))
            rows = [pc.fill_null(pc.index_in(batch[name], value_set=ids), -1).to_numpy() for name, ids in sides]
            yield batch, np.stack(rows, axis=1).astype(np.int64)
