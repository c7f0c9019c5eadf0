"""The cohort: other speakers' vectors, that scores are normalised against and PLDA is fitted on.

Shapes: U utterances of the store, N of them the cohort's, C crops, V views, S speakers, M vectors, D their dimension.
"""

from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Any, Literal, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pydantic import Field

from reseed.stages.common.section import Section
from reseed.stages.common.speakers import joined_column
from reseed.stages.scoring.cosine import unit_rows, utterance_embeddings
from reseed.stages.scoring.curves import Floats
from reseed.stages.trial_scoring.inputs.lists import read_speakers
from reseed.store import EmbeddingStore, ScoringError, StoreError
from reseed.store.url import AnyPath


class CohortSettings(Section):
    """The speakers that scores are normalised against.

    Attributes:
        views: the views of the cohort's store that are used.
        per: one vector for each speaker (the mean; utterances of unknown speakers stay alone), or one for each
            utterance.
        top: of as_norm and tas_norm: how many of the nearest cohort vectors give mean and deviation.
        overlap: where cohort and trials share utterances or speakers: refuse it, exclude these from the cohort (and
            from what PLDA is fitted on), or allow it.
    """

    views: tuple[str, ...] = Field(default=("clean",), min_length=1)
    per: Literal["speaker", "utterance"] = "speaker"
    top: int = Field(default=200, ge=2)
    overlap: Literal["refuse", "exclude", "allow"] = "refuse"


class Cohort:
    """The utterances of a store that a manifest lists, less those that the trials share with it where asked.

    Args:
        path: the cohort's store.
        utterances: the manifest that says which of its utterances are the cohort, and who speaks.
        compared: ids and speakers of all utterances of the trials.

    Raises:
        StoreError: the store lacks a view.
        ScoringError: cohort and trials overlap and may not, or no utterance is left.
    """

    def __init__(
        self, path: AnyPath, utterances: AnyPath, settings: CohortSettings, compared: tuple[pa.Array, pa.Array]
    ) -> None:
        self.path, self.settings = path, settings
        self.store = EmbeddingStore(path)
        _check_views(self.store, settings.views, "score.cohort.views")
        manifest = read_speakers(utterances)
        ids_U = pa.array(self.store.utterance_ids(), pa.string())
        listed_U = pc.is_in(ids_U, value_set=manifest["utterance_id"].combine_chunks())
        speakers_U = joined_column("speaker_id", ids_U, manifest)
        shared_U = pc.and_(listed_U, _shared(ids_U, speakers_U, compared))
        if settings.overlap == "refuse":
            _check_apart(path, ids_U.filter(shared_U), listed=pc.sum(listed_U).as_py())
        kept_U = pc.and_not(listed_U, shared_U) if settings.overlap == "exclude" else listed_U
        self._kept_U = kept_U.to_numpy(zero_copy_only=False)
        self._speakers_N = speakers_U.filter(kept_U)
        if not len(self._speakers_N):
            raise ScoringError(
                f"no utterance is left of the cohort {path}: {utterances} lists {manifest.num_rows}, none of them "
                "stored and apart from the trials; give another cohort"
            )

    @property
    def provenance(self) -> dict[str, Any]:
        """Return what the report says of the cohort."""
        return {
            "store": str(self.path),
            "utterances": len(self._speakers_N),
            "speakers": pc.count_distinct(self._speakers_N).as_py(),
            "vectors": self.size,
            "per": self.settings.per,
            "views": list(self.settings.views),
        }

    @property
    def size(self) -> int:
        """How many vectors scores are normalised against."""
        each = self._owners.max() + 1 if self.settings.per == "speaker" else len(self._speakers_N)
        return int(each) * len(self.settings.views)

    def vectors(self) -> Iterator[Floats]:
        """Yield the unit vectors that scores are normalised against, [M, D] in all: of speakers, or block by block."""
        if self.settings.per == "utterance":
            for found_NVD in self._blocks(self.settings.views):
                yield found_NVD.reshape(-1, self.store.dim)
            return
        yield self._speaker_vectors

    @cached_property
    def _speaker_vectors(self) -> Floats:
        """The unit means of each speaker in each view: read once, though every view of the trials asks for them."""
        owner_N = self._owners
        sums_SVD = np.zeros((owner_N.max() + 1, len(self.settings.views), self.store.dim))
        start = 0
        for found_NVD in self._blocks(self.settings.views):
            np.add.at(sums_SVD, owner_N[start : start + len(found_NVD)], found_NVD)
            start += len(found_NVD)
        return unit_rows(sums_SVD.reshape(-1, self.store.dim))

    def labelled(
        self, views: Sequence[str] | None, min_utterances: int
    ) -> tuple[Floats, NDArray[np.intp], Sequence[str]]:
        """Return the unit vectors of the utterances of known speakers in some views, their speakers, and the views.

        Args:
            min_utterances: speakers of fewer are left out.

        Raises:
            StoreError: the store lacks a view.
        """
        chosen = self.store.views if views is None else views
        _check_views(self.store, chosen, "score.plda.views")
        owner_N = self._owners
        enough_N = np.bincount(owner_N)[owner_N] >= min_utterances
        used_N = enough_N & pc.is_valid(self._speakers_N).to_numpy(zero_copy_only=False)
        vectors, start = [np.empty((0, len(chosen), self.store.dim))], 0
        for found_NVD in self._blocks(chosen):
            vectors.append(found_NVD[used_N[start : start + len(found_NVD)]])
            start += len(found_NVD)
        vectors_NVD, speaker_N = np.concatenate(vectors), np.repeat(owner_N[used_N], len(chosen))
        return vectors_NVD.reshape(-1, self.store.dim), speaker_N, chosen

    @cached_property
    def _owners(self) -> NDArray[np.intp]:
        """Return a number for each speaker, [N]; an utterance of an unknown speaker has one of its own."""
        code_N = self._speakers_N.dictionary_encode().indices.fill_null(-1).to_numpy(zero_copy_only=False)
        unknown_N = code_N < 0
        owner_N = code_N.astype(np.intp)
        owner_N[unknown_N] = code_N.max(initial=-1) + 1 + np.arange(unknown_N.sum())
        return owner_N

    def _blocks(self, views: Sequence[str]) -> Iterator[Floats]:
        """Yield one unit vector per utterance and view, [n, V, D], shard by shard."""
        index = [self.store.views.index(view) for view in views]
        start = 0
        for crops_UCVD in self.store.utterance_blocks():
            kept_U = self._kept_U[start : start + len(crops_UCVD)]
            start += len(crops_UCVD)
            if kept_U.any():
                yield utterance_embeddings(crops_UCVD[kept_U][:, :, index].swapaxes(1, 2))


