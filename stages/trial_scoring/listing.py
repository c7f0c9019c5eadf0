"""Trial lists, streamed: surveyed once, then read part by part as rows of the two sides.

Shapes: P trials, X entries of a side.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from reseed.stages.trial_scoring.entries import Entries, Indices
from reseed.stages.trial_scoring.files import trial_batches, trial_row_groups
from reseed.store import EmbeddingStore, ManifestError, StoreError

_BATCH_P = 262_144
_PART_P = 4_000_000


@dataclass(frozen=True)
class Trials:
    """Some trials as rows of the entries: enrolment and test [P, 2], and their labels (null: unlabelled)."""

    pairs_P2: Indices
    is_target: pa.Array


@dataclass(frozen=True)
class Survey:
    """What a pass over the whole list finds.

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
        nobody = np.empty(0, np.int64)
        return np.union1d(self.tested.get(None, nobody), self.tested.get(view, nobody))


@dataclass(frozen=True)
class Listing:
    """A trial list and the entries that its ids name; never in memory as a whole."""

    path: Path
    enrolment: Entries
    test: Entries

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

    def survey(self, *, allow_missing: bool) -> Survey:
        """Read the list once.

        Raises:
            ManifestError: it cannot be read, is empty, or names utterances that are not stored.
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
        if left_out and not allow_missing:
            raise ManifestError(
                f"{self.path}: {left_out} of {left_out + stored} trials name {len(absent)} utterances that are not "
                f"stored, e.g. {', '.join(sorted(absent)[:3])}; they may have been rejected (see rejects.parquet in "
                "the store): correct the list, or set score.allow_missing=true to leave these trials out"
            )
        if not stored + left_out:
            raise ManifestError(f"{self.path}: no trials; make a list with `reseed trials`")
        if not stored:
            raise ManifestError(f"{self.path}: no trial to score; {left_out} of {left_out} name utterances not stored")
        found = {condition: np.flatnonzero(mask) for condition, mask in tested.items()}
        return Survey(stored, left_out, unlabelled, np.flatnonzero(enrolled), found)

    def _resolved(self, row_groups: Sequence[int] | None) -> Iterator[tuple[pa.Table, Indices]]:
        """Yield batches with the row of either side, [P, 2]; -1 where it is not stored."""
        for batch in trial_batches(self.path, row_groups, _BATCH_P):
            sides = (("enrolment_id", self.enrolment.ids), ("test_id", self.test.ids))
            rows = [pc.fill_null(pc.index_in(batch[name], value_set=ids), -1).to_numpy() for name, ids in sides]
            yield batch, np.stack(rows, axis=1).astype(np.int64)


def check_views(source: EmbeddingStore, asked: Survey, trials: Path) -> None:
    """Check that a store has the views that trials ask for.

    Raises:
        StoreError: a view is missing; names it and those there are.
    """
    absent = sorted(asked.tested.keys() - {None, *source.views}, key=str)
    if absent:
        named = ", ".join(map(repr, absent[:3]))
        raise StoreError(
            f"{source.path} has the views {', '.join(source.views)}, not {named} that {trials} asks for; "
            "extract that view or correct the list"
        )
