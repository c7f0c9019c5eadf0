"""What chance decides of a rendering: a view of one crop of an utterance. `reseed.stages.audio.mix` renders it.

Everything random about a rendering comes from (run seed, utterance id, view name, crop) alone, so that any vector can
be made again by itself, in any order, by any worker.

Shapes: T samples of one crop.
"""

import hashlib
from contextlib import suppress
from dataclasses import dataclass, field

import numpy as np

from reseed.stages.audio.bank import AudioBank
from reseed.stages.audio.decode import Waveform, resampled
from reseed.stages.audio.manifest import Utterance
from reseed.stages.audio.recipe import ADDITIVE, CropSettings, View, combined_snr_db
from reseed.store import AudioError, ManifestError

BABBLE_VOICES = (3, 7)
LEAD_SAMPLES = 32  # the band-limited rise of the direct sound begins a little before its onset
_ONSET = 0.3  # the direct sound begins where a response first reaches this share of its peak
_TRIES = 20
_SILENT_POWER = 1e-7  # -70 dBFS: the dither at the ends of a clip is no noise to be raised to an SNR

# What, beside the recipe and the seed, decides a rendering; part of a store's fingerprint. Raise the version when the
# code of this package changes a rendering.
RENDERING = {
    "version": 3,
    "resampler": "soxr HQ",
    "babble_voices": list(BABBLE_VOICES),
    "silent_power": _SILENT_POWER,
    "rir_onset": [_ONSET, LEAD_SAMPLES],
}


@dataclass(frozen=True)
class Draw:
    """One view of one crop: everything random is decided, every recording is decoded.

    Attributes:
        speech: the clean crop [T], played at its speed.
        rir: the room response [T + LEAD_SAMPLES] of unit energy, or none.
        added: what is added, [T] each, and at which SNR in dB.
        gain_db, telephony, mu_law, codec: what the channel does to the mixture.
        seed, noise_ids, rir_id: what was drawn with, and which recordings.
        effects: what else was drawn, in words.
    """

    speech: Waveform
    seed: int
    rir: Waveform | None = None
    added: list[tuple[Waveform, float]] = field(default_factory=list)
    gain_db: float | None = None
    telephony: bool = False
    mu_law: bool = False
    codec: str | None = None
    noise_ids: list[str] = field(default_factory=list)
    rir_id: str | None = None
    effects: list[str] = field(default_factory=list)

    @property
    def snr_db(self) -> float | None:
        return combined_snr_db([snr_db for _, snr_db in self.added])


def stable_seed(*parts: object) -> int:
    """Return a 64-bit seed from the text of `parts`; the same on every machine and in every process."""
    text = "\0".join(str(part) for part in parts)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "little")


def check_duration(settings: CropSettings, utterance: Utterance) -> None:
    """Raise AudioError if an utterance is too short to be used."""
    if utterance.duration_s < (settings.min_s or 0.0):
        raise AudioError(f"is {utterance.duration_s:.2f} s long, shorter than crops.min_s ({settings.min_s:g} s)")


def crop_length_s(settings: CropSettings, utterance: Utterance) -> float:
    """Return how long a crop of an utterance is, in seconds."""
    if settings.duration_s is not None:
        return settings.duration_s
    return min(utterance.duration_s, settings.max_s or utterance.duration_s)


def crop_starts(settings: CropSettings, utterance: Utterance, run_seed: int) -> list[float]:
    """Return where each crop begins, in seconds from the start of the utterance; 0 where it is shorter than a crop."""
    slack_s = max(0.0, utterance.duration_s - crop_length_s(settings, utterance))
    if settings.duration_s is None:
        return [slack_s / 2]
    if settings.placement == "even":
        return [slack_s * (crop + 0.5) / settings.count for crop in range(settings.count)]
    if settings.placement == "ends":  # on whole samples, as numpy.linspace(0, audiosize - max_audio, num) there
        starts = np.linspace(0, round(slack_s * utterance.sample_rate_hz), settings.count).astype(np.int64)
        return [float(start) / utterance.sample_rate_hz for start in starts]
    seeds = [stable_seed(run_seed, utterance.utterance_id, "crop", crop) for crop in range(settings.count)]
    return [slack_s * float(np.random.default_rng(seed).random()) for seed in seeds]


