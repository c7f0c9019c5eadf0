"""The two sides of trials: which utterances and models each may name, and their vectors in one view.

Shapes: U utterances, M models, X = U + M entries of a side, C crops, D embedding dimension.
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
from reseed.stages.scoring.cosine import unit_rows, utterance_embeddings
from reseed.stages.scoring.curves import Floats
from reseed.stages.trial_scoring.inputs.lists import read_enrolments, read_speakers
from reseed.stages.trial_scoring.inputs.stores import Crops, SideStores
from reseed.store import ManifestError, ScoringError
from reseed.store.url import AnyPath

Indices = NDArray[np.int64]


@dataclass(frozen=True)
class Side:
    """What one side of a trial may name: the U utterances of its stores, in their order, then M models of several.

    Attributes:
        ids, speakers: [X]; a speaker is null where unknown.
        members: the utterances of all models one after another, as rows of `ids`.
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
    def names(self) -> tuple[pa.DictionaryArray, pa.DictionaryArray]:
        """Ids and speakers, dictionary-encoded."""
        return self.ids.dictionary_encode(), self.speakers.dictionary_encode()

    @cached_property
    def speaker_codes(self) -> Indices:
        """Speakers as numbers, [X]; -1 where unknown."""
        codes = self.names[1].indices.fill_null(-1)
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
        in_chosen_model = np.repeat(chosen[self.utterances :], self.count_X[self.utterances :])
        rows = np.concatenate([np.flatnonzero(chosen[: self.utterances]), self.members[in_chosen_model]])
        return np.unique(rows).astype(np.int64)


def read_side(stores: SideStores, utterances: AnyPath, enrolments: Path | None = None) -> Side:
    """Return a side of the utterances of stores with their speakers, as the manifest names them, and of models.

    Models of utterances that the stores lack are left out: their trials are missing.

    Raises:
        ManifestError: a file cannot be read, or a model holds the speech of two speakers or has an utterance's name.
    """
    speakers = read_speakers(utterances)
    models = None if enrolments is None else read_enrolments(enrolments)
    speakers_U = joined_column("speaker_id", stores.ids_U, speakers)
    plain = Side(stores.ids_U, speakers_U, np.empty(0, np.int64), np.empty(0, np.int64))
    return plain if models is None else _with_models(plain, models, f"{enrolments}")


def _with_models(plain: Side, models: pa.Table, where: str) -> Side:
    table = models.sort_by([("enrolment_id", "ascending"), ("utterance_id", "ascending")])
    member = pc.fill_null(pc.index_in(table["utterance_id"], value_set=plain.ids), -1).to_numpy()
    names, start_N = np.unique(table["enrolment_id"].to_numpy(), return_index=True)
    stored_N = np.minimum.reduceat(member, start_N) >= 0 if len(names) else np.empty(0, np.bool_)
    if not stored_N.any():
        return plain
    size_N = np.diff(np.append(start_N, len(member)))
    member, names, size_M = member[np.repeat(stored_N, size_N)], names[stored_N], size_N[stored_N]
    start_M = np.cumsum(size_M) - size_M
    name_M = pa.array(names, pa.string())
    taken = name_M.filter(pc.is_in(name_M, value_set=plain.ids))
    if len(taken):
        raise ManifestError(f"{where}: {taken[0]} is the name of a model and of an utterance; rename the model")
    speakers_M = []
    for name, rows in zip(names, np.split(member, start_M[1:]), strict=True):
        known = plain.speakers.take(pa.array(rows)).drop_null().unique()
        if len(known) > 1:
            raise ManifestError(f"{where}: the model {name} holds utterances of two speakers; split it")
        speakers_M.append(known[0] if len(known) else None)
    return Side(
        pa.concat_arrays([plain.ids, name_M]),
        pa.concat_arrays([plain.speakers, pa.array(speakers_M, pa.string())]),
        member.astype(np.int64),
        start_M.astype(np.int64),
    )


class SideVectors:
    """The vectors of one side in one view; they are read when a scorer asks for them, and once.

    Attributes:
        prepared: name of a scorer -> what it has made of this side.
    """

    def __init__(self, stores: SideStores, view: str, entries: Side) -> None:
        self.stores, self.view, self.entries = stores, view, entries
        self.prepared: dict[str, Any] = {}

    @cached_property
    def unit_UD(self) -> Floats:
        """One unit vector per utterance: crops to unit length, averaged, to unit length again.

        Raises:
            ScoringError: a vector has no direction; names stores and view.
        """
        try:
            return np.concatenate([utterance_embeddings(crops_UCD) for crops_UCD in self.stores.blocks(self.view)])
        except ScoringError as error:
            raise ScoringError(f"{self.stores.name}, view {self.view}: {error}") from error

    @cached_property
    def unit_XD(self) -> Floats:
        """One unit vector per entry; a model's is the mean of its utterances', to unit length."""
        return unit_rows(self.entries.pooled(self.unit_UD)) if self.entries.starts_M.size else self.unit_UD

    @property
    def crops_UCD(self) -> Crops:
        """The stored vectors of all crops, read anew each time.

        Raises:
            ScoringError: there are models, which have no crops of their own, or stores of several numbers of crops.
        """
        if self.entries.starts_M.size:
            raise ScoringError(
                f"the {self.entries.starts_M.size} enrolment models of several utterances have no crops to compare one "
                "by one; score them by a scorer of means, e.g. cosine or plda"
            )
        self.stores.check_crops()
        return np.concatenate(list(self.stores.blocks(self.view)))
