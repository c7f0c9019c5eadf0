"""Crops of labelled speech, rendered in threads: batches that are a pure function of (seed, epoch, position).

Shapes: B batch, T samples, D embedding dimension, N crops of an epoch.
"""

from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from reseed.stages.audio.bank import AudioBank
from reseed.stages.audio.decode import Waveform, read
from reseed.stages.audio.draw import Draw, change_speed, draw, stable_seed, wrap_pad
from reseed.stages.audio.location import Location
from reseed.stages.audio.manifest import Manifest, Utterance, check_unchanged, manifest_digest
from reseed.stages.audio.mix import mix
from reseed.stages.audio.recipe import sources_needed
from reseed.stages.backbones.training.anchors import Anchors
from reseed.stages.backbones.training.network import Crops
from reseed.stages.backbones.training.settings import SpeechTraining
from reseed.stages.common.threads import default_decoders, thread_map
from reseed.stages.training.cache.reader import BatchReader, seeded
from reseed.store import AudioError, ManifestError

_AHEAD = 3  # batches


@dataclass(frozen=True)
class Example:
    """One crop to be rendered: which utterance, which of its crops, its speaker, and its number within the epoch."""

    utterance: Utterance
    crop: int
    speaker: int
    number: int


class SpeechReader(BatchReader[Crops]):
    """Gives every utterance `crops` times per epoch, each time another stretch of it in another view.

    Args:
        utterances: the labelled speech.
        speakers: who they are, in the order of the classes.
        sources: "noise", "music", "rir", "babble" -> manifest; what no view draws from is not read.
        anchors: stored clean vectors; then the crops are those that they were made of.
        with_clean: give every crop without noise as well.

    Raises:
        ManifestError: a recording cannot be used.
    """

    kind = "speech"
    unit = "crops"

    def __init__(
        self,
        utterances: Sequence[Utterance],
        speakers: Sequence[str],
        settings: SpeechTraining,
        *,
        sources: Mapping[str, Path],
        sample_rate_hz: int,
        seed: int,
        device: torch.device | str,
        anchors: Anchors | None = None,
        with_clean: bool = False,
    ) -> None:
        per_utterance = anchors.crops if anchors else settings.crops
        super().__init__(rows_per_epoch=len(utterances) * per_utterance, batch=settings.batch, seed=seed, device=device)
        self._utterances, self._settings, self._anchors = utterances, settings, anchors
        self._per_utterance, self._with_clean = per_utterance, with_clean
        self.sample_rate_hz = sample_rate_hz
        needed = sources_needed(settings.views)
        self.bank = AudioBank({kind: Manifest(sources[kind]) for kind in needed}, sample_rate_hz)
        self._speakers = {speaker: number for number, speaker in enumerate(speakers)}
        self._views = list(settings.views.items())

    @property
    def crop_s(self) -> float:
        """Length of a crop in seconds."""
        return self._anchors.crop_s if self._anchors else self._settings.crop_s

    def _draw(self, epoch: int, start: int) -> Generator[Crops, None, None]:
        order_N = torch.randperm(self.rows_per_epoch, generator=seeded("cpu", self.seed, epoch)).tolist()
        examples = (self._example(number) for number in order_N[start * self.batch :])
        threads = default_decoders(self.device.type)
        rendered = thread_map(
            lambda example: (example, *self._rendered(example, epoch)),
            examples,
            threads=threads,
            window=_AHEAD * self.batch,
        )
        waiting: list[tuple[Example, Draw, int]] = []
        for crop in rendered:
            waiting.append(crop)
            if len(waiting) == self.batch:
                yield self._batch(waiting)
                waiting = []
        if waiting:
            yield self._batch(waiting)

    def _example(self, number: int) -> Example:
        utterance = self._utterances[number // self._per_utterance]
        speaker = self._speakers.get(utterance.speaker_id or "", 0)
        return Example(utterance, number % self._per_utterance, speaker, number)

    def _rendered(self, example: Example, epoch: int) -> tuple[Draw, int]:
        """Return the draw of one crop and the class it belongs to."""
        utterance, settings = example.utterance, self._settings
        seed = stable_seed(self.seed, epoch, utterance.utterance_id, example.crop)
        generator = np.random.default_rng(seed)
        pace = int(generator.integers(len(settings.speeds)))
        name, view = self._views[int(generator.integers(len(self._views)))]
        try:
            clean_T = self._cut(example, settings.speeds[pace], generator)
        except AudioError as error:
            raise ManifestError(f"{utterance.path} {error}; prepare the speech again") from error
        speaker = utterance.speaker_id or utterance.utterance_id
        found = draw(clean_T, view, self.bank, seed=stable_seed(seed, name), speaker=speaker)
        return found, pace * len(self._speakers) + example.speaker

    def _cut(self, example: Example, speed: float, generator: np.random.Generator) -> Waveform:
        utterance, samples = example.utterance, round(self.crop_s * self.sample_rate_hz)
        span_s = self.crop_s * speed
        slack_s = max(0.0, utterance.duration_s - span_s)
        anchors = self._anchors
        start_s = anchors.start_s(utterance.utterance_id, example.crop) if anchors else slack_s * generator.random()
        check_unchanged(utterance.path, utterance.sha256)
        length_s = min(span_s, utterance.duration_s - start_s)
        place, begin_s = Location.parse(utterance.path), utterance.start_s + start_s
        heard_T = read(place, self.sample_rate_hz, begin_s, length_s, utterance.channel)
        return wrap_pad(heard_T if speed == 1.0 else change_speed(heard_T, speed), samples)

    def _batch(self, crops: Sequence[tuple[Example, Draw, int]]) -> Crops:
        waveform_BT = mix([found for _, found, _ in crops], self.sample_rate_hz, self.device)
        label_B = torch.tensor([label for *_, label in crops], device=self.device)
        anchor_BD = clean_BT = None
        if self._anchors is not None:
            places = [(example.utterance.utterance_id, example.crop) for example, *_ in crops]
            anchor_BD = self._anchors.vectors(places).to(self.device)
        if self._with_clean:
            clean_BT = torch.from_numpy(np.stack([found.speech for _, found, _ in crops])).to(self.device)
        return Crops(waveform_BT, label_B, anchor_BD, clean_BT)

    def _order(self) -> dict[str, Any]:
        return {**super()._order(), "speakers": len(self._speakers), "speech": manifest_digest(self._utterances)}


def clean_crops(
    utterances: Sequence[Utterance], crop_s: float, sample_rate_hz: int
) -> Iterator[tuple[Utterance, Waveform]]:
    """Yield the middle of each utterance, [T]."""
    for utterance in utterances:
        start_s = max(0.0, utterance.duration_s - crop_s) / 2
        length_s = min(crop_s, utterance.duration_s - start_s)
        try:
            begin_s = utterance.start_s + start_s
            heard_T = read(Location.parse(utterance.path), sample_rate_hz, begin_s, length_s, utterance.channel)
        except AudioError as error:
            raise ManifestError(f"{utterance.path} {error}; prepare the speech again") from error
        yield utterance, wrap_pad(heard_T, round(crop_s * sample_rate_hz))
