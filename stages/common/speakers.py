"""What the catalogue of a store says of its utterances.

Shapes: U utterances.
"""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from reseed.store import EmbeddingStore
from reseed.store.layouts import catalogue_file


def speaker_codes(source: EmbeddingStore) -> NDArray[np.int64]:
    """Return the speaker of each utterance as a number, -1 where the store does not name one: [U]."""
    step = source.header.declaration.rows_per_utterance
    chunks = []
    for position, shard in enumerate(source.shards):
        if "speaker_id" in pq.read_schema(catalogue_file(source.path, shard.name)).names:
            named = source.shard_rows(position, ["speaker_id"])["speaker_id"].cast(pa.string())
            chunks += named.take(pa.array(np.arange(0, shard.rows, step))).chunks
        else:
            chunks.append(pa.nulls(shard.rows // step, pa.string()))
    encoded = pa.chunked_array(chunks, pa.string()).combine_chunks().dictionary_encode()
    codes: NDArray[np.int64] = encoded.indices.fill_null(-1).to_numpy(zero_copy_only=False).astype(np.int64)
    return codes
