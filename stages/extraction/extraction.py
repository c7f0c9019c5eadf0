"""An extraction: manifests, backbone and recipe put together, and the shards it makes.

Threads decode and draw ahead while the backbone computes; batches are mixed on its device. In memory are the vectors of
one shard and a window of utterances, however long the manifest or a recording is.

Shapes: B batch, T samples, D embedding dimension.
"""

from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import soundfile
from numpy.typing import NDArray
from torch import Tensor

from reseed.stages.audio.bank import WHOLE_S, AudioBank
from reseed.stages.audio.decode import Waveform, read
from reseed.stages.audio.manifest import Manifest, Utterance, check_unchanged, digest_of, digest_rows, manifest_digest
from reseed.stages.audio.recipe import ExtractSettings, check_sources
from reseed.stages.audio.views import RENDERING, Draw, crop_starts, draw, stable_seed, wrap_pad
from reseed.stages.backbones.base import Backbone
from reseed.stages.backbones.table import backbone_class
from reseed.stages.common.device import claimed
from reseed.stages.common.threads import ahead, default_decoders
from reseed.stages.extraction.embedder import Embedder
from reseed.stages.frontends.folder import load_frontend
from reseed.store import AudioError, Declaration, Reject, read_seal, shard_name, write_shard
from reseed.store.atomic import digest
from reseed.store.format import CATALOGUE_SCHEMA

_SILENT_POWER = 1e-8  # -80 dBFS: there is nobody in such a crop, and noise cannot be added at an SNR to nothing
_ROWS_PER_SHARD = 32_768
_LEAST_SHARDS = 8

Entry = dict[str, object]


@dataclass(frozen=True)
class Order:
    """What to extract, by paths, names and numbers: all that another process needs to take part.

    Attributes:
        utterances: corpus manifest; every row not rejected gives crops x views vectors.
        sources: "noise", "music", "rir", "babble" -> manifest of the recordings that views draw from; babble comes
            from `utterances` by default.
        backbone: its name, and the settings of its Config.
        frontend: directory of a front end that stands before the backbone.
        device: "cpu", "cuda", "cuda:1" or "auto".
    """

    utterances: Path
    backbone: str
    settings: ExtractSettings
    seed: int
    sources: Mapping[str, Path] = field(default_factory=dict)
    backbone_settings: Mapping[str, Any] = field(default_factory=dict)
    frontend: Path | None = None
    device: str = "cpu"

    def anywhere(self) -> "Order":
        """Return the same order as understood in any folder: its paths made absolute."""
        sources = {role: path.resolve() for role, path in self.sources.items()}
        frontend = self.frontend and self.frontend.resolve()
        return replace(self, utterances=self.utterances.resolve(), sources=sources, frontend=frontend)


