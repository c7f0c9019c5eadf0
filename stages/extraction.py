"""An extraction: manifests, backbone and recipe put together, and the shards it makes.

Shapes: B batch, T samples, D embedding dimension.
"""

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
from stages.audio.manifest import Utterance, check_unchanged, manifest_digest, read_manifest
from stages.audio.recipe import ExtractSettings, sources_needed
from stages.audio.views import RENDERING, Rendering, crop_starts, render, stable_seed, wrap_pad
from stages.backbones import Backbone
from store import AudioError, ConfigError, Declaration, Reject, read_seal, shard_name, write_shard
from store.format import CATALOGUE_SCHEMA

_WHOLE_S = 60.0
_SILENT_POWER = 1e-8  # -80 dBFS: there is nobody in such a crop, and noise cannot be added at an SNR to nothing


def plan_shards(n_utterances: int, n_shards: int) -> list[slice]:
    """Cut `n_utterances` into `n_shards` contiguous stretches whose lengths differ by at most one."""
    edges = [index * n_utterances // n_shards for index in range(n_shards + 1)]
    return [slice(start, stop) for start, stop in pairwise(edges)]


@dataclass(frozen=True)
class Extraction:
    """All that making a shard needs, and the declaration that seals it.

    Attributes:
        rows: the manifest: shards are stretches of it.
        bank: what views draw from.
    """

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
    ) -> "Extraction":
        """Read the manifests and declare the store.

        Args:
            sources: "noise", "music", "rir", "babble" -> manifest; babble comes from `utterances` by default.

        Raises:
            ConfigError: a view asks for a source that is not given.
            ManifestError: a manifest cannot be read.
        """
        missing = [kind for kind in sources_needed(settings.views) if kind not in (*sources, "babble")]
        if missing:
            raise ConfigError(f"the views ask for {', '.join(missing)}; give the manifest with --{missing[0]}")
        parents = {"utterances": utterances, "babble": utterances, **sources}
        wanted = ["utterances", *sources_needed(settings.views)]
        listed = {role: read_manifest(parents[role]) for role in wanted}
        digests = {role: manifest_digest(listed[role]) for role in wanted}
        declaration = _declare(backbone, settings, seed, digests)
        declaration.lineage.extend(
            {"role": role, "path": str(parents[role]), "digest": digests[role]} for role in wanted
        )
        bank = AudioBank(listed, backbone.sample_rate_hz)
        return cls(listed["utterances"], bank, backbone.frozen(device), settings, seed, device, declaration)

    def name(self, index: int, stretch: slice) -> str:
        """Return the name of the shard that this recipe makes from a stretch of the manifest."""
        return shard_name(index, self.declaration.fingerprint, manifest_digest(self.rows[stretch]))

    def missing(self, store: Path, names: Sequence[str]) -> list[int]:
        """Return which of some shards are not there yet."""
        return [place for place, name in enumerate(names) if read_seal(store, name, self.settings.vectors) is None]

    def write(self, store: Path, index: int, stretch: slice) -> None:
        """Render, embed and seal one shard."""
        rejects: list[Reject] = []
        catalogue: list[dict[str, object]] = []
        vectors = [
            self._embed(batch)
            for batch in _batched(self._rendered(self.rows[stretch], catalogue, rejects), self.settings.batch)
        ]
        stacked = np.concatenate(vectors) if vectors else np.empty((0, self.backbone.embedding_dim), np.float32)
        kept = self._finite(stacked, catalogue, rejects)
        write_shard(
            store,
            index,
            stacked[kept],
            pa.Table.from_pylist(catalogue, CATALOGUE_SCHEMA).filter(pa.array(kept)),
            self.declaration,
            rejects,
            source=manifest_digest(self.rows[stretch]),
        )

    def _finite(
        self, vectors_BD: NDArray[np.float32], catalogue: list[dict[str, object]], rejects: list[Reject]
    ) -> NDArray[np.bool_]:
        """Return which rows to keep: an utterance with a vector that is not finite becomes a reject."""
        rows = self.declaration.rows_per_utterance
        finite = np.isfinite(vectors_BD).all(axis=1).reshape(-1, rows).all(axis=1)
        for number in np.flatnonzero(~finite):
            reason = "gives a vector that is not finite"
            rejects.append(Reject(str(catalogue[number * rows]["utterance_id"]), "extract", reason))
        return np.repeat(finite, rows)

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
        rate, crop_s, path = self.backbone.sample_rate_hz, self.settings.crops.duration_s, Path(row.path)
        samples = round(crop_s * rate)
        check_unchanged(row.path, row.sha256)
        whole_T = read(path, rate, row.start_s, row.duration_s) if row.duration_s <= _WHOLE_S else None
        for start_s in starts_s:
            if whole_T is None:
                crop_T = read(path, rate, row.start_s + start_s, min(crop_s, row.duration_s - start_s))
            else:
                crop_T = whole_T[round(start_s * rate) :][:samples]
            if float(np.mean(crop_T**2)) < _SILENT_POWER:
                raise AudioError(f"is silent from {start_s:.2f} s on, for a whole crop of {crop_s} s")
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
        vectors=settings.vectors,
        views={name: view.recipe() for name, view in settings.views.items()},
        crops=settings.crops.count,
        space=backbone.space,
        inputs={
            "backbone": backbone.identity(),
            "crops": settings.crops.model_dump(),
            "seed": seed,
            "rendering": RENDERING,
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
