"""An extraction: manifests, backbone and recipe put together, and the shards that come of them.

In memory are the vectors of one shard, however long the manifest is.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from pathlib import Path

import pyarrow as pa

from reseed.stages.audio.bank import AudioBank, CheckPath
from reseed.stages.audio.manifest import Manifest, Utterance, digest_of, digest_rows, manifest_digest
from reseed.stages.audio.vad.speech import load_detector
from reseed.stages.backbones.base import Backbone
from reseed.stages.backbones.table import load_backbone
from reseed.stages.common.device import claimed
from reseed.stages.extraction.declaration import declare
from reseed.stages.extraction.embedder import Embedder
from reseed.stages.extraction.order import ExtractOrder
from reseed.stages.extraction.rendering import Rendered, Rendering
from reseed.stages.extraction.utterance import CatalogueRow, UtteranceReader
from reseed.stages.frontends.folder import FrontendInfo, load_frontend
from reseed.store import Declaration, read_seal, shard_name, write_shard
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
        made = self.render(rows, self.declaration.view_names)
        rejects = [*made.unread, *made.not_finite]
        write_shard(store, index, made.vectors_MD, self.table(made.catalogue), self.declaration, rejects, source)

    def render(self, rows: Sequence[Utterance], views: Sequence[str]) -> Rendered:
        """Render and embed some views of the utterances of one shard."""
        return Rendering(rows, self.reader, self.embedder, views, self.declaration.dtype).render()

    def table(self, catalogue: list[CatalogueRow]) -> pa.Table:
        """Return rows as the catalogue of a shard."""
        return pa.Table.from_pylist(catalogue, CATALOGUE_SCHEMA if self.reader.detect is None else SPEECH_SCHEMA)


def plan_shards(n_utterances: int, n_shards: int) -> list[slice]:
    """Cut `n_utterances` into `n_shards` contiguous stretches whose lengths differ by at most one."""
    edges = [index * n_utterances // n_shards for index in range(n_shards + 1)]
    return [slice(start, stop) for start, stop in pairwise(edges)]


def _network(order: ExtractOrder) -> tuple[Backbone, FrontendInfo | None]:
    """Load the backbone of an order, with the front end that stands before it."""
    backbone = load_backbone(order.backbone, order.backbone_settings)
    return (backbone, None) if order.frontend is None else load_frontend(order.frontend, backbone)
