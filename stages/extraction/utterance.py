"""From an utterance of a manifest to its crops, and the draws of all its views. Nothing is mixed yet.

Shapes: T samples.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from reseed.stages.audio.bank import WHOLE_S, AudioBank
from reseed.stages.audio.decode import Waveform, read
from reseed.stages.audio.draw import Draw, crop_length_s, crop_starts, draw, stable_seed, wrap_pad
from reseed.stages.audio.location import Location
from reseed.stages.audio.manifest import Utterance, check_unchanged
from reseed.stages.audio.recipe import ExtractSettings
from reseed.store import AudioError

_SILENT_POWER = 1e-8  # -80 dBFS: there is nobody in such a crop, and noise cannot be added at an SNR to nothing

CatalogueRow = dict[str, object]


@dataclass(frozen=True)
class UtteranceReader:
    """Cuts utterances and draws their views, which depend on nothing but (seed, utterance, view, crop).

    Attributes:
        bank: what views draw from.
        sample_rate_hz: of the crops.
    """

    settings: ExtractSettings
    seed: int
    bank: AudioBank
    sample_rate_hz: int

    def draws(self, row: Utterance) -> list[tuple[CatalogueRow, Draw]]:
        """Cut an utterance and draw all its views: (catalogue row, draw) for each crop and view.

        Raises:
            AudioError: the recording cannot be used.
            ManifestError: a recording that a view needs cannot be used, or there is none.
        """
        starts_s, crop_s = crop_starts(self.settings.crops, row, self.seed), crop_length_s(self.settings.crops, row)
        drawn = []
        for crop, (start_s, clean_T) in enumerate(zip(starts_s, self._crops(row, starts_s, crop_s), strict=True)):
            for name, view in self.settings.views.items():
                seed = stable_seed(self.seed, row.utterance_id, name, crop)
                found = draw(clean_T, view, self.bank, seed=seed, speaker=row.speaker_id or row.utterance_id)
                catalogue_row: CatalogueRow = {
                    "utterance_id": row.utterance_id,
                    "speaker_id": row.speaker_id,
                    "view": name,
                    "crop": crop,
                    "start_s": start_s,
                    "duration_s": crop_s,
                    "noise_ids": found.noise_ids,
                    "snr_db": found.snr_db,
                    "rir_id": found.rir_id,
                    "effects": found.effects,
                    "seed": found.seed,
                }
                drawn.append((catalogue_row, found))
        return drawn

    def _crops(self, row: Utterance, starts_s: Sequence[float], crop_s: float) -> Iterator[Waveform]:
        """Yield the crops; the stretch that holds them is decoded once unless it is long, and never more than that."""
        rate, place, is_whole = self.sample_rate_hz, Location.parse(row.path), self.settings.crops.duration_s is None
        check_unchanged(row.path, row.sha256)
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
            if float(np.mean(crop_T**2)) < _SILENT_POWER:
                raise AudioError(f"is silent from {start_s:.2f} s on, for a whole crop of {crop_s:g} s")
            yield crop_T if is_whole else wrap_pad(crop_T, samples)