def _check_views(store: EmbeddingStore, views: Sequence[str], setting: str) -> None:
    absent = [view for view in views if view not in store.views]
    if absent:
        raise StoreError(f"{store.path} has the views {', '.join(store.views)}, not {absent[0]!r}; change {setting}")


def _shared(ids_U: pa.Array, speakers_U: pa.Array, compared: tuple[pa.Array, pa.Array]) -> pa.BooleanArray:
    """Return which utterances [U] are in the trials, by themselves or by their speaker."""
    ids, speakers = compared
    return pc.or_(pc.is_in(ids_U, value_set=ids), pc.is_in(speakers_U, value_set=speakers, skip_nulls=True))


def _check_apart(path: AnyPath, shared: pa.Array, *, listed: int) -> None:
    if len(shared):
        raise ScoringError(
            f"{len(shared)} of {listed} utterances of the cohort {path} are of utterances or speakers of the trials, "
            f"e.g. {', '.join(shared.slice(0, 3).to_pylist())}: such a cohort flatters. Give another one, or set "
            "score.cohort.overlap to exclude (leave them out) or allow"
        )


class Cohorts(NamedTuple):
    """The cohort as either side has it, and speech of the domain of the trials.

    Attributes:
        enrolment, test: one and the same where the sides are.
        domain: what PLDA is adapted to, by all utterances of it, where it is not what is scored.
    """

    enrolment: Cohort
    test: Cohort
    domain: Cohort | None = None
