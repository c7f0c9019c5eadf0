"""Say what is wrong with a store: every file against store.json, every shard against its seal, all vectors finite."""

from collections.abc import Callable, Collection, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pyarrow.parquet as pq

from reseed.store.checks import check_coverage, check_digest
from reseed.store.errors import StoreError
from reseed.store.format import Header, place_of_file
from reseed.store.header import read_header
from reseed.store.layouts import Vectors, catalogue_file
from reseed.store.seals import seal_in
from reseed.store.shards import EXTRACT_AGAIN, ShardReader
from reseed.store.states import use_rejects
from reseed.store.url import AnyPath
from reseed.store.writer import read_rejects


def problems(
    store: AnyPath, header: Header, manifest_ids: Iterable[str] | None = None, version: int | None = None
) -> Iterator[str]:
    """Yield each problem as one line that names the file; a sound store yields none.

    Args:
        manifest_ids: the utterances that the store should cover: each must be stored or rejected.
        version: number of an earlier state, whose header this is.
    """
    readers = [ShardReader(store, shard, header.declaration, version=version) for shard in header.shards]
    files = [file for shard in header.shards for file in shard.files]
    found = [_problem(use_rejects, store, header, read_rejects, version)]
    found += [_problem(check_digest, place_of_file(store, file.name, version), file) for file in files]
    found += [_problem(_check_values, reader) for reader in readers]
    yield from filter(None, dict.fromkeys(found))  # a shard that is not there is missed by both checks
    if manifest_ids is not None:
        rejects = use_rejects(store, header, read_rejects, version)
        covered = {reject.utterance_id for reject in rejects}.union(*(reader.utterances for reader in readers))
        if missing := sorted(set(manifest_ids) - covered):
            lost = f"{len(missing)} utterances of the manifest are neither stored nor rejected"
            yield f"{store}: {lost}, first {missing[0]}; extract the store again"


def undamaged(path: AnyPath, positions: Collection[int] | None = None) -> tuple[Header, list[str]]:
    """Return the header of a store with those shards alone that are as they were written, and what is wrong beside.

    Args:
        positions: only these of its shards, and nothing is known of the others; None: all.

    Raises:
        StoreError: not a store, an unknown version, or an altered header: then nothing can be said.
    """
    header = read_header(path)
    asked = [shard for place, shard in enumerate(header.shards) if positions is None or place in positions]
    readers = [ShardReader(path, shard, header.declaration) for shard in asked]
    with ThreadPoolExecutor() as pool:  # hashing releases the interpreter
        found = list(pool.map(lambda reader: _problem(_check_files, reader), readers))
    sound = [shard for shard, problem in zip(asked, found, strict=True) if problem is None]
    found += [_problem(check_coverage, path, header), _problem(use_rejects, path, header, read_rejects)]
    return replace(header, shards=sound), [problem for problem in found if problem is not None]


def _problem(check: Callable[..., object], *arguments: Any) -> str | None:
    try:
        check(*arguments)
    except (StoreError, OSError) as error:
        return str(error)
    return None


def _check_files(reader: ShardReader) -> None:
    for file in reader.shard.files:
        check_digest(reader.store / file.name, file)
    _sealed_vectors(reader)


def _check_values(reader: ShardReader) -> None:
    reader.check_finite(_sealed_vectors(reader), EXTRACT_AGAIN)


def _sealed_vectors(reader: ShardReader) -> Vectors:
    """Return the vectors of a shard, if its seal, its catalogue and store.json agree on how many there are."""
    shard, file = reader.shard, catalogue_file(reader.store, reader.shard.name)
    catalogue = reader.catalogue()
    seal = seal_in(catalogue)
    if seal is None or (seal.rows, seal.utterances) != (shard.rows, shard.utterances):
        raise StoreError(f"{file}: its seal does not match store.json; extract this shard again")
    if (rows := pq.read_metadata(catalogue).num_rows) != shard.rows:
        raise StoreError(f"{file} has {rows} rows, store.json says {shard.rows}")
    return reader.vectors()
