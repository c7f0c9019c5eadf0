"""Say what is wrong with a store: every file against store.json, every shard against its seal, all vectors finite."""

from collections.abc import Iterable, Iterator

import numpy as np
import pyarrow.parquet as pq

from store.checks import check_digest
from store.errors import StoreError
from store.format import REJECTS_NAME
from store.layouts import catalogue_file
from store.reader import EmbeddingStore
from store.writer import read_rejects, read_seal


def problems(store: EmbeddingStore, manifest_ids: Iterable[str] | None = None) -> Iterator[str]:
    """Yield each problem as one line that names the file; a sound store yields none.

    Args:
        manifest_ids: the utterances that the store should cover: each must be stored or rejected.
    """
    yield from _damaged_files(store)
    yield from _unfit_shards(store)
    if manifest_ids is not None:
        yield from _uncovered(store, manifest_ids)


def _damaged_files(store: EmbeddingStore) -> Iterator[str]:
    for file in (store.header.rejects, *(file for shard in store.shards for file in shard.files)):
        try:
            check_digest(store.path, file)
        except StoreError as error:
            yield str(error)


def _unfit_shards(store: EmbeddingStore) -> Iterator[str]:
    layout = store.header.declaration.vectors
    for position, shard in enumerate(store.shards):
        path = catalogue_file(store.path, shard.name)
        try:
            seal = read_seal(store.path, shard.name, layout)
            if seal is None or (seal.rows, seal.utterances) != (shard.rows, shard.utterances):
                yield f"{path}: its seal does not match store.json; extract this shard again"
            elif pq.read_metadata(path).num_rows != shard.rows:
                yield f"{path} has {pq.read_metadata(path).num_rows} rows, store.json says {shard.rows}"
            bad = ~np.isfinite(store.shard_vectors(position)).all(axis=1)
            if bad.any():
                yield f"{store.path}, shard {shard.name}: {bad.sum()} vectors are not finite, first row {bad.argmax()}"
        except (StoreError, OSError) as error:
            yield str(error)


def _uncovered(store: EmbeddingStore, manifest_ids: Iterable[str]) -> Iterator[str]:
    covered = {*store.utterance_ids(), *(reject.utterance_id for reject in read_rejects(store.path / REJECTS_NAME))}
    missing = sorted(set(manifest_ids) - covered)
    if missing:
        lost = f"{len(missing)} utterances of the manifest are neither stored nor rejected"
        yield f"{store.path}: {lost}, first {missing[0]}; extract the store again"
