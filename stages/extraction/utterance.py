"""From an utterance of a manifest to its crops, and the draws of all its views. Nothing is mixed yet.

Shapes: T samples.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from reseed.stages.audio.bank import WHOLE_S, AudioBank
from reseed.stages.audio.decode import Waveform, read
from reseed.stages.audio.draw import Draw, check_duration, crop_length_s, crop_starts, draw, stable_seed, wrap_pad
from reseed.stages.audio.location import Location
from reseed.stages.audio.manifest import Utterance, check_unchanged
from reseed.stages.audio.recipe import ExtractSettings
from reseed.stages.audio.vad.speech import Detector, Stretch, cut_out, find_speech, joined, length_s, read_short
from reseed.store import AudioError

_SILENT_POWER = 1e-8  # -80 dBFS: there is nobody in such a crop, and noise cannot be added at an SNR to nothing

CatalogueRow = dict[str, object]


@dataclass(frozen=True)
class Cut:
    """Where a crop lies, in seconds from the beginning of its utterance.

    Attributes:
        speech_s: how much speech the utterance holds; None: that was not looked for.
        stretches: the speech that the crop is made of.
    """

    start_s: float
    duration_s: float
    speech_s: float | None = None
    stretches: Sequence[Stretch] = ()

    def to_row(self) -> CatalogueRow:
        """Return it as columns of the catalogue."""
        place: CatalogueRow = {"start_s": self.start_s, "duration_s": self.duration_s}
        if self.speech_s is None:
            return place
        return {**place, "speech_s": self.speech_s, "stretches_s": [edge for each in self.stretches for edge in each]}


@dataclass(frozen=True)
class UtteranceReader:
    """Cuts utterances and draws their views, which depend on nothing but (seed, utterance, view, crop).

    Attributes:
        bank: what views draw from.
        sample_rate_hz: of the crops.
        detect: tells speech from silence; None: crops are of all that is there.
    """

    settings: ExtractSettings
    seed: int
    bank: AudioBank
    sample_rate_hz: int
    detect: Detector | None = None

    def draws(self, row: Utterance, cuts: Sequence[Cut] | None = None) -> list[tuple[CatalogueRow, Draw]]:
        """Cut an utterance and draw all its views: (catalogue row, draw) for each crop and view.

        Args:
            cuts: where the speech lay that was cut before; None: it is looked for.

        Raises:
            AudioError: the recording cannot be used.
            ManifestError: a recording that a view needs cannot be used, or there is none.
        """
        return [
            self.draw(row, number, cut, clean_T, name)
            for number, (cut, clean_T) in enumerate(self.crops(row, cuts))
            for name in self.settings.views
        ]

    def crops(self, row: Utterance, cuts: Sequence[Cut] | None = None) -> Iterator[tuple[Cut, Waveform]]:
        """Yield the crops of an utterance; takes and raises what `draws` does of its recording."""
        check_duration(self.settings.crops, row)
        check_unchanged(row.path, row.sha256)
        yield from self._crops(row) if self.detect is None else self._crops_of_speech(row, self.detect, cuts)

    def draw(self, row: Utterance, crop: int, cut: Cut, clean_T: Waveform, view: str) -> tuple[CatalogueRow, Draw]:
        """Draw one view of a crop [T].

        Raises:
            ManifestError: a recording that the view needs cannot be used, or there is none.
        """
        seed = stable_seed(self.seed, row.utterance_id, view, crop)
        speaker = row.speaker_id or row.utterance_id
        found = draw(clean_T, self.settings.views[view], self.bank, seed=seed, speaker=speaker)
        catalogue_row: CatalogueRow = {
            "utterance_id": row.utterance_id,
            "speaker_id": row.speaker_id,
            "view": view,
            "crop": crop,
            **cut.to_row(),
            "noise_ids": found.noise_ids,
            "snr_db": found.snr_db,
            "rir_id": found.rir_id,
            "effects": found.effects,
            "seed": found.seed,
        }
        return catalogue_row, found

    def _crops(self, row: Utterance) -> Iterator[tuple[Cut, Waveform]]:
        """Yield the crops; the stretch that holds them is decoded once unless it is long, and never more than that."""
        starts_s, crop_s = crop_starts(self.settings.crops, row, self.seed), crop_length_s(self.settings.crops, row)
        rate, place = self.sample_rate_hz, Location.parse(row.path)
        first_s, samples = min(starts_s), round(crop_s * rate)
        span_s = min(max(starts_s) + crop_s, row.duration_s) - first_s
        span_T = (
            read(place, rate, row.start_s + first_s, span_s, row.channel) if span_s <= max(WHOLE_S, crop_s) else None
        )
        for start_s in starts_s:
            if span_T is None:
                crop_T = read(place, rate, row.start_s + start_s, min(crop_s, row.duration_s - start_s), row.channel)
            else:
                crop_T = span_T[round((start_s - first_s) * rate) :][:samples]
            cut = Cut(start_s, crop_s)
            yield cut, self._filled(crop_T, cut)

    def _crops_of_speech(
        self, row: Utterance, detect: Detector, cuts: Sequence[Cut] | None
    ) -> Iterator[tuple[Cut, Waveform]]:
        """Yield crops of the speech alone, its stretches joined."""
        heard_T = read_short(row, self.sample_rate_hz)
        for cut in cuts or self._cuts(row, find_speech(row, detect, heard_T, self.sample_rate_hz)):
            yield cut, self._filled(joined(row, cut.stretches, heard_T, self.sample_rate_hz), cut)

    def _cuts(self, row: Utterance, speech: Sequence[Stretch]) -> list[Cut]:
        settings, speech_s = self.settings.crops, length_s(speech)
        if not speech or speech_s < (settings.min_speech_s or 0.0):
            least = f", less than crops.min_speech_s ({settings.min_speech_s:g} s)" if settings.min_speech_s else ""
            raise AudioError(f"holds {speech_s:.2f} s of speech in {row.duration_s:.2f} s{least}")
        spoken = replace(row, duration_s=speech_s)
        crop_s = crop_length_s(settings, spoken)
        parts = (cut_out(speech, start_s, crop_s) for start_s in crop_starts(settings, spoken, self.seed))
        return [Cut(part[0].start_s, crop_s, speech_s, part) for part in parts]

    def _filled(self, crop_T: Waveform, cut: Cut) -> Waveform:
        """Return a crop in its full length, that of a whole utterance as it is."""
        if not len(crop_T) or float(np.mean(crop_T**2)) < _SILENT_POWER:
            raise AudioError(f"is silent from {cut.start_s:.2f} s on, for a whole crop of {cut.duration_s:g} s")
        is_whole = self.settings.crops.duration_s is None
        return crop_T if is_whole else wrap_pad(crop_T, round(cut.duration_s * self.sample_rate_hz))