def wrap_pad(waveform_T: Waveform, samples: int) -> Waveform:
    """Cut to `samples`, or repeat from the beginning up to them."""
    return np.resize(waveform_T, samples) if len(waveform_T) < samples else waveform_T[:samples]


def draw(waveform_T: Waveform, view: View, bank: AudioBank, *, seed: int, speaker: str) -> Draw:
    """Decide everything about one view of a clean crop.

    Args:
        speaker: who speaks; their voice alone is kept out of the babble.

    Raises:
        ManifestError: the bank has nothing (or nothing but silence) that the view asks for.
    """
    generator = np.random.default_rng(seed)
    samples, effects = len(waveform_T), []

    def applies(part: object) -> bool:
        return bool(part) and (view.chance == 1.0 or float(generator.random()) < view.chance)

    if view.speed is not None and applies(view.speed):
        speed = round(float(generator.uniform(*view.speed)), 2)
        waveform_T = wrap_pad(change_speed(waveform_T, speed), samples)
        effects.append(f"speed {speed:.2f}")
    rir, rir_id = None, None
    if applies(view.reverb):
        room = bank.draw("rir", generator)
        rir, rir_id = direct_and_late(bank.whole(room), samples), room.utterance_id
    added, noise_ids = [], []
    for kind in ADDITIVE:
        if applies(getattr(view, kind)):
            snr_db = float(generator.uniform(*getattr(view, kind)))
            added_T, ids = _draw_added(kind, samples, bank, generator, speaker)
            added.append((added_T, snr_db))
            noise_ids += ids
    gain_db = None
    if view.volume is not None and applies(view.volume):
        gain_db = float(generator.uniform(*view.volume))
        effects.append(f"volume {gain_db:.2f} dB")
    narrow, companded = applies(view.telephony), applies(view.mu_law)
    codec = view.codec[int(generator.integers(len(view.codec)))] if applies(view.codec) else None
    effects += ["telephony"] * narrow + ["mu_law"] * companded + ([codec] if codec else [])
    return Draw(waveform_T, seed, rir, added, gain_db, narrow, companded, codec, noise_ids, rir_id, effects)


def change_speed(waveform_T: Waveform, speed: float) -> Waveform:
    """Return a waveform played `speed` times as fast (two decimals), by resampling: [T / speed]."""
    return resampled(waveform_T, round(100 * speed), 100)


def direct_and_late(rir_T: Waveform, samples: int) -> Waveform:
    """Return the part of a room response that matters in a crop: [samples + LEAD_SAMPLES], of unit energy as a whole.

    The direct sound begins LEAD_SAMPLES in. A reflection may be the largest sample of a measured response, so the
    direct sound is where it first rises. What comes later than the crop is long cannot be heard in it.
    """
    onset = int(np.argmax(np.abs(rir_T) >= _ONSET * np.abs(rir_T).max()))
    aligned_T = rir_T[max(0, onset - LEAD_SAMPLES) :]
    aligned_T = np.pad(aligned_T / np.sqrt(np.sum(aligned_T**2)), (max(0, LEAD_SAMPLES - onset), samples))
    return aligned_T[: samples + LEAD_SAMPLES]


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
    drawn = bank.draw(kind, generator)
    return bank.stretch(drawn, samples, generator), [drawn.utterance_id]


def _babble(samples: int, bank: AudioBank, generator: np.random.Generator, speaker: str) -> tuple[Waveform, list[str]]:
    count = int(generator.integers(BABBLE_VOICES[0], BABBLE_VOICES[1] + 1))
    ids: list[str] = []
    voices: list[Waveform] = []
    for _ in range(_TRIES):
        drawn = bank.draw("babble", generator, not_speaker=speaker)
        with suppress(AudioError):
            voices.append(bank.stretch(drawn, samples, generator))
            ids.append(drawn.utterance_id)
        if len(voices) == count:
            break
    levelled = [voice_T / max(float(np.sqrt(np.mean(voice_T**2))), 1e-5) for voice_T in voices]
    return np.sum(levelled, axis=0).astype(np.float32), ids
