"""An index of the utterances of a store: faiss' inverted file of product-quantised codes, kept beside the store.

Vectors are assigned to the nearest of some 4 sqrt(U) centroids; a query looks through the codes of the lists nearest to
it (Jégou et al., "Product quantization for nearest neighbor search", IEEE TPAMI 33, 2011; codes of 4 bits that are
summed in registers: André et al., "Quicker ADC", IEEE TPAMI 43, 2021). The candidates are then compared by the store's
own vectors: cosines are exact, and an index can only miss a neighbour. How often it does is measured when it is made.

Shapes: U utterances, D embedding dimension, Q queries, K neighbours.
"""

import json
import math
import re
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from reseed.stages.common.terminal import log
from reseed.stages.common.threads import given_cores
from reseed.stages.search.exact import best, nearest_among
from reseed.stages.search.vectors import Float32, Rows, blocks, taken
from reseed.store import ConfigError, EmbeddingStore, StoreError, WriteError
from reseed.store.atomic import atomic_paths, digest, sha256_file, sha256_once
from reseed.store.bounded import read_json
from reseed.store.cache import cache_folder
from reseed.store.outputs import check_file
from reseed.store.url import Url

LARGE = 100_000  # utterances from which on an index is worth making
RECALL_AT = 10
_WANTED = 0.99  # recall at 10 that decides how many lists are looked through
_STEP = 1.4  # from one number of lists that is tried to the next
_SAMPLE = 256  # utterances by which it is measured
_MOST_LISTS = 8192  # each vector is compared with every centroid
_ROUNDS = 5  # of k-means
_MANY_DIMENSIONS = 64
_TRAINED_BY = 40  # vectors for each centroid
_CANDIDATES = (16, 64)  # for each neighbour that is asked for, compared by the store's own vectors
_FORMAT = "reseed index 1"


@dataclass(frozen=True)
class About:
    """What is known of an index.

    Attributes:
        key: digest of the store's fingerprint and files, and the view.
        lists: of centroids.
        probes: lists that a query looks through.
        candidates: for each neighbour that is asked for.
        recall: share of the 10 nearest others that is found, of sampled utterances of the store against exact search.
        sha256: of the file of the index.
    """

    key: str
    view: str
    utterances: int
    lists: int
    probes: int
    candidates: int
    recall: float
    sha256: str
    format: str = _FORMAT


class Index:
    """An index, opened."""

    def __init__(self, faiss_index: Any, about: About) -> None:
        self.about, self._index = about, faiss_index
        faiss().extract_index_ivf(faiss_index).nprobe = about.probes

    def candidates(self, query_QD: Float32, nearest: int) -> Rows:
        """Return the numbers of utterances that may be the nearest, [Q, some times K]; -1 where there are fewer."""
        wanted = min(self.about.candidates * max(nearest, RECALL_AT), self.about.utterances)
        faiss().omp_set_num_threads(given_cores())
        rows_QK: Rows = self._index.search(np.ascontiguousarray(query_QD), wanted)[1]
        return rows_QK


def is_installed() -> bool:
    """Whether the extra `search` is there."""
    try:
        faiss()
    except ConfigError:
        return False
    return True


def faiss() -> Any:
    """Return the package faiss.

    Raises:
        ConfigError: it is not installed.
    """
    try:
        import faiss as found
    except ImportError as error:
        text = f"an index needs the extra search ({error}); run `uv pip install faiss-cpu`"
        raise ConfigError(text) from error
    return found


def place(store: EmbeddingStore, view: str) -> Path:
    """Return where the index of a view is kept: beside the store, or of one far away in the cache of this machine."""
    name = view if re.fullmatch(r"\w[\w.-]*", view) else digest(view)[:16]
    if isinstance(store.path, Url):
        return cache_folder() / "indexes" / store.fingerprint[:16] / f"{name}.faiss"
    path = store.path.resolve()
    return path.with_name(f"{path.name}.index") / f"{name}.faiss"


def open_index(store: EmbeddingStore, view: str) -> Index | None:
    """Return the index that is kept of a view; None where there is none, or one of other vectors."""
    path = place(store, view)
    about = _about(path)
    if about is None or about.key != _key(store, view) or not is_installed() or sha256_once(path) != about.sha256:
        return None
    try:
        return Index(faiss().read_index(str(path)), about)
    except RuntimeError:  # of another version of faiss
        return None


