"""`extract`: utterances x crops x views -> a store, shard by shard, through the frozen backbone.

Shapes: B batch, T samples, D embedding dimension.
"""

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray

from stages.audio.bank import AudioBank
from stages.audio.decode import Waveform, read
from stages.audio.manifest import Utterance, manifest_digest, read_manifest
from stages.audio.recipe import ExtractSettings, sources_needed
from stages.audio.views import Rendering, crop_starts, render, stable_seed, wrap_pad
from stages.backbones import Backbone
from store import (
    AudioError,
    ConfigError,
    Declaration,
    Reject,
    begin_store,
    finalise,
    is_finalised,
    read_seal,
    write_shard,
)
from store.format import CATALOGUE_SCHEMA

_WHOLE_S = 60.0
_RENDERING = {"version": 1, "resampler": "torchaudio sinc_interp_hann"}


def plan_shards(n_utterances: int, n_shards: int) -> list[slice]:
    """Cut `n_utterances` into `n_shards` contiguous stretches whose lengths differ by at most one."""
    edges = [index * n_utterances // n_shards for index in range(n_shards + 1)]
    return [slice(start, stop) for start, stop in pairwise(edges)]


@dataclass(frozen=True)
class Job:
    """Which shards one process renders: those whose index is `index` modulo `count`."""

    index: int
    count: int

    @classmethod
    def parse(cls, text: str) -> "Job":
        """Parse "2/8": the third of eight jobs."""
        index, _, count = text.partition("/")
        if not (index.isdecimal() and count.isdecimal() and int(index) < int(count)):
            raise ConfigError(f"job {text!r} is not INDEX/COUNT with INDEX from 0 to COUNT - 1, e.g. 0/4")
        return cls(int(index), int(count))


def extract(
    *,
    utterances: Path,
    store: Path,
    backbone: Backbone,
    settings: ExtractSettings,
    seed: int,
    shards: int,
    sources: dict[str, Path] | None = None,
    job: Job | None = None,
    device: str = "cpu",
) -> str:
    """Extract a store, or with `job` only some of its shards. Shards already sealed by this recipe are kept.

    Args:
        utterances: corpus manifest; every row not rejected gives crops x views vectors.
        sources: "noise", "music", "rir" -> manifest of the recordings that views draw from.
        shards: how many shards the store has; a shard is the unit of work, of resume and of loss.

    Returns:
        One sentence on what was done.

    Raises:
        ConfigError: a view asks for a source that is not given.
        ManifestError: a manifest cannot be read.
    """
    extraction = _Extraction.of(utterances, sources or {}, backbone, settings, seed, device)
    plan = plan_shards(len(extraction.rows), shards)
    mine = range(shards) if job is None else range(job.index, shards, job.count)
    todo = [index for index in mine if not extraction.is_sealed(store, index, plan[index])]
    if todo:
        begin_store(store)
    for done, index in enumerate(todo, start=1):
        extraction.write(store, index, plan[index])
        print(f"{store}: shard {index} written ({done} of {len(todo)})", file=sys.stderr, flush=True)
    if job is not None:
        return f"{store}: {len(todo)} shards written by job {job.index}/{job.count}"
    if not todo and is_finalised(store, extraction.declaration, shards):
        return f"{store}: nothing to do, all {shards} shards are sealed"
    header = finalise(store, extraction.declaration, shards, len(extraction.rows))
    return f"{store}: {header.stored} utterances stored, {header.rejected} rejected, {len(todo)} shards written"


@dataclass(frozen=True)
class _Extraction:
    """All that rendering a shard needs, and the declaration that seals it."""

    rows: list[Utterance]
    bank: AudioBank
    backbone: Backbone
    settings: ExtractSettings
    seed: int
    device: str
    declaration: Declaration

    @classmethod
    def of(
        cls,
        utterances: Path,
        sources: dict[str, Path],
        backbone: Backbone,
        settings: ExtractSettings,
        seed: int,
        device: str,
    ) -> "_Extraction":
        missing = [kind for kind in sources_needed(settings.views) if kind not in sources]
        if missing:
            raise ConfigError(f"the views ask for {', '.join(missing)}; give the manifest with --{missing[0]}")
        parents = {"utterances": utterances, **sources}
        listed = {role: read_manifest(path) for role, path in parents.items()}
        rows = listed["utterances"]
        digests = {role: manifest_digest(listed[role]) for role in parents}
        declaration = _declare(backbone, settings, seed, digests)
        declaration.lineage.extend(
            {"role": role, "path": str(parents[role]), "digest": digests[role]} for role in sorted(parents)
        )
        bank = AudioBank({**listed, "babble": rows}, backbone.sample_rate_hz)
        return cls(rows, bank, backbone.frozen(device), settings, seed, device, declaration)

    def is_sealed(self, store: Path, index: int, stretch: slice) -> bool:
        """Say whether shard `index` is there already, made by this recipe from this stretch of the manifest."""
        source = manifest_digest(self.rows[stretch])
        return read_seal(store, index, self.declaration.fingerprint, source) is not None

    def write(self, store: Path, index: int, stretch: slice) -> None:
        """Render, embed and seal one shard."""
        rejects: list[Reject] = []
        catalogue: list[dict[str, object]] = []
        vectors = [
            self._embed(batch)
            for batch in _batched(self._rendered(self.rows[stretch], catalogue, rejects), self.settings.batch)
        ]
        stacked = np.concatenate(vectors) if vectors else np.empty((0, self.backbone.embedding_dim), np.float32)
        write_shard(
            store,
            index,
            stacked,
            pa.Table.from_pylist(catalogue, CATALOGUE_SCHEMA),
            self.declaration,
            rejects,
            source=manifest_digest(self.rows[stretch]),
        )

    def _rendered(
        self, rows: Sequence[Utterance], catalogue: list[dict[str, object]], rejects: list[Reject]
    ) -> Iterator[Waveform]:
        """Yield the waveforms of whole utterances in row order; list what they are, or why there are none."""
        for row in rows:
            try:
                rendered = list(self._render_utterance(row))
            except AudioError as error:
                rejects.append(Reject(row.utterance_id, "extract", f"{row.path} {error}"))
                continue
            for entry, rendering in rendered:
                catalogue.append(entry)
                yield rendering.waveform

    def _render_utterance(self, row: Utterance) -> Iterator[tuple[dict[str, object], Rendering]]:
        crops = self.settings.crops
        starts_s = crop_starts(crops, row, self.seed)
        for crop, (start_s, clean_T) in enumerate(zip(starts_s, self._cut(row, starts_s), strict=True)):
            for name, view in self.settings.views.items():
                rendering = render(
                    clean_T,
                    view,
                    self.bank,
                    seed=stable_seed(self.seed, row.utterance_id, name, crop),
                    speaker_id=row.speaker_id,
                    utterance_id=row.utterance_id,
                )
                yield _catalogue_row(row, name, crop, start_s, crops.duration_s, rendering), rendering

    def _cut(self, row: Utterance, starts_s: list[float]) -> Iterator[Waveform]:
        """Yield the crops; a recording of up to a minute is decoded once, of a longer one only the crops are."""
        rate, duration_s, path = self.backbone.sample_rate_hz, self.settings.crops.duration_s, Path(row.path)
        samples = round(duration_s * rate)
        whole_T = read(path, rate, row.start_s, row.duration_s) if row.duration_s <= _WHOLE_S else None
        for start_s in starts_s:
            if whole_T is None:
                crop_T = read(path, rate, row.start_s + start_s, duration_s)
            else:
                crop_T = whole_T[round(start_s * rate) :][:samples]
            yield wrap_pad(crop_T, samples)

    def _embed(self, waveforms: list[Waveform]) -> NDArray[np.float32]:
        waveform_BT = torch.from_numpy(np.stack(waveforms)).to(self.device)
        with torch.inference_mode():
            embedding_BD: NDArray[np.float32] = self.backbone(waveform_BT).float().cpu().numpy()
        return embedding_BD


def _declare(backbone: Backbone, settings: ExtractSettings, seed: int, digests: dict[str, str]) -> Declaration:
    """Declare the store: nothing but names, numbers and digests, so that the fingerprint survives moving files."""
    return Declaration(
        dim=backbone.embedding_dim,
        dtype=settings.dtype,
        views={name: view.recipe() for name, view in settings.views.items()},
        crops=settings.crops.count,
        space=backbone.space,
        inputs={
            "backbone": backbone.identity(),
            "crops": settings.crops.model_dump(),
            "seed": seed,
            "rendering": _RENDERING,
            "manifests": digests,
        },
    )


def _catalogue_row(
    row: Utterance, view: str, crop: int, start_s: float, duration_s: float, rendering: Rendering
) -> dict[str, object]:
    return {
        "utterance_id": row.utterance_id,
        "speaker_id": row.speaker_id,
        "view": view,
        "crop": crop,
        "start_s": start_s,
        "duration_s": duration_s,
        "noise_ids": rendering.noise_ids,
        "snr_db": rendering.snr_db,
        "rir_id": rendering.rir_id,
        "seed": rendering.seed,
    }


def _batched(waveforms: Iterator[Waveform], size: int) -> Iterator[list[Waveform]]:
    batch: list[Waveform] = []
    for waveform_T in waveforms:
        batch.append(waveform_T)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch
