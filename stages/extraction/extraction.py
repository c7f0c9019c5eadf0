"""An extraction: manifests, backbone and recipe put together, and the shards that come of them.

Threads decode and draw in advance while the backbone computes; batches are mixed on its device. In memory are the
vectors of one shard and a window of utterances, however long the manifest or a recording is.

Shapes: B batch, D embedding dimension.
"""

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby, islice, pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from torch import Tensor

from reseed.stages.audio.bank import AudioBank, CheckPath
from reseed.stages.audio.draw import Draw
from reseed.stages.audio.manifest import Manifest, Utterance, digest_of, digest_rows, manifest_digest
from reseed.stages.audio.remote.stores import REQUESTS
from reseed.stages.audio.remote.url import is_url
from reseed.stages.audio.vad.speech import load_detector
from reseed.stages.backbones.base import Backbone
from reseed.stages.backbones.table import load_backbone
from reseed.stages.common.device import claimed
from reseed.stages.common.threads import default_decoders, lanes, thread_map
from reseed.stages.extraction.declaration import declare
from reseed.stages.extraction.embedder import Embedder
from reseed.stages.extraction.order import ExtractOrder
from reseed.stages.extraction.utterance import CatalogueRow, UtteranceReader
from reseed.stages.frontends.folder import FrontendInfo, load_frontend
from reseed.store import AudioError, Declaration, Reject, read_seal, shard_name, write_shard
from reseed.store.format import CATALOGUE_SCHEMA, SPEECH_SCHEMA
from reseed.store.lock import only_writer

_ROWS_PER_SHARD = 32_768
_LEAST_SHARDS = 8