def build_index(store: EmbeddingStore, view: str) -> Index:
    """Make the index of a view and keep it beside the store.

    Raises:
        ConfigError: faiss is not installed, or what lies there is no index.
        StoreError: there is no such view, or no utterance.
    """
    library, path = faiss(), place(store, view)
    for file in (path, _beside(path)):
        check_file(file, "an index", lambda _: _about(path) is not None)
    utterances = store.header.stored
    if not utterances:
        raise StoreError(f"{store.path} holds no utterance; there is nothing to index")
    library.omp_set_num_threads(given_cores())
    index = library.index_factory(store.dim, _factory(utterances, store.dim), library.METRIC_INNER_PRODUCT)
    lists = library.extract_index_ivf(index)
    lists.cp.niter = _ROUNDS
    lists.cp.max_points_per_centroid, lists.cp.min_points_per_centroid = _TRAINED_BY, 1
    index.train(_sampled(store, view, _TRAINED_BY * lists.nlist))
    for unit_UD in blocks(store, view):
        index.add(unit_UD)
    tuned = _tuned(store, view, index, lists.nlist)
    try:
        _keep(path, index, replace(tuned, key=_key(store, view)))
    except WriteError as error:  # a store of others
        log(f"WARNING: {error}; the index is used this once and not kept")
    return Index(index, tuned)


def _keep(path: Path, index: Any, about: About) -> None:
    with atomic_paths(path, _beside(path)) as (file, beside):
        faiss().write_index(index, str(file))
        said = asdict(replace(about, sha256=sha256_file(file)))
        beside.write_text(json.dumps(said, indent=1) + "\n", encoding="utf-8")


def _factory(utterances: int, dim: int) -> str:
    """Return what faiss calls the index: codes of 4 bits for two dimensions; in small spaces or stores of 8 for one."""
    lists = max(1, min(round(4 * math.sqrt(utterances)), utterances // _TRAINED_BY, _MOST_LISTS))
    is_large = dim % 2 == 0 and dim >= _MANY_DIMENSIONS and utterances >= _TRAINED_BY * 16
    return f"IVF{lists},{f'PQ{dim // 2}x4fs' if is_large else 'SQ8'}"


def _tuned(store: EmbeddingStore, view: str, index: Any, lists: int) -> About:
    """Return by how many lists and candidates an index finds what is wanted of the nearest: the fewest, by steps."""
    query_QD = _sampled(store, view, _SAMPLE)
    nearest = min(RECALL_AT + 1, index.ntotal)  # each finds itself first, which does not count
    exact_QK = nearest_among(blocks(store, view), query_QD, nearest)[0][:, 1:]
    about = About("", view, index.ntotal, lists, 1, _CANDIDATES[0], 0.0, "")
    for candidates in _CANDIDATES:
        about = replace(about, candidates=candidates)
        while True:
            found_QK, _ = ranked(store, view, Index(index, about), query_QD, nearest)
            about = replace(about, recall=recall_of(exact_QK, found_QK))
            if about.recall >= _WANTED or about.probes == lists:
                break
            about = replace(about, probes=min(math.ceil(_STEP * about.probes), lists))
        if about.recall >= _WANTED:
            break
    return about


def ranked(store: EmbeddingStore, view: str, index: Index, query_QD: Float32, nearest: int) -> tuple[Rows, Float32]:
    """Return the nearest of the candidates of an index, by the store's own vectors: numbers and cosines [Q, K]."""
    candidate_QK = index.candidates(query_QD, nearest)
    numbers, place_N = np.unique(candidate_QK[candidate_QK >= 0], return_inverse=True)
    unit_ND = taken(store, view, numbers)
    cosine_QK = np.full(candidate_QK.shape, -np.inf, np.float32)
    query_N = np.nonzero(candidate_QK >= 0)[0]
    cosine_QK[candidate_QK >= 0] = np.einsum("nd,nd->n", unit_ND[place_N.reshape(-1)], query_QD[query_N])
    return best(candidate_QK, cosine_QK, nearest)


def recall_of(exact_QK: Rows, found_QK: Rows) -> float:
    """Return the share of the exact neighbours that were found."""
    found = [np.isin(exact_K, found_K) for exact_K, found_K in zip(exact_QK, found_QK, strict=True)]
    return float(np.mean(found)) if exact_QK.size else 1.0


def _sampled(store: EmbeddingStore, view: str, count: int) -> Float32:
    """Return the unit vectors of utterances drawn at random, the same each time."""
    utterances = store.header.stored
    chosen = np.random.default_rng(0).choice(utterances, min(count, utterances), replace=False)
    return taken(store, view, np.sort(chosen))


def _key(store: EmbeddingStore, view: str) -> str:
    files = [file.sha256 for shard in store.shards for file in shard.files]
    return digest([store.fingerprint, files, view])


def _beside(path: Path) -> Path:
    return path.with_suffix(".json")


def _about(path: Path) -> About | None:
    """Return what stands beside an index; None where there is no index."""
    try:
        found = About(**read_json(_beside(path)))
        return found if found.format == _FORMAT and path.is_file() else None
    except (OSError, ValueError, TypeError):
        return None
