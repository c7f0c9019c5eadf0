"""Render the audio behind stored vectors again, embed it, and compare."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from operator import le
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.compute as pc

from reseed.stages.audio.draw import Draw
from reseed.stages.audio.encode import encoded, write_audio
from reseed.stages.audio.manifest import Utterance
from reseed.stages.audio.mix import mix
from reseed.stages.audio.recipe import ExtractSettings
from reseed.stages.audio.vad.speech import Stretch
from reseed.stages.backbones.table import backbone_class
from reseed.stages.common.terminal import lines
from reseed.stages.extraction.allowed import Allowed
from reseed.stages.extraction.declaration import extracted_inputs
from reseed.stages.extraction.extraction import Extraction
from reseed.stages.extraction.lineage import find_path
from reseed.stages.extraction.order import ExtractOrder
from reseed.stages.extraction.utterance import Cut
from reseed.store import ConfigError, EmbeddingStore, ManifestError, StoreError
from reseed.store.inputs import Parent
from reseed.store.url import AnyPath, Url


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

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON."""
        agreement = {"cosine": self.cosine, "largest_difference": self.largest_difference}
        return {**self.row, **agreement, "out": None if self.written is None else str(self.written)}

    def summary(self) -> str:
        """Return it in a few lines."""
        made = {key: value for key, value in self.row.items() if value not in (None, []) and key != "utterance_id"}
        told = [
            f"{self.utterance_id}: cosine {self.cosine:.7f} with the stored vector, "
            f"largest difference {self.largest_difference:.2g}",
            *(f"  {key}: {_listed(value) if isinstance(value, list) else value}" for key, value in made.items()),
        ]
        return lines([*told, f"audio: {self.written}"] if self.written else told)


def _listed(values: list[str] | list[float]) -> str:
    return ", ".join(value if isinstance(value, str) else f"{value:.7g}" for value in values)


