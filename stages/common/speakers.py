"""Who speaks in which utterance: by the catalogue of a store, or by a manifest.

Shapes: U utterances.
"""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from reseed.store import EmbeddingStore
from reseed.store.url import AnyPath

LABELS_SCHEMA = pa.schema([pa.field("utterance_id", pa.string(), nullable=False), pa.field("speaker_id", pa.string())])


def labels_of(store: AnyPath) -> pa.Table:
    """Return who speaks in which utterance, or of what class an item is, from the catalogue of a store.

    Raises:
        StoreError: no store.
    """
    source = EmbeddingStore(store)
    return pa.table([source.utterance_ids(), source.speaker_ids()], schema=LABELS_SCHEMA)


def speaker_codes(source: EmbeddingStore) -> NDArray[np.int64]:
    """Return the speaker of each utterance as a number, -1 where the store does not name one: [U]."""
    codes_U = pa.array(source.speaker_ids(), pa.string()).dictionary_encode().indices.fill_null(-1)
    codes: NDArray[np.int64] = codes_U.to_numpy(zero_copy_only=False).astype(np.int64)
    return codes


def joined_column(column: str, ids_U: pa.Array, manifest: pa.Table) -> pa.Array:
    """Return what a column of a manifest says of utterances, [U]; null where the manifest does not list one."""
    return manifest[column].take(pc.index_in(ids_U, value_set=manifest["utterance_id"])).combine_chunks()
