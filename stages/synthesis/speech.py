"""One utterance: a sentence, said by a voice, through a microphone, in a quiet room.

What stays the same is the voice; what changes from one utterance to the next is the sentence, the speaker's mood (a
little pitch and rate), the microphone (a mild equaliser), the level and the noise floor. Without these changes a
pretrained speaker encoder tells synthetic voices apart almost without error, and there is nothing to improve.

Shapes: T samples.
"""

import numpy as np
from numpy.typing import NDArray
from scipy.signal import fftconvolve, firwin2, resample_poly

from reseed.stages.synthesis import espeak
from reseed.stages.synthesis.sentences import sentence
from reseed.stages.synthesis.voices import Voice
from reseed.stages.synthesis.waveforms import SAMPLE_RATE_HZ, Samples, at_level, coloured_noise

_PITCH_MOOD = 8
_RATE_MOOD_WPM = 20
_MICROPHONE_DB = 4.0
_MICROPHONE_HZ = (0, 150, 400, 1000, 2500, 5000, 8000)
_LEVEL_DBFS = (-26.0, -20.0)
_FLOOR_BELOW_SPEECH_DB = (35.0, 45.0)
_RESAMPLE_UP = 160


def script(voice: Voice, generator: np.random.Generator) -> espeak.Line:
    """Draw what a voice says next, and in which mood."""
    return espeak.Line(
        text=sentence(generator),
        accent=voice.accent,
        variant=voice.variant,
        pitch=voice.pitch + int(generator.integers(-_PITCH_MOOD, _PITCH_MOOD + 1)),
        pitch_range=voice.pitch_range,
        rate_wpm=voice.rate_wpm + int(generator.integers(-_RATE_MOOD_WPM, _RATE_MOOD_WPM + 1)),
        seed=int(generator.integers(2**31)),
    )


def record(spoken_T: NDArray[np.int16], voice: Voice, generator: np.random.Generator) -> Samples:
    """Turn what espeak-ng spoke at its own rate into a recording [T] at 16 kHz, 2 to 6 s."""
    dry_T = _vocal_tract(spoken_T / 32768.0, voice.formant_scale)
    level_dbfs = generator.uniform(*_LEVEL_DBFS)
    floor_dbfs = level_dbfs - generator.uniform(*_FLOOR_BELOW_SPEECH_DB)
    speech_T = at_level(_microphone(dry_T, generator), level_dbfs)
    return speech_T + at_level(coloured_noise(len(speech_T), 1.0, generator), floor_dbfs)


def _vocal_tract(spoken_T: Samples, formant_scale: float) -> Samples:
    """Bring espeak-ng's rate to ours while scaling every frequency by `formant_scale`."""
    down = round(_RESAMPLE_UP * espeak.SAMPLE_RATE_HZ * formant_scale / SAMPLE_RATE_HZ)
    return resample_poly(spoken_T, _RESAMPLE_UP, down)


def _microphone(dry_T: Samples, generator: np.random.Generator) -> Samples:
    gains = 10 ** (generator.uniform(-_MICROPHONE_DB, _MICROPHONE_DB, len(_MICROPHONE_HZ)) / 20)
    return fftconvolve(dry_T, firwin2(257, _MICROPHONE_HZ, gains, fs=SAMPLE_RATE_HZ), mode="same")
