"""Noises by kind. Each split has kinds of its own: what is learnt on one kind of noise is tested on others.

Shapes: T samples.
"""

from collections.abc import Callable, Sequence

import numpy as np
from scipy.signal import lfilter, sawtooth

from reseed.stages.synthesis.waveforms import (
    SAMPLE_RATE_HZ,
    Samples,
    add_at,
    at_level,
    band_noise,
    coloured_noise,
    rms,
    slow_curve,
    times_s,
)

_LEVEL_DBFS = (-28.0, -20.0)
_FLOOR_DBFS = -55.0

Noise = Callable[[int, np.random.Generator], Samples]


def make_noise(kind: str, duration_s: float, generator: np.random.Generator) -> Samples:
    """Return one noise [T] of a kind, -28 to -20 dBFS, on a floor that fills its pauses."""
    samples = round(duration_s * SAMPLE_RATE_HZ)
    noise_T = at_level(_MAKERS[kind](samples, generator), generator.uniform(*_LEVEL_DBFS))
    return noise_T + at_level(coloured_noise(samples, 1.0, generator), _FLOOR_DBFS)


def hiss(samples: int, generator: np.random.Generator) -> Samples:
    """White noise: a tape, a leaking valve."""
    return coloured_noise(samples, generator.uniform(-0.3, 0.3), generator)


def pink(samples: int, generator: np.random.Generator) -> Samples:
    """Pink noise: traffic far away, ventilation."""
    return coloured_noise(samples, generator.uniform(0.8, 1.2), generator)


def hum(samples: int, generator: np.random.Generator) -> Samples:
    """Mains hum with harmonics and a little hiss."""
    mains_hz = generator.choice([50.0, 60.0]) * generator.uniform(0.998, 1.002)
    strengths = generator.random(20) / np.arange(1, 21) ** 0.7
    hum_T = _harmonics(np.full(samples, mains_hz), strengths, generator)
    return hum_T / rms(hum_T) + 0.2 * coloured_noise(samples, 0.5, generator)


def engine(samples: int, generator: np.random.Generator) -> Samples:
    """An engine whose speed wanders: harmonics of the firing rate, and noise that pulses with it."""
    firing_hz_T = generator.uniform(25, 60) * (0.8 + 0.5 * slow_curve(samples, 0.7, generator))
    tone_T = _harmonics(firing_hz_T, generator.uniform(0.3, 1, 30) / np.arange(1, 31) ** 0.8, generator)
    pulse_T = 0.6 + 0.4 * np.sin(_phase(firing_hz_T))
    return tone_T / rms(tone_T) + 0.7 * pulse_T * coloured_noise(samples, 1.0, generator)


def rain(samples: int, generator: np.random.Generator) -> Samples:
    """Rain: a bed of bright noise, and drops that each ring briefly."""
    drops_T = _scattered(samples, generator.uniform(40, 200), lambda: _ping(generator, (1500, 6000), 0.004), generator)
    return 0.8 * band_noise(samples, 800, 7500, generator) + drops_T / rms(drops_T)


def typing(samples: int, generator: np.random.Generator) -> Samples:
    """Keys struck in bursts: a click when pressed, a softer one when released."""
    keys_T = np.zeros(samples)
    start = 0
    while (start := start + _gap(generator, 0.16)) < samples:
        add_at(keys_T, _ping(generator, (1200, 4500), 0.006), start)
        add_at(keys_T, 0.4 * _ping(generator, (800, 3000), 0.005), start + _gap(generator, 0.06))
    return keys_T


def rumble(samples: int, generator: np.random.Generator) -> Samples:
    """Brown noise: a lorry idling next door, a ship."""
    return coloured_noise(samples, generator.uniform(1.7, 2.1), generator)


def fan(samples: int, generator: np.random.Generator) -> Samples:
    """A fan: broad noise beaten by its blades, and their tone."""
    blades_hz_T = np.full(samples, generator.uniform(60, 140))
    broad_T = coloured_noise(samples, 0.8, generator) * (1 + 0.3 * np.sin(_phase(blades_hz_T)))
    return broad_T + 0.4 * _harmonics(blades_hz_T, 1 / np.arange(1, 9), generator)


def clock(samples: int, generator: np.random.Generator) -> Samples:
    """A clock that ticks two to six times a second, on quiet pink noise."""
    ticks_T = np.zeros(samples)
    beat = int(SAMPLE_RATE_HZ / generator.uniform(2, 6))
    tick_T, tock_T = (_ping(generator, (1800, 5000), 0.008) for _ in range(2))
    for number, start in enumerate(range(0, samples, beat)):
        add_at(ticks_T, tock_T if number % 2 else tick_T, start)
    return ticks_T / rms(ticks_T) + 0.3 * coloured_noise(samples, 1.0, generator)


