"""Say what is wrong with a store: every file against store.json, every shard against its seal, all vectors finite."""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from reseed.store.checks import check_coverage, check_digest
from reseed.store.errors import StoreError
from reseed.store.format import REJECTS_NAME, Header, Shard
from reseed.store.header import read_header
from reseed.store.layouts import catalogue_file
from reseed.store.reader import EmbeddingStore
from reseed.store.writer import read_rejects, read_seal


def problems(store: EmbeddingStore, manifest_ids: Iterable[str] | None = None) -> Iterator[str]:
    """Yield each problem as one line that names the file; a sound store yields none.

    Args:
        manifest_ids: the utterances that the store should cover: each must be stored or rejected.
    """
    yield from _damaged_files(store)
    yield from _unfit_shards(store)
    if manifest_ids is not None:
        yield from _uncovered(store, manifest_ids)


def undamaged(path: Path) -> tuple[EmbeddingStore, list[str]]:
    """Open the shards of a store that are as they were written; returns them and what is wrong with the others.

    Raises:
        StoreError: not a store, an unknown version, or an altered header: then nothing can be said.
    """
    header = read_header(path)
    with ThreadPoolExecutor() as pool:  # hashing releases the interpreter
        found = list(pool.map(lambda shard: _problem(_check_shard, path, header, shard), header.shards))
    sound = [shard for shard, problem in zip(header.shards, found, strict=True) if problem is None]
    problems = [problem for problem in found if problem is not None]
    for check, what in ((check_coverage, header), (check_digest, header.rejects)):
        problems += filter(None, [_problem(check, path, what)])
    return EmbeddingStore(path, header=replace(header, shards=sound)), problems


def _problem(check: Callable[..., None], *arguments: Any) -> str | None:
    try:
        check(*arguments)
    except (StoreError, OSError) as error:
        return str(error)
    return None


def _check_shard(path: Path, header: Header, shard: Shard) -> None:
    for file in shard.files:
        check_digest(path, file)
    _check_seal(path, header, shard)
    EmbeddingStore(path, header=replace(header, shards=[shard])).shard_vectors(0)  # of the declared shape


def _check_seal(path: Path, header: Header, shard: Shard) -> None:
    file = catalogue_file(path, shard.name)
    seal = read_seal(path, shard.name, header.declaration.vectors)
    if seal is None or (seal.rows, seal.utterances) != (shard.rows, shard.utterances):
        raise StoreError(f"{file}: its seal does not match store.json; extract this shard again")
    if (rows := pq.read_metadata(file).num_rows) != shard.rows:
        raise StoreError(f"{file} has {rows} rows, store.json says {shard.rows}")


def _damaged_files(store: EmbeddingStore) -> Iterator[str]:
    for file in (store.header.rejects, *(file for shard in store.shards for file in shard.files)):
        if problem := _problem(check_digest, store.path, file):
            yield problem


def _unfit_shards(store: EmbeddingStore) -> Iterator[str]:
    for position, shard in enumerate(store.shards):
        try:
            _check_seal(store.path, store.header, shard)
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


def check_finite(source: EmbeddingStore, position: int, vectors_MD: NDArray[np.floating], advice: str) -> None:
    """Check the vectors of a shard, as stored or as enhanced.

    Raises:
        StoreError: some are not finite; names the first such utterance.
    """
    bad_M = ~np.isfinite(vectors_MD).all(axis=-1)
    if bad_M.any():
        row = source.shard_rows(position, ["utterance_id", "view"]).slice(int(bad_M.argmax()), 1).to_pylist()[0]
        raise StoreError(
            f"{source.path}, shard {position}: {bad_M.sum()} vectors are not finite, first utterance "
            f"{row['utterance_id']!r}, view {row['view']!r}; {advice}"
        )


EXTRACT_AGAIN = "run `reseed verify`, then extract the shard again"
