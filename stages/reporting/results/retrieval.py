"""Retrieval and classification of stored vectors: a gallery in the enrolment view, queries in every view.

Shapes: U utterances, R their rows, C crops, V views, D embedding dimension.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from reseed.stages.common.speakers import joined_column
from reseed.stages.reporting.results.embeddings import open_store
from reseed.stages.reporting.results.systems import ScoredSystem, System
from reseed.stages.scoring.cosine import utterance_embeddings
from reseed.stages.scoring.curves import Floats
from reseed.stages.scoring.retrieval import (
    NEIGHBOURS,
    Classified,
    Classifiers,
    Retrieved,
    gallery_and_queries,
    retrieved,
)
from reseed.stages.trial_scoring.inputs.lists import read_speakers
from reseed.store import EmbeddingStore
from reseed.store.inputs import of_other_data
from reseed.store.url import AnyPath

# What the page calls each measure, by its key in metrics.json.
TITLES = {
    "recall_at_1": "Recall at 1",
    "recall_at_5": "Recall at 5",
    "recall_at_10": "Recall at 10",
    "mean_average_precision": "Mean average precision",
    "class_mean_accuracy": "Nearest class mean",
    "knn_accuracy": f"{NEIGHBOURS} nearest neighbours",
    "probe_accuracy": "Linear probe",
}


@dataclass(frozen=True)
class Retrieval:
    """What is found of one system under one condition, among how many."""

    values: Mapping[str, float]
    gallery: int
    queries: int
    classes: int

    def row(self) -> dict[str, Any]:
        """Return its part of a row of metrics.json."""
        return {**self.values, "retrieval_gallery": self.gallery, "retrieval_queries": self.queries}


Found = dict[tuple[System, str], Retrieval]


def none_of_audio(systems: Sequence[ScoredSystem]) -> bool:
    """Whether some of what was scored are vectors that were imported, and that no store has exported from audio."""
    return any(of_other_data(open_store(scored).header.declaration.inputs) for scored in systems)


def measure_retrieval(systems: Sequence[ScoredSystem], utterances: AnyPath) -> Found:
    """Return what is found by the vectors of each system in each view; of a system scored in several ways, once.

    Raises:
        StoreError: a store is not the one that its scores were computed from.
        ScoringError: a vector has no direction.
    """
    found: Found = {}
    done: set[tuple[str, ...]] = set()
    for scored in systems:
        if scored.system.embeddings not in done:
            done.add(scored.system.embeddings)
            store = open_store(scored)
            found |= {(scored.system, view): each for view, each in _of_store(store, scored, utterances)}
    return found


def _of_store(store: EmbeddingStore, scored: ScoredSystem, utterances: AnyPath) -> Iterator[tuple[str, Retrieval]]:
    ids_U = pa.array(store.utterance_ids(), pa.string())
    names_U = joined_column("speaker_id", ids_U, read_speakers(utterances)).dictionary_encode()
    class_U = names_U.indices.fill_null(-1).to_numpy(zero_copy_only=False)
    gallery, queries = gallery_and_queries(class_U)
    classes = np.unique(class_U[gallery]).size
    enrolled = scored.origin.enrolment_view
    if classes < 2 or enrolled not in store.views:
        return
    gallery_GD, class_G, class_Q = _unit(store, gallery, enrolled), class_U[gallery], class_U[queries]
    classifiers = Classifiers(gallery_GD, class_G)
    for view in {condition.view: None for condition in scored.trials if condition.view in store.views}:
        query_QD = _unit(store, queries, view)
        measured: tuple[Retrieved, Classified] = (
            retrieved(query_QD, gallery_GD, class_Q, class_G),
            classifiers.classified(query_QD, class_Q),
        )
        values = {name: value for each in measured for name, value in each._asdict().items()}
        yield view, Retrieval(values, gallery.size, queries.size, classes)


def _unit(store: EmbeddingStore, utterances_R: NDArray[np.int64], view: str) -> Floats:
    """Return a unit vector of some utterances in one view, [R, D]."""
    crops, views = store.crops, len(store.views)
    rows_RC = utterances_R[:, None] * crops * views + np.arange(crops) * views + store.views.index(view)
    return utterance_embeddings(store.take(rows_RC.ravel()).reshape(-1, crops, store.dim))
