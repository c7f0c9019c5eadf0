"""Music by style: a chord progression, an instrument, a bass and a drum kit, all seeded. Each split has its own styles.

Shapes: T samples.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.signal import lfilter

from reseed.stages.synthesis.waveforms import (
    SAMPLE_RATE_HZ,
    Samples,
    add_at,
    at_level,
    band_noise,
    coloured_noise,
    times_s,
)

_LEVEL_DBFS = (-24.0, -18.0)
_FLOOR_DBFS = -60.0

# Above half the sample rate a partial would come back as a wrong note.
_HIGHEST_PARTIAL_HZ = 7500

# Scale degrees of the chords, 0 = the tonic; major and minor follow from the scale.
_PROGRESSIONS = ((0, 4, 5, 3), (0, 5, 3, 4), (0, 3, 4, 0), (5, 3, 0, 4), (1, 4, 0, 0), (0, 2, 3, 4))
_SCALES = ((0, 2, 4, 5, 7, 9, 11), (0, 2, 3, 5, 7, 8, 10))

Instrument = Callable[[float, float, np.random.Generator], Samples]


@dataclass(frozen=True)
class MusicStyle:
    """How a progression is played.

    Attributes:
        instrument: plays one note of a pitch in Hz and a duration in s.
        tempo_bpm: the range that the tempo is drawn from.
        beats: beats of a bar; every bar is one chord.
        arpeggio: notes of the chord one after another, else all together.
        drums: what is struck on each beat: "k"ick, "s"nare, "h"at, "-" nothing.
    """

    instrument: Instrument
    tempo_bpm: tuple[float, float]
    beats: int
    arpeggio: bool
    drums: str


def make_music(style: str, duration_s: float, generator: np.random.Generator) -> Samples:
    """Return one piece [T] of a style, -24 to -18 dBFS, cut at its duration."""
    samples = round(duration_s * SAMPLE_RATE_HZ)
    played_T = _play(_STYLES[style], samples, generator)
    music_T = at_level(played_T, generator.uniform(*_LEVEL_DBFS))
    return music_T + at_level(coloured_noise(samples, 1.0, generator), _FLOOR_DBFS)


def plucked(pitch_hz: float, duration_s: float, generator: np.random.Generator) -> Samples:
    """A plucked string (Karplus and Strong 1983): a burst of noise round a delay line with a mean in its loop."""
    samples = round(duration_s * SAMPLE_RATE_HZ)
    period = round(SAMPLE_RATE_HZ / pitch_hz)
    burst_T = np.zeros(samples)
    burst_T[:period] = generator.uniform(-1, 1, period)[:samples]
    loop = np.zeros(period + 2)
    loop[0], loop[period:] = 1.0, -0.498
    return lfilter([1.0], loop, burst_T)


def organ(pitch_hz: float, duration_s: float, generator: np.random.Generator) -> Samples:
    """Drawbars: octaves and fifths at fixed strengths, with soft edges."""
    stops = {1: 1.0, 2: 0.7, 3: 0.4, 4: 0.4, 6: 0.2, 8: 0.15}
    return _swell(_partials(pitch_hz, duration_s, stops), 0.02)


def strings(pitch_hz: float, duration_s: float, generator: np.random.Generator) -> Samples:
    """Bowed strings: many partials, three players slightly out of tune, a slow attack."""
    stops = {order: 1 / order for order in range(1, 13)}
    detuned = pitch_hz * (1 + generator.normal(0, 0.003, 3))
    first_T, *others = (_partials(player_hz, duration_s, stops) for player_hz in detuned)
    return _swell(sum(others, first_T), 0.15)


def bell(pitch_hz: float, duration_s: float, generator: np.random.Generator) -> Samples:
    """A bell or vibraphone: inharmonic partials, the higher the sooner gone."""
    t_T = times_s(round(duration_s * SAMPLE_RATE_HZ))
    ratios = (1.0, 2.76, 4.07, 5.4)
    tones = (np.exp(-t_T * (2 + ratio)) * np.sin(2 * np.pi * pitch_hz * ratio * t_T) / ratio for ratio in ratios)
    return sum(tones, np.zeros_like(t_T))


def reed(pitch_hz: float, duration_s: float, generator: np.random.Generator) -> Samples:
    """A reed or accordion: odd partials with vibrato."""
    t_T = times_s(round(duration_s * SAMPLE_RATE_HZ))
    phase_T = 2 * np.pi * pitch_hz * t_T + 0.3 * np.sin(2 * np.pi * generator.uniform(4, 6) * t_T)
    orders = [order for order in (1, 3, 5, 7, 9) if order * pitch_hz < _HIGHEST_PARTIAL_HZ]
    return _swell(sum((np.sin(order * phase_T) / order for order in orders), np.zeros_like(t_T)), 0.05)


_STYLES = {
    "folk": MusicStyle(plucked, (90, 130), 4, True, "----"),
    "ballad": MusicStyle(strings, (60, 85), 4, False, "k-s-"),
    "beat": MusicStyle(plucked, (100, 140), 4, False, "khsh"),
    "waltz": MusicStyle(reed, (120, 160), 3, False, "khh"),
    "chapel": MusicStyle(organ, (55, 80), 4, False, "----"),
    "lounge": MusicStyle(bell, (80, 120), 4, True, "hhsh"),
    "march": MusicStyle(organ, (105, 125), 2, True, "ks"),
}
MUSIC_STYLES = {"train": ("folk", "ballad", "beat"), "dev": ("waltz", "chapel"), "test": ("lounge", "march")}


def _play(style: MusicStyle, samples: int, generator: np.random.Generator) -> Samples:
    """Play bar after bar, a chord in each, until the piece is full."""
    beat = round(SAMPLE_RATE_HZ * 60 / generator.uniform(*style.tempo_bpm))
    tonic_hz = 220 * 2 ** (generator.integers(-5, 7) / 12)
    scale = _SCALES[int(generator.integers(len(_SCALES)))]
    progression = _PROGRESSIONS[int(generator.integers(len(_PROGRESSIONS)))]
    music_T = np.zeros(samples)
    for bar, start in enumerate(range(0, samples, beat * style.beats)):
        chord_hz = [_degree_hz(tonic_hz, scale, progression[bar % len(progression)] + step) for step in (0, 2, 4)]
        _play_bar(music_T, style, chord_hz, start, beat, generator)
    return music_T


def _play_bar(
    music_T: Samples, style: MusicStyle, chord_hz: list[float], start: int, beat: int, generator: np.random.Generator
) -> None:
    bar_s = beat * style.beats / SAMPLE_RATE_HZ
    add_at(music_T, 0.8 * plucked(chord_hz[0] / 4, bar_s, generator), start)
    half = beat // 2
    onsets = range(0, beat * style.beats, half) if style.arpeggio else (0, 0, 0)
    for number, onset in enumerate(onsets):
        length_s = 2 * beat / SAMPLE_RATE_HZ if style.arpeggio else bar_s
        pitch_hz = chord_hz[number % 3] * (2 if number % 4 == 3 else 1)
        add_at(music_T, 0.5 * style.instrument(pitch_hz, length_s, generator), start + onset)
    for number, drum in enumerate(style.drums):
        if drum != "-":
            add_at(music_T, _DRUMS[drum](generator), start + number * beat)


def _degree_hz(tonic_hz: float, scale: tuple[int, ...], degree: int) -> float:
    octave, step = divmod(degree, len(scale))
    return tonic_hz * 2 ** (octave + scale[step] / 12)


def _partials(pitch_hz: float, duration_s: float, strengths: dict[int, float]) -> Samples:
    t_T = times_s(round(duration_s * SAMPLE_RATE_HZ))
    heard = [(order, strength) for order, strength in strengths.items() if order * pitch_hz < _HIGHEST_PARTIAL_HZ]
    tones = (strength * np.sin(2 * np.pi * pitch_hz * order * t_T) for order, strength in heard)
    return sum(tones, np.zeros_like(t_T))


def _swell(note_T: Samples, edge_s: float) -> Samples:
    """Fade a note in and out, so that it does not click."""
    t_T = times_s(len(note_T))
    return note_T * np.minimum(1, np.minimum(t_T, t_T[::-1]) / edge_s)


def _kick(generator: np.random.Generator) -> Samples:
    t_T = times_s(3200)
    return 1.5 * np.exp(-t_T * 25) * np.sin(2 * np.pi * 50 * t_T + 8 * (1 - np.exp(-t_T * 40)))


def _snare(generator: np.random.Generator) -> Samples:
    t_T = times_s(2400)
    return 0.5 * np.exp(-t_T * 30) * (band_noise(2400, 500, 7000, generator) + np.sin(2 * np.pi * 190 * t_T))


def _hat(generator: np.random.Generator) -> Samples:
    return 0.25 * np.exp(-times_s(800) * 80) * band_noise(800, 5000, 7800, generator)


_DRUMS = {"k": _kick, "s": _snare, "h": _hat}
