"""Who is enrolled and tested: utterances of a store, and models of several of them.

Shapes: U utterances, M models, X = U + M entries, P trials.
"""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from reseed.stages.common.speakers import joined_column
from reseed.stages.scoring.curves import Floats
from reseed.stages.trial_scoring.files import read_enrolments, read_speakers
from reseed.store import EmbeddingStore, ManifestError

Indices = NDArray[np.int64]


@dataclass(frozen=True)
class Entries:
    """What one side of a trial may name: the U utterances of a store, in its order, then M models.

    Attributes:
        ids, speakers: [X]; a speaker is null where unknown.
        members: the utterances of all models one after another, as rows of the store.
        starts_M: where each model's members start.
    """

    ids: pa.StringArray
    speakers: pa.StringArray
    members: Indices
    starts_M: Indices

    @property
    def utterances(self) -> int:
        return len(self.ids) - self.starts_M.size

    @cached_property
    def count_X(self) -> Indices:
        """How many utterances each entry stands for."""
        sizes_M = np.diff(np.append(self.starts_M, self.members.size))
        return np.concatenate([np.ones(self.utterances, np.int64), sizes_M])

    @cached_property
    def speaker_codes(self) -> Indices:
        """Speakers as numbers, [X]; -1 where unknown."""
        codes = self.speakers.dictionary_encode().indices.fill_null(-1)
        found: Indices = codes.to_numpy(zero_copy_only=False).astype(np.int64)
        return found

    def pooled(self, values_UD: Floats) -> Floats:
        """Return one row per entry, [X, D]: an utterance's own, a model's mean."""
        if not self.starts_M.size:
            return values_UD
        sums_MD = np.add.reduceat(values_UD[self.members], self.starts_M, axis=0)
        return np.concatenate([values_UD, sums_MD / self.count_X[self.utterances :, None]])

    def utterances_of(self, entries: NDArray[np.integer[Any]]) -> Indices:
        """Return the rows of the utterances that some entries stand for, ascending."""
        chosen = np.zeros(len(self.ids), np.bool_)
        chosen[entries] = True
        rows = np.concatenate([np.flatnonzero(chosen[: self.utterances]), self.members[self._chosen_members(chosen)]])
        return np.unique(rows).astype(np.int64)

    def _chosen_members(self, chosen_X: NDArray[np.bool_]) -> NDArray[np.bool_]:
        return np.repeat(chosen_X[self.utterances :], self.count_X[self.utterances :])


def entries_of(source: EmbeddingStore, utterances: Path, enrolments: Path | None = None) -> Entries:
    """List the utterances of a store with their speakers, as the manifest names them, and the models on top.

    Models of utterances that the store lacks are not listed: their trials are missing.

    Raises:
        ManifestError: a file cannot be read, or a model holds the speech of two speakers or an utterance's name.
    """
    ids_U = pa.array(source.utterance_ids(), pa.string())
    manifest = read_speakers(utterances)
    speakers_U = joined_column("speaker_id", ids_U, manifest)
    nobody = np.empty(0, np.int64)
    plain = Entries(ids_U, speakers_U, nobody, nobody)
    return plain if enrolments is None else _with_models(plain, enrolments)


def _with_models(plain: Entries, enrolments: Path) -> Entries:
    table = read_enrolments(enrolments).sort_by([("enrolment_id", "ascending"), ("utterance_id", "ascending")])
    member = pc.fill_null(pc.index_in(table["utterance_id"], value_set=plain.ids), -1).to_numpy()
    names, start_N = np.unique(table["enrolment_id"].to_numpy(), return_index=True)
    if not len(names):
        return plain
    missing_N = np.minimum.reduceat(member, start_N) < 0
    if missing_N.all():
        return plain
    size_N = np.diff(np.append(start_N, len(member)))
    member, names, size_N = member[~np.repeat(missing_N, size_N)], names[~missing_N], size_N[~missing_N]
    start_M = np.cumsum(size_N) - size_N
    taken = pc.is_in(pa.array(names, pa.string()), value_set=plain.ids)
    if pc.any(taken).as_py():
        name = names[pc.index(taken, True).as_py()]
        raise ManifestError(f"{enrolments}: {name} is the name of a model and of an utterance; rename the model")
    speakers_M = []
    for name, rows in zip(names, np.split(member, start_M[1:]), strict=True):
        known = plain.speakers.take(pa.array(rows)).drop_null().unique()
        if len(known) > 1:
            raise ManifestError(f"{enrolments}: the model {name} holds utterances of two speakers")
        speakers_M.append(known[0] if len(known) else None)
    return Entries(
        pa.concat_arrays([plain.ids, pa.array(names, pa.string())]),
        pa.concat_arrays([plain.speakers, pa.array(speakers_M, pa.string())]),
        member.astype(np.int64),
        start_M.astype(np.int64),
    )
