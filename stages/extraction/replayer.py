"""Render the audio behind stored vectors again, embed it, and compare."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from reseed.stages.audio.manifest import Utterance
from reseed.stages.audio.mix import mix
from reseed.stages.audio.recipe import CropSettings, ExtractSettings, View
from reseed.stages.extraction.extraction import Extraction, Order
from reseed.stages.extraction.lineage import located
from reseed.store import ConfigError, EmbeddingStore, ManifestError, StoreError


@dataclass(frozen=True)
class Replayed:
    """A vector that was made again: how it agrees with the stored one, and what it is made from."""

    utterance_id: str
    view: str
    crop: int
    cosine: float
    largest_difference: float
    row: dict[str, Any]
    written: Path | None

    def facts(self) -> dict[str, Any]:
        """Return it as JSON."""
        agreement = {"cosine": self.cosine, "largest_difference": self.largest_difference}
        return {**self.row, **agreement, "out": None if self.written is None else str(self.written)}

    def summary(self) -> str:
        """Return it in a few lines."""
        made = {key: value for key, value in self.row.items() if value not in (None, []) and key != "utterance_id"}
        lines = [
            f"{self.utterance_id}: cosine {self.cosine:.7f} with the stored vector, "
            f"largest difference {self.largest_difference:.2g}",
            *(f"  {key}: {', '.join(value) if isinstance(value, list) else value}" for key, value in made.items()),
        ]
        return "\n".join([*lines, f"audio: {self.written}"] if self.written else lines)


class Replayer:
    """What is needed to make vectors of a store again, once for many of them.

    Args:
        moved: role ("utterances", "noise", ..., "backbone") -> manifest or weights, where they no longer lie where the
            store says.

    Raises:
        StoreError: a store that was not extracted from audio, or by another backbone, rendering or cut than now.
        ManifestError: a manifest is gone, or is another one than the store was made from.
    """

    def __init__(self, store: Path, *, moved: Mapping[str, Path] | None = None, device: str = "cpu") -> None:
        self.store = EmbeddingStore(store)
        self.extraction = Extraction.of(_order(self.store, moved or {}, device))
        self._check()
        self._rows: dict[str, Utterance] = {}

    def replay(self, utterance: str, view: str, crop: int = 0, out: Path | None = None) -> Replayed:
        """Make one vector again.

        Args:
            out: write the rendered audio here, a .wav in float32, which clips nothing.

        Raises:
            StoreError: no such vector.
            ManifestError: no such utterance in the manifest.
            AudioError: the recording is gone or has changed.
        """
        stored = self.store.get(utterance, view=view, crop=crop).astype(np.float64)
        row = self._row(utterance)
        found = {(entry["view"], entry["crop"]): (entry, drawn) for entry, drawn in self.extraction.draw(row)}
        entry, drawn = found[view, crop]
        again = self.extraction.embedder([drawn])[0].cpu().numpy().astype(np.float64)
        if out is not None:
            rate = self.extraction.backbone.sample_rate_hz
            try:
                soundfile.write(out, mix([drawn], rate)[0].numpy(), rate, subtype="FLOAT")
            except soundfile.LibsndfileError as error:
                raise ConfigError(f"{out} cannot be written ({error})") from error
        cosine = float(stored @ again / (np.linalg.norm(stored) * np.linalg.norm(again)))
        return Replayed(utterance, view, crop, cosine, float(np.abs(stored - again).max()), entry, out)

    def _row(self, utterance: str) -> Utterance:
        for row in self.extraction.rows if not self._rows else ():
            self._rows[row.utterance_id] = row
        if utterance not in self._rows:
            raise ManifestError(
                f"{self.extraction.order.utterances} does not list {utterance!r}; where it was appended, give that "
                "manifest with --from utterances=PATH"
            )
        return self._rows[utterance]

    def _check(self) -> None:
        """Compare what there is now with what the store was made from."""
        then, now = self.store.header.declaration.inputs, self.extraction.declaration.inputs
        for role, digest in then["manifests"].items():
            grown = role == "utterances" and "edits" in then
            if now["manifests"].get(role) != digest and not grown:
                raise ManifestError(
                    f"the {role} manifest is another one than {self.store.path} was made from; "
                    f"give the old one with --from {role}=PATH"
                )
        differing = sorted(key for key in ("backbone", "rendering", "crops") if then.get(key) != now[key])
        if differing:
            key = differing[0]
            raise StoreError(f"{self.store.path} was made with {key} {then.get(key)}; this is {now[key]}")


def _order(store: EmbeddingStore, moved: Mapping[str, Path], device: str) -> Order:
    """Return the order that a store was made by."""
    declaration = store.header.declaration
    parents = {parent["role"]: parent for parent in declaration.lineage}
    if "backbone" not in parents or "manifests" not in declaration.inputs:
        raise StoreError(f"{store.path} was not extracted from audio by this version; there is nothing to replay")
    inputs = declaration.inputs
    settings = ExtractSettings(
        views={name: View.model_validate(recipe) for name, recipe in declaration.views.items()},
        crops=CropSettings.model_validate(inputs["crops"]),
        dtype=declaration.dtype,
        precision=inputs.get("precision", "float32"),
    )
    made_from = [*inputs["manifests"], *(role for role in ("backbone", "frontend") if role in parents)]
    unknown = sorted(moved.keys() - {*made_from})
    if unknown:
        known = ", ".join(made_from)
        raise ConfigError(f"{store.path} was made from nothing called {unknown[0]!r}; it was made from {known}")
    chosen = dict(parents["backbone"]["settings"])
    before = parents.get("frontend")
    frontend = moved.get("frontend") or (before and located(before["path"], store.path))
    if "backbone" in moved:
        chosen["model" if "model" in chosen else "weights"] = str(moved["backbone"].resolve())
    paths = {role: moved.get(role) or located(parents[role]["path"], store.path) for role in inputs["manifests"]}
    return Order(
        utterances=paths.pop("utterances"),
        sources=paths,
        backbone=parents["backbone"]["name"],
        backbone_settings=chosen,
        frontend=frontend,
        settings=settings,
        seed=inputs["seed"],
        device=device,
    )