@dataclass(frozen=True)
class Extraction:
    """All that making a shard needs, and the declaration that seals it.

    Attributes:
        rows: the utterances: shards are stretches of them.
        row_digests: 32 bytes for each of them, in their order.
        backbone: on the CPU until the first vector is asked for.
    """

    order: ExtractOrder
    rows: Manifest | list[Utterance]
    row_digests: bytes
    reader: UtteranceReader
    backbone: Backbone
    declaration: Declaration

    @classmethod
    def open(cls, order: ExtractOrder, check: CheckPath | None = None) -> "Extraction":
        """Load the backbone, read the manifests and declare the store.

        Args:
            check: called with role and path before a recording that a view draws is opened.

        Raises:
            ConfigError: the backbone lacks a setting, or what detects speech is not installed.
            ManifestError: a manifest cannot be read.
            ModelError: the weights of the backbone cannot be loaded.
        """
        backbone, frontend = _network(order)
        manifests = {role: Manifest(path) for role, path in order.manifests.items()}
        row_digests = {path: digest_rows(Manifest(path)) for path in {*order.manifests.values()}}
        digests = {role: digest_of(row_digests[path]) for role, path in order.manifests.items()}
        sources = {kind: manifest for kind, manifest in manifests.items() if kind != "utterances"}
        bank, vad = AudioBank(sources, backbone.sample_rate_hz, check), order.settings.crops.vad
        detect = load_detector(vad) if vad else None
        return cls(
            order,
            manifests["utterances"],
            row_digests[order.utterances],
            UtteranceReader(order.settings, order.seed, bank, backbone.sample_rate_hz, detect),
            backbone,
            declare(order, digests, backbone, frontend),
        )

    @cached_property
    def embedder(self) -> Embedder:
        """The backbone on its device, which is claimed now: to plan or to seal takes none."""
        settings = self.order.settings
        return Embedder(
            self.backbone, claimed(self.order.device), settings.precision, settings.compile, settings.crops.windows
        )

    def plan(self, shards: int | None) -> list[slice]:
        """Cut the utterances into contiguous stretches, one per shard, whose lengths differ by at most one.

        Args:
            shards: how many; None: as many as keep each to minutes of work and tens of megabytes.
        """
        rows = len(self.rows)
        if shards is None:
            shards = max(_LEAST_SHARDS, -(-rows * self.declaration.rows_per_utterance // _ROWS_PER_SHARD))
        return plan_shards(rows, shards)

    def names(self, plan: Sequence[slice], first: int = 0) -> list[str]:
        """Return the names of the shards that this recipe makes from stretches of the manifest."""
        made_from = [digest_of(self.row_digests[32 * stretch.start : 32 * stretch.stop]) for stretch in plan]
        fingerprint = self.declaration.fingerprint
        return [shard_name(index, fingerprint, source) for index, source in enumerate(made_from, start=first)]

    def missing(self, store: Path, names: Sequence[str]) -> list[int]:
        """Return which of some shards are not there yet."""
        layout = self.order.settings.vectors
        return [place for place, name in enumerate(names) if read_seal(store, name, layout) is None]

    def write(self, store: Path, index: int, stretch: slice) -> str:
        """Render, embed and seal one shard; returns its name. Another process that is at it is waited for."""
        rows = self.rows[stretch]
        source = manifest_digest(rows)
        name = shard_name(index, self.declaration.fingerprint, source)
        with only_writer(store, name, wait=True):
            if read_seal(store, name, self.order.settings.vectors) is None:
                self._write(store, index, rows, source)
        return name

    def _write(self, store: Path, index: int, rows: Sequence[Utterance], source: str) -> None:
        rejects: list[Reject] = []
        catalogue: list[CatalogueRow] = []
        vectors = list(self._embedded(self._drawn(rows, catalogue, rejects)))
        stacked = np.concatenate(vectors) if vectors else np.empty((0, self.declaration.dim), np.float32)
        kept = self._finite(stacked, catalogue, rejects)
        schema = CATALOGUE_SCHEMA if self.reader.detect is None else SPEECH_SCHEMA
        table = pa.Table.from_pylist(catalogue, schema).filter(pa.array(kept))
        write_shard(store, index, stacked[kept], table, self.declaration, rejects, source=source)

    def _drawn(self, rows: Sequence[Utterance], catalogue: list[CatalogueRow], rejects: list[Reject]) -> Iterator[Draw]:
        """Yield the draws of whole utterances in row order; list what they are, or why there are none."""
        settings = self.order.settings
        least = REQUESTS if any(is_url(row.path) for row in rows[:1]) else 1
        threads = settings.decoders or max(least, default_decoders(self.embedder.device.type))
        # Whole utterances are batches of their own, and may be long.
        batches = 2 * -(-settings.batch // self.declaration.rows_per_utterance)
        window = threads + (batches if settings.crops.duration_s is not None else 2)
        for row, drawn in zip(rows, thread_map(self._draws_or_error, rows, threads, window), strict=True):
            if isinstance(drawn, AudioError):
                rejects.append(Reject(row.utterance_id, "extract", f"{row.path} {drawn}"))
                continue
            for catalogue_row, draw in drawn:
                catalogue.append(catalogue_row)
                yield draw

    def _draws_or_error(self, row: Utterance) -> list[tuple[CatalogueRow, Draw]] | AudioError:
        try:
            return self.reader.draws(row)
        except AudioError as error:
            return error

    def _embedded(self, draws: Iterator[Draw]) -> Iterator[NDArray[np.float32]]:
        """Yield vectors [B, D] batch by batch; a device computes one while the next is being put together.

        The cores of a CPU compute a batch each: whole batches side by side give the same bits on any number of cores.
        """
        batches = _batched(draws, self.order.settings.batch)
        side_by_side = 1 if self.embedder.device.type == "cuda" or self.order.settings.compile else lanes()
        if side_by_side > 1:
            embedder = self.embedder
            yield from thread_map(lambda batch: embedder(batch).numpy(), batches, side_by_side, 2 * side_by_side)
            return
        computing: deque[Tensor] = deque()
        for batch in batches:
            computing.append(self.embedder(batch))
            if len(computing) > 1:
                yield computing.popleft().cpu().numpy()
        yield from (embedding_BD.cpu().numpy() for embedding_BD in computing)

    def _finite(
        self, vectors_BD: NDArray[np.float32], catalogue: list[CatalogueRow], rejects: list[Reject]
    ) -> NDArray[np.bool_]:
        """Return which rows to keep: an utterance with a vector that is not finite becomes a reject."""
        rows = self.declaration.rows_per_utterance
        with np.errstate(over="ignore"):
            stored = vectors_BD.astype(self.declaration.dtype)
        finite = np.isfinite(stored).all(axis=1).reshape(-1, rows).all(axis=1)
        for number in np.flatnonzero(~finite):
            reason = f"gives a vector that is not finite in {self.declaration.dtype}"
            rejects.append(Reject(str(catalogue[number * rows]["utterance_id"]), "extract", reason))
        return np.repeat(finite, rows)


def plan_shards(n_utterances: int, n_shards: int) -> list[slice]:
    """Cut `n_utterances` into `n_shards` contiguous stretches whose lengths differ by at most one."""
    edges = [index * n_utterances // n_shards for index in range(n_shards + 1)]
    return [slice(start, stop) for start, stop in pairwise(edges)]


def _network(order: ExtractOrder) -> tuple[Backbone, FrontendInfo | None]:
    """Load the backbone of an order, with the front end that stands before it."""
    backbone = load_backbone(order.backbone, order.backbone_settings)
    return (backbone, None) if order.frontend is None else load_frontend(order.frontend, backbone)


def _batched(draws: Iterable[Draw], size: int) -> Iterator[list[Draw]]:
    """Yield up to `size` draws at a time, all of one length, so that none is padded."""
    for _, alike in groupby(draws, lambda drawn: len(drawn.speech)):
        while batch := list(islice(alike, size)):
            yield batch