def wind(samples: int, generator: np.random.Generator) -> Samples:
    """Wind in gusts: low noise that swells, and a whistle that rises with it."""
    gust_T = 0.15 + slow_curve(samples, generator.uniform(0.4, 1.0), generator) ** 2
    whistle_T = np.sin(_phase(400 + 700 * gust_T)) * gust_T**2
    return gust_T * coloured_noise(samples, 1.5, generator) + 0.15 * whistle_T


def siren(samples: int, generator: np.random.Generator) -> Samples:
    """A siren that wails between two pitches, over street noise."""
    sweep_T = 0.5 + 0.5 * np.sin(2 * np.pi * generator.uniform(0.2, 2.5) * times_s(samples))
    low_hz = generator.uniform(400, 700)
    wail_T = _harmonics(low_hz * (1 + generator.uniform(0.4, 1.2) * sweep_T), (1, 0.4, 0.25, 0.1), generator)
    return wail_T / rms(wail_T) + 0.5 * coloured_noise(samples, 1.2, generator)


def birds(samples: int, generator: np.random.Generator) -> Samples:
    """Bird calls: short sweeps, several to a call, over leaves."""
    calls_T = _scattered(samples, generator.uniform(4, 9), lambda: _chirp(generator), generator)
    return calls_T / rms(calls_T) + 0.2 * band_noise(samples, 1000, 6000, generator)


def drill(samples: int, generator: np.random.Generator) -> Samples:
    """A drill that is pressed and let go: a saw-toothed motor and rattling noise."""
    load_T = slow_curve(samples, 1.5, generator)
    motor_hz_T = generator.uniform(90, 180) * (1.2 - 0.4 * load_T)
    rattle_T = coloured_noise(samples, 0.0, generator) * (1 + sawtooth(_phase(motor_hz_T / 4))) * (0.2 + load_T)
    return sawtooth(_phase(motor_hz_T)) + 0.6 * rattle_T


_MAKERS: dict[str, Noise] = {
    maker.__name__: maker
    for maker in (hiss, pink, hum, engine, rain, typing, rumble, fan, clock, wind, siren, birds, drill)
}
NOISE_KINDS = {
    "train": ("pink", "engine", "rain", "typing", "hum", "hiss"),
    "dev": ("rumble", "clock", "fan"),
    "test": ("wind", "siren", "birds", "drill"),
}


def _phase(frequency_hz_T: Samples) -> Samples:
    return 2 * np.pi * np.cumsum(frequency_hz_T) / SAMPLE_RATE_HZ


def _harmonics(
    fundamental_hz_T: Samples, strengths: Sequence[float] | Samples, generator: np.random.Generator
) -> Samples:
    """Return the sum of harmonics 1, 2, ... of a moving fundamental, each at a phase of its own."""
    phase_T = _phase(fundamental_hz_T)
    offsets = generator.uniform(0, 2 * np.pi, len(strengths))
    harmonics = (
        strength * np.sin(order * phase_T + offset)
        for order, (strength, offset) in enumerate(zip(strengths, offsets, strict=True), start=1)
    )
    return sum(harmonics, np.zeros_like(phase_T))


def _scattered(samples: int, rate_hz: float, event: Callable[[], Samples], generator: np.random.Generator) -> Samples:
    """Return events [T] at random times, `rate_hz` of them in a second on average, at least one."""
    scattered_T = np.zeros(samples)
    count = max(1, generator.poisson(rate_hz * samples / SAMPLE_RATE_HZ))
    for start in generator.integers(0, max(1, samples - SAMPLE_RATE_HZ // 4), count):
        add_at(scattered_T, generator.uniform(0.2, 1.0) * event(), start)
    return scattered_T


def _ping(generator: np.random.Generator, range_hz: tuple[float, float], decay_s: float) -> Samples:
    """Return something small struck once: a damped resonance excited by a burst of noise."""
    samples = round(12 * decay_s * SAMPLE_RATE_HZ)
    radius = np.exp(-1 / (decay_s * SAMPLE_RATE_HZ))
    angle = 2 * np.pi * generator.uniform(*range_hz) / SAMPLE_RATE_HZ
    burst_T = np.zeros(samples)
    burst_T[:16] = generator.standard_normal(16)
    ringing_T = lfilter([1.0], [1.0, -2 * radius * np.cos(angle), radius**2], burst_T)
    return ringing_T / np.abs(ringing_T).max()


def _chirp(generator: np.random.Generator) -> Samples:
    samples = round(generator.uniform(0.05, 0.2) * SAMPLE_RATE_HZ)
    begin_hz, end_hz = generator.uniform(2000, 5500, 2)
    return np.hanning(samples) * np.sin(_phase(np.linspace(begin_hz, end_hz, samples)))


def _gap(generator: np.random.Generator, mean_s: float) -> int:
    return 1 + round(generator.exponential(mean_s) * SAMPLE_RATE_HZ)
