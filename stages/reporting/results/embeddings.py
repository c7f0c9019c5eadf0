"""What the figures of the embedding space take from stores: some utterances of each speaker, clean and noisy.

Shapes: U sampled utterances, R rows of one, C crops, V noisy views, D embedding dimension.
"""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from reseed.stages.audio.conditions import describe
from reseed.stages.common.speakers import joined_column
from reseed.stages.reporting.results.systems import ScoredSystem
from reseed.stages.scoring.cosine import utterance_embeddings
from reseed.stages.scoring.curves import Floats
from reseed.stages.trial_scoring.inputs.lists import read_speakers
from reseed.store import EmbeddingStore, StoreError
from reseed.store.url import AnyPath

_UTTERANCES_EACH = 10


@dataclass(frozen=True)
class Sample:
    """Some utterances of a store: their rows among its utterances [U] and their speakers as numbers [U]."""

    rows_U: NDArray[np.int64]
    speaker_U: NDArray[np.int64]


def open_store(scored: ScoredSystem) -> EmbeddingStore:
    """Open the store that a system was scored from.

    Raises:
        StoreError: there is none, or it is another one now.
    """
    if scored.store is None:
        raise StoreError(f"no store is given for {scored.path}")
    source = EmbeddingStore(scored.store)
    if source.fingerprint != scored.origin.fingerprint:
        raise StoreError(
            f"{scored.store} has fingerprint {source.fingerprint[:12]}, but {scored.path} was scored from "
            f"{scored.origin.fingerprint[:12]}; score the store again, or give the stores in the order of the scores"
        )
    return source


def sample_speakers(source: EmbeddingStore, utterances: AnyPath, speakers: int) -> Sample | None:
    """Return utterances of the `speakers` that have the most; None where fewer than two are known."""
    manifest = read_speakers(utterances)
    ids_U = pa.array(source.utterance_ids(), pa.string())
    names = joined_column("speaker_id", ids_U, manifest).to_pylist()
    rows: dict[str, list[int]] = {}
    for row, name in enumerate(names):
        if name is not None:
            rows.setdefault(name, []).append(row)
    most = sorted(rows, key=lambda name: (-len(rows[name]), name))[:speakers]
    if len(most) < 2:
        return None
    picked = [(row, number) for number, name in enumerate(most) for row in rows[name][:_UTTERANCES_EACH]]
    rows_U, speaker_U = np.array(sorted(picked), np.int64).T
    return Sample(rows_U, speaker_U)


def clean_and_noisy(source: EmbeddingStore, rows_U: NDArray[np.int64]) -> tuple[Floats, Floats] | None:
    """Return unit vectors of some utterances, clean [U, D] and noisy [U, V, D]; None where no view is clean."""
    (conditions,) = describe(source.recipes)
    is_clean = [condition.is_clean for condition in conditions.values()]
    if True not in is_clean:
        return None
    crops, views = source.crops, len(source.views)
    rows_UR = rows_U[:, None] * (crops * views) + np.arange(crops * views)
    vectors_NCD = source.take(rows_UR.ravel()).reshape(-1, crops, views, source.dim).swapaxes(1, 2)
    units_ND = utterance_embeddings(vectors_NCD.reshape(-1, crops, source.dim))
    units_UVD = units_ND.reshape(-1, views, source.dim)
    return units_UVD[:, is_clean.index(True)], units_UVD[:, ~np.array(is_clean)]
