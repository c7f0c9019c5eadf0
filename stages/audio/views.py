"""Views: named renderings of an utterance. What is declared, what is drawn, what is mixed.

Everything random about a rendering comes from (run seed, utterance id, view name, crop) alone, so that any vector can
be made again by itself, in any order, by any worker.

Shapes: T samples of one crop.
"""

import hashlib
import math
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field

import numpy as np
import torch
from torchaudio.functional import fftconvolve

from stages.audio.bank import AudioBank
from stages.audio.decode import Waveform
from stages.audio.manifest import Utterance
from stages.audio.recipe import ADDITIVE, CropSettings, View
from store import AudioError, ManifestError

BABBLE_VOICES = (3, 7)
_TRIES = 20
_SILENT_POWER = 1e-7  # -70 dBFS: the dither at the ends of a clip is no noise to be raised to an SNR
_ONSET = 0.3  # the direct sound begins where a response first reaches this share of its peak,
_LEAD_SAMPLES = 32  # and its band-limited rise a little earlier

# What, beside the recipe and the seed, decides a rendering; part of a store's fingerprint. Raise the version when the
# code here changes what is heard.
RENDERING = {
    "version": 1,
    "resampler": "torchaudio sinc_interp_hann",
    "babble_voices": list(BABBLE_VOICES),
    "silent_power": _SILENT_POWER,
    "rir_onset": [_ONSET, _LEAD_SAMPLES],
}


@dataclass(frozen=True)
class Rendering:
    """One rendered crop [T] and the draw behind it, as it goes into the catalogue."""

    waveform: Waveform
    seed: int
    noise_ids: list[str] = field(default_factory=list)
    snr_db: float | None = None
    rir_id: str | None = None


def stable_seed(*parts: object) -> int:
    """Return a 64-bit seed from the text of `parts`; the same on every machine and in every process."""
    text = "\0".join(str(part) for part in parts)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "little")


def crop_starts(settings: CropSettings, utterance: Utterance, run_seed: int) -> list[float]:
    """Return where each crop begins, in seconds from the start of the utterance; 0 where it is shorter than a crop."""
    slack_s = max(0.0, utterance.duration_s - settings.duration_s)
    if settings.placement == "even":
        return [slack_s * (crop + 0.5) / settings.count for crop in range(settings.count)]
    seeds = [stable_seed(run_seed, utterance.utterance_id, "crop", crop) for crop in range(settings.count)]
    return [slack_s * float(np.random.default_rng(seed).random()) for seed in seeds]


def wrap_pad(waveform_T: Waveform, samples: int) -> Waveform:
    """Cut to `samples`, or repeat from the beginning up to them."""
    return np.resize(waveform_T, samples) if len(waveform_T) < samples else waveform_T[:samples]


def render(
    waveform_T: Waveform, view: View, bank: AudioBank, *, seed: int, speaker_id: str | None, utterance_id: str
) -> Rendering:
    """Render one view of a clean crop: the room first, then what is added, each at its own SNR.

    Raises:
        ManifestError: the bank has nothing (or nothing but silence) that the view asks for.
    """
    generator = np.random.default_rng(seed)
    speech_T, rir_id = waveform_T, None
    if view.reverb:
        rir_id = bank.draw("rir", generator)
        speech_T = reverberate(waveform_T, bank.whole("rir", rir_id))
    mixture_T, noise_ids, snrs_db = speech_T.copy(), [], []
    for kind in ADDITIVE:
        snr_range = getattr(view, kind)
        if snr_range is not None:
            snr_db = float(generator.uniform(*snr_range))
            added_T, ids = _draw_added(kind, len(speech_T), bank, generator, speaker_id or utterance_id)
            mixture_T += at_snr(added_T, speech_T, snr_db)
            noise_ids, snrs_db = noise_ids + ids, [*snrs_db, snr_db]
    return Rendering(mixture_T.astype(np.float32), seed, noise_ids, combined_snr_db(snrs_db), rir_id)


def at_snr(noise_T: Waveform, speech_T: Waveform, snr_db: float) -> Waveform:
    """Scale noise so that speech power over noise power, both over the whole crop, is `snr_db`."""
    speech_power, noise_power = float(np.mean(speech_T**2)), float(np.mean(noise_T**2))
    return noise_T * np.float32(math.sqrt(speech_power / max(noise_power, 1e-20) * 10 ** (-snr_db / 10)))


def combined_snr_db(snrs_db: Sequence[float]) -> float | None:
    """Return the SNR against the sum of independent noises, each at its own SNR; None where there is none."""
    return -10 * math.log10(sum(10 ** (-snr_db / 10) for snr_db in snrs_db)) if snrs_db else None


def reverberate(waveform_T: Waveform, rir_T: Waveform) -> Waveform:
    """Convolve with a room response of unit energy; the direct sound stays where it was, the length too.

    A reflection may be the largest sample of a measured response, so the direct sound is where it first rises.
    """
    onset = int(np.argmax(np.abs(rir_T) >= _ONSET * np.abs(rir_T).max()))
    lead = min(onset, _LEAD_SAMPLES)
    rir_T = rir_T[onset - lead :]
    rir_T = rir_T / np.sqrt(np.sum(rir_T**2))
    wet_T: Waveform = fftconvolve(torch.from_numpy(waveform_T), torch.from_numpy(rir_T)).numpy()
    return wet_T[lead : lead + len(waveform_T)]


def _draw_added(
    kind: str, samples: int, bank: AudioBank, generator: np.random.Generator, speaker: str
) -> tuple[Waveform, list[str]]:
    """Draw what is added; stretches that are all but silent are drawn again."""
    for _ in range(_TRIES):
        added_T, ids = (
            _babble(samples, bank, generator, speaker) if kind == "babble" else _stretch(kind, samples, bank, generator)
        )
        if float(np.mean(added_T**2)) > _SILENT_POWER:
            return added_T, ids
    raise ManifestError(f"{_TRIES} draws of {kind} were all silent; look for silent files among the {kind}")


def _stretch(kind: str, samples: int, bank: AudioBank, generator: np.random.Generator) -> tuple[Waveform, list[str]]:
    chosen = bank.draw(kind, generator)
    return bank.stretch(kind, chosen, samples, generator), [chosen]


def _babble(samples: int, bank: AudioBank, generator: np.random.Generator, speaker: str) -> tuple[Waveform, list[str]]:
    count = int(generator.integers(BABBLE_VOICES[0], BABBLE_VOICES[1] + 1))
    ids: list[str] = []
    voices: list[Waveform] = []
    for _ in range(_TRIES):
        chosen = bank.draw("babble", generator, not_speaker=speaker)
        with suppress(AudioError):
            voices.append(bank.stretch("babble", chosen, samples, generator))
            ids.append(chosen)
        if len(voices) == count:
            break
    levelled = [voice_T / max(float(np.sqrt(np.mean(voice_T**2))), 1e-5) for voice_T in voices]
    return np.sum(levelled, axis=0).astype(np.float32), ids