class Replayer:
    """What is needed to make vectors of a store again, once for many of them.

    Args:
        moved: role ("utterances", "noise", ..., "backbone") -> manifest or weights, where they no longer lie where the
            store says.
        recordings: folders in which manifests and recordings may be opened, see `stages.extraction.allowed`.

    Raises:
        StoreError: a store that was not extracted from audio, or by another backbone, rendering or cut than now.
        ManifestError: a manifest is gone, or is another one than the store was made from.
    """

    def __init__(
        self,
        store: AnyPath,
        *,
        moved: Mapping[str, Path] | None = None,
        recordings: Sequence[Path | Url] = (),
        device: str = "cpu",
    ) -> None:
        self.store, moved = EmbeddingStore(store), moved or {}
        self._allowed = Allowed(store, recordings, moved)
        order = _order(self.store, moved, device)
        for role, path in order.manifests.items():
            self._allowed.check(role, path)
        self.extraction = Extraction.open(order, self._allowed.check)
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
        catalogue_row, drawn = self._drawn(utterance, view, crop)
        again = self.extraction.embedder([drawn])[0].cpu().numpy().astype(np.float64)
        if out is not None:
            rate = self.extraction.backbone.sample_rate_hz
            write_audio(out, mix([drawn], rate)[0].numpy(), rate, subtype="FLOAT" if out.suffix == ".wav" else None)
        cosine = float(stored @ again / (np.linalg.norm(stored) * np.linalg.norm(again)))
        return Replayed(utterance, view, crop, cosine, float(np.abs(stored - again).max()), catalogue_row, out)

    def wav(self, utterance: str, view: str, crop: int = 0) -> bytes:
        """Render what was embedded, as a WAV file in float32.

        Raises:
            StoreError, ManifestError, AudioError: as `replay`.
        """
        self.store.get(utterance, view=view, crop=crop)  # says what is not stored
        _, drawn = self._drawn(utterance, view, crop)
        rate = self.extraction.backbone.sample_rate_hz
        return encoded(mix([drawn], rate)[0].numpy(), rate, "WAV", "FLOAT")

    def _drawn(self, utterance: str, view: str, crop: int) -> tuple[dict[str, Any], Draw]:
        row = self._row(utterance)
        drawn = self.extraction.reader.draws(row, self._recorded(row) if self.extraction.reader.detect else None)
        found = {(listed["view"], listed["crop"]): (listed, draw) for listed, draw in drawn}
        return found[view, crop]

    def _recorded(self, row: Utterance) -> list[Cut]:
        """Return of which stretches of speech the crops of an utterance were made.

        Raises:
            StoreError: the catalogue has none, or such as cannot be.
        """
        is_cut = (pc.field("utterance_id") == row.utterance_id) & (pc.field("view") == self.store.views[0])
        columns = ["crop", "start_s", "duration_s", "speech_s", "stretches_s"]
        cuts = []
        for listed in self.store.rows(columns, filters=is_cut).sort_by("crop").to_pylist():
            edges_s = listed["stretches_s"] or [None]
            if None in edges_s or not all(map(le, [0.0, *edges_s], [*edges_s, row.duration_s])):
                raise StoreError(f"{self.store.path} does not say which speech of {row.utterance_id!r} it has embedded")
            stretches = list(map(Stretch, edges_s[::2], edges_s[1::2]))
            cuts.append(Cut(listed["start_s"], listed["duration_s"], listed["speech_s"], stretches))
        return cuts

    def _row(self, utterance: str) -> Utterance:
        for row in self.extraction.rows if not self._rows else ():
            self._rows[row.utterance_id] = row
        if utterance not in self._rows:
            raise ManifestError(
                f"{self.extraction.order.utterances} does not list {utterance!r}; where it was appended, give that "
                "manifest with --from utterances=PATH"
            )
        row = self._rows[utterance]
        self._allowed.check("utterances", row.path)
        return row

    def _check(self) -> None:
        """Compare what there is now with what the store was made from."""
        stores = (self.store.header.declaration, self.extraction.declaration)
        then, now = (extracted_inputs(declaration, self.store.path) for declaration in stores)
        for role, digest in then.manifests.items():
            appended = role == "utterances" and then.edits
            if now.manifests.get(role) != digest and not appended:
                raise ManifestError(
                    f"the {role} manifest is another one than {self.store.path} was made from; "
                    f"give the old one with --from {role}=PATH"
                )
        for key in ("backbone", "crops", "rendering"):
            before, today = getattr(then, key), getattr(now, key)
            if before != today:
                raise StoreError(f"{self.store.path} was made with {key} {before}; this is {today}")


def _order(store: EmbeddingStore, moved: Mapping[str, Path], device: str) -> ExtractOrder:
    """Return the order that a store was made by."""
    declaration = store.header.declaration
    inputs = extracted_inputs(declaration, store.path)
    parents = {parent.role: parent for parent in declaration.lineage}
    made_from = [*inputs.manifests, *(role for role in ("backbone", "frontend") if role in parents)]
    unknown = sorted(moved.keys() - {*made_from})
    if unknown:
        known = ", ".join(made_from)
        raise ConfigError(f"{store.path} was made from nothing called {unknown[0]!r}; it was made from {known}")
    paths = {role: moved.get(role) or find_path(parents[role].path, store.path) for role in made_from}
    return ExtractOrder(
        utterances=paths["utterances"],
        sources={role: paths[role] for role in inputs.manifests if role != "utterances"},
        backbone=str(parents["backbone"].name),
        backbone_settings=_backbone_settings(parents["backbone"], store.path, moved.get("backbone")),
        frontend=paths.get("frontend"),
        settings=ExtractSettings.model_validate(
            {
                "views": declaration.views,
                "crops": inputs.crops,
                "dtype": declaration.dtype,
                "precision": inputs.precision or "float32",
            }
        ),
        seed=inputs.seed,
        device=device,
    )


def _backbone_settings(backbone: Parent, store: AnyPath, moved: Path | None) -> dict[str, Any]:
    """Return the settings of a backbone with its files where they lie now."""
    settings = dict(backbone.settings or {})
    for name in backbone_class(str(backbone.name)).Config.file_settings():
        if moved is not None:
            settings[name] = str(moved.resolve())
        elif settings.get(name) is not None:
            settings[name] = str(find_path(settings[name], store))
    return settings