@dataclass(frozen=True)
class Extraction:
    """All that making a shard needs, and the declaration that seals it.

    Attributes:
        rows: the utterances: shards are stretches of them.
        row_digests: 32 bytes for each of them, in their order.
        bank: what views draw from.
        backbone: on the CPU until the first vector is asked for.
    """

    order: Order
    rows: Manifest | list[Utterance]
    row_digests: bytes
    bank: AudioBank
    backbone: Backbone
    declaration: Declaration

    @cached_property
    def embedder(self) -> Embedder:
        """The backbone on its device, which is claimed now: to plan or to seal takes none."""
        settings = self.order.settings
        return Embedder(self.backbone, claimed(self.order.device), settings.precision, settings.compile)

    @classmethod
    def of(cls, order: Order) -> "Extraction":
        """Read the manifests, load the backbone and declare the store.

        Raises:
            ConfigError: a view asks for a source that is not given, or the backbone lacks a setting.
            ManifestError: a manifest cannot be read.
            ModelError: the weights of the backbone cannot be loaded.
        """
        settings, needed = order.settings, check_sources(order.settings.views, (*order.sources, "babble"))
        paths = {"utterances": order.utterances, "babble": order.utterances, **order.sources}
        manifests = {role: Manifest(paths[role]) for role in ("utterances", *needed)}
        network = backbone_class(order.backbone)
        backbone = network(network.Config.model_validate(order.backbone_settings))
        if order.frontend is not None:
            backbone, info = load_frontend(order.frontend, backbone)
        row_digests = {path: digest_rows(Manifest(path)) for path in {paths[role] for role in manifests}}
        digests = {role: digest_of(row_digests[paths[role]]) for role in manifests}
        declaration = _declare(backbone, settings, order.seed, digests)
        declaration.lineage.extend(
            {"role": role, "path": str(paths[role]), "digest": found} for role, found in digests.items()
        )
        settings_given = dict(order.backbone_settings)
        weights = str(settings_given.get("weights", order.backbone))
        declaration.lineage.append(
            {
                "role": "backbone",
                "path": weights,
                "digest": digest(backbone.identity()),
                "name": order.backbone,
                "settings": settings_given,
            }
        )
        if order.frontend is not None:
            declaration.lineage.append(
                {"role": "frontend", "path": str(order.frontend), "digest": info.weights_sha256, "name": info.method}
            )
        bank = AudioBank({kind: manifests[kind] for kind in needed}, backbone.sample_rate_hz)
        return cls(order, manifests["utterances"], row_digests[order.utterances], bank, backbone, declaration)

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
        """Render, embed and seal one shard; returns its name."""
        rows = self.rows[stretch]
        rejects: list[Reject] = []
        catalogue: list[Entry] = []
        vectors = list(self._embedded(self._drawn(rows, catalogue, rejects)))
        stacked = np.concatenate(vectors) if vectors else np.empty((0, self.declaration.dim), np.float32)
        kept = self._finite(stacked, catalogue, rejects)
        table = pa.Table.from_pylist(catalogue, CATALOGUE_SCHEMA).filter(pa.array(kept))
        return write_shard(store, index, stacked[kept], table, self.declaration, rejects, source=manifest_digest(rows))

    def draw(self, row: Utterance) -> list[tuple[Entry, Draw]]:
        """Cut an utterance and draw all its views: (catalogue row, draw) for each crop and view.

        Raises:
            AudioError: the recording cannot be used.
            ManifestError: a recording that a view needs cannot be used, or there is none.
        """
        crops, seed = self.order.settings.crops, self.order.seed
        starts_s = crop_starts(crops, row, seed)
        drawn = []
        for crop, (start_s, clean_T) in enumerate(zip(starts_s, self._cut(row, starts_s), strict=True)):
            for name, view in self.order.settings.views.items():
                view_seed = stable_seed(seed, row.utterance_id, name, crop)
                found = draw(clean_T, view, self.bank, seed=view_seed, speaker=row.speaker_id or row.utterance_id)
                drawn.append((_catalogue_row(row, name, crop, start_s, crops.duration_s, found), found))
        return drawn

    def _drawn(self, rows: Sequence[Utterance], catalogue: list[Entry], rejects: list[Reject]) -> Iterator[Draw]:
        """Yield the draws of whole utterances in row order; list what they are, or why there are none."""
        settings = self.order.settings
        threads = settings.decoders or default_decoders(self.embedder.device.type)
        window = threads + 2 * -(-settings.batch // self.declaration.rows_per_utterance)
        for row, drawn in zip(rows, ahead(self._draw_or_reason, rows, threads=threads, window=window), strict=True):
            if isinstance(drawn, AudioError):
                rejects.append(Reject(row.utterance_id, "extract", f"{row.path} {drawn}"))
                continue
            for entry, found in drawn:
                catalogue.append(entry)
                yield found

    def _draw_or_reason(self, row: Utterance) -> list[tuple[Entry, Draw]] | AudioError:
        try:
            return self.draw(row)
        except AudioError as error:
            return error

    def _cut(self, row: Utterance, starts_s: Sequence[float]) -> Iterator[Waveform]:
        """Yield the crops; the stretch that holds them is decoded once unless it is long, and never more than that."""
        rate, crop_s, path = self.backbone.sample_rate_hz, self.order.settings.crops.duration_s, Path(row.path)
        check_unchanged(row.path, row.sha256)
        first_s, samples = min(starts_s), round(crop_s * rate)
        span_s = min(max(starts_s) + crop_s, row.duration_s) - first_s
        span_T = read(path, rate, row.start_s + first_s, span_s) if span_s <= max(WHOLE_S, crop_s) else None
        for start_s in starts_s:
            if span_T is None:
                crop_T = read(path, rate, row.start_s + start_s, min(crop_s, row.duration_s - start_s))
            else:
                crop_T = span_T[round((start_s - first_s) * rate) :][:samples]
            if float(np.mean(crop_T**2)) < _SILENT_POWER:
                raise AudioError(f"is silent from {start_s:.2f} s on, for a whole crop of {crop_s} s")
            yield wrap_pad(crop_T, samples)

    def _embedded(self, draws: Iterator[Draw]) -> Iterator[NDArray[np.float32]]:
        """Yield vectors [B, D] batch by batch; a device computes one while the next is being put together."""
        computing: deque[Tensor] = deque()
        for batch in _batched(draws, self.order.settings.batch):
            computing.append(self.embedder(batch))
            if len(computing) > 1:
                yield computing.popleft().cpu().numpy()
        yield from (embedding_BD.cpu().numpy() for embedding_BD in computing)

    def _finite(
        self, vectors_BD: NDArray[np.float32], catalogue: list[Entry], rejects: list[Reject]
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


def _declare(backbone: Backbone, settings: ExtractSettings, seed: int, digests: dict[str, str]) -> Declaration:
    """Declare the store: nothing but names, numbers and digests, so that the fingerprint survives moving files."""
    coded = any(view.codec for view in settings.views.values())
    return Declaration(
        dim=backbone.embedding_dim,
        dtype=settings.dtype,
        vectors=settings.vectors,
        views={name: view.recipe() for name, view in settings.views.items()},
        crops=settings.crops.count,
        space=backbone.space,
        inputs={
            "backbone": backbone.identity(),
            "precision": settings.precision,
            "crops": settings.crops.model_dump(),
            "seed": seed,
            "rendering": {**RENDERING, **({"libsndfile": soundfile.__libsndfile_version__} if coded else {})},
            "manifests": digests,
        },
    )


def _catalogue_row(row: Utterance, view: str, crop: int, start_s: float, duration_s: float, drawn: Draw) -> Entry:
    return {
        "utterance_id": row.utterance_id,
        "speaker_id": row.speaker_id,
        "view": view,
        "crop": crop,
        "start_s": start_s,
        "duration_s": duration_s,
        "noise_ids": drawn.noise_ids,
        "snr_db": drawn.snr_db,
        "rir_id": drawn.rir_id,
        "effects": drawn.effects,
        "seed": drawn.seed,
    }


def _batched(draws: Iterable[Draw], size: int) -> Iterator[list[Draw]]:
    batch: list[Draw] = []
    for drawn in draws:
        batch.append(drawn)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch
