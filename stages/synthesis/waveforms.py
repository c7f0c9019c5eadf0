"""What every synthetic recording shares: its rate, its level, its noise colours, and how it is written.

Shapes: T samples.
"""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.fft import irfft, next_fast_len, rfft, rfftfreq
from scipy.signal import butter, sosfilt

from reseed.stages.audio.encode import write_audio

SAMPLE_RATE_HZ = 16_000
HIGHEST_PEAK = 0.98

Samples = NDArray[np.float64]


def times_s(samples: int) -> Samples:
    """Return the time of each sample [T] in seconds, from 0."""
    return np.arange(samples) / SAMPLE_RATE_HZ


def rms(waveform_T: Samples) -> float:
    """Return the root mean square of a waveform."""
    return float(np.sqrt(np.mean(waveform_T**2)))


def at_level(waveform_T: Samples, level_dbfs: float) -> Samples:
    """Scale to an RMS level in dBFS, or to the highest peak that 16 bits hold where the level would clip."""
    gain = 10 ** (level_dbfs / 20) / rms(waveform_T)
    return waveform_T * min(gain, HIGHEST_PEAK / float(np.abs(waveform_T).max()))


def coloured_noise(samples: int, slope: float, generator: np.random.Generator) -> Samples:
    """Return Gaussian noise [T] of unit RMS whose power falls as 1 / f**slope: 0 white, 1 pink, 2 brown."""
    # A transform of prime length costs ten times one of the next convenient length.
    length = next_fast_len(samples, real=True)
    frequency_hz = rfftfreq(length, 1 / SAMPLE_RATE_HZ)
    # Below hearing a falling spectrum would put all its power where no loudspeaker and no encoder has any.
    shape = np.maximum(frequency_hz, 20.0) ** (-slope / 2)
    noise_T = irfft(rfft(generator.standard_normal(length)) * shape, length)[:samples]
    return noise_T / rms(noise_T)


def band_noise(samples: int, low_hz: float, high_hz: float, generator: np.random.Generator) -> Samples:
    """Return Gaussian noise [T] of unit RMS between two frequencies."""
    sections = butter(2, (low_hz, high_hz), btype="bandpass", fs=SAMPLE_RATE_HZ, output="sos")
    noise_T = sosfilt(sections, generator.standard_normal(samples))
    return noise_T / rms(noise_T)


def slow_curve(samples: int, knots_per_s: float, generator: np.random.Generator) -> Samples:
    """Return a smooth random curve [T] between 0 and 1, with about `knots_per_s` turns in a second."""
    knots = generator.random(max(2, round(samples / SAMPLE_RATE_HZ * knots_per_s)) + 1)
    place_T = np.linspace(0, len(knots) - 1, samples)
    left_T = np.minimum(place_T.astype(int), len(knots) - 2)
    blend_T = (1 - np.cos(np.pi * (place_T - left_T))) / 2
    return knots[left_T] * (1 - blend_T) + knots[left_T + 1] * blend_T


def add_at(mixture_T: Samples, event_T: Samples, start: int) -> None:
    """Add an event to a mixture in place from a sample on; what hangs over the end is dropped."""
    covered_T = mixture_T[start : start + len(event_T)]
    covered_T += event_T[: len(covered_T)]


def write(path: Path, waveform_T: Samples) -> None:
    """Write a waveform as mono 16-bit FLAC, making its folder."""
    write_audio(path, waveform_T, SAMPLE_RATE_HZ, subtype="PCM_16")
