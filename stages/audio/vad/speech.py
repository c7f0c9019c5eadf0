"""The speech of an utterance: where it lies, and which part of it a crop is.

Shapes: T samples.
"""

import os
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from reseed.stages.audio.bank import WHOLE_S
from reseed.stages.audio.decode import Waveform, read, read_blocks, read_joined, resampled
from reseed.stages.audio.location import Location
from reseed.stages.audio.manifest import Utterance
from reseed.stages.audio.vad.blocks import RATE_HZ
from reseed.stages.audio.vad.energy import energy_speech
from reseed.stages.audio.vad.silero import Silero
from reseed.stages.audio.vad_settings import VadSettings, silero_file
from reseed.stages.common.threads import thread_map
from reseed.store import AudioError
from reseed.store.atomic import sha256_once

_LEAST_S = 1e-6  # what rounding leaves of a stretch

# Gives where speech begins and ends, in samples at RATE_HZ, of a waveform that comes in blocks.
Detector = Callable[[Iterable[Waveform]], list[tuple[int, int]]]


class Stretch(NamedTuple):
    """A stretch of an utterance, in seconds from its beginning."""

    start_s: float
    end_s: float


def load_detector(settings: VadSettings) -> Detector:
    """Return what tells speech from silence; threads may share it.

    Raises:
        ConfigError: the package that it comes with is not installed.
    """
    return Silero(settings.silero) if settings.method == "silero" else partial(energy_speech, settings=settings.energy)


def detector_identity(settings: VadSettings | None) -> dict[str, Any]:
    """Return what decides a detection beside its settings: the weights of a network."""
    is_network = settings is not None and settings.method == "silero"
    return {"silero_sha256": sha256_once(silero_file())} if is_network else {}


def read_short(row: Utterance, sample_rate_hz: int) -> Waveform | None:
    """Return a whole utterance [T], or None of one that is too long to be held.

    Raises:
        AudioError: it cannot be read.
    """
    if row.duration_s > WHOLE_S:
        return None
    return read(Location.parse(row.path), sample_rate_hz, row.start_s, row.duration_s, row.channel)


def find_speech(row: Utterance, detect: Detector, heard_T: Waveform | None, sample_rate_hz: int) -> list[Stretch]:
    """Return where somebody speaks, in order.

    Args:
        heard_T: what `read_short` has given at `sample_rate_hz`.

    Raises:
        AudioError: it cannot be read.
    """
    blocks: Iterable[Waveform]
    if heard_T is None:
        blocks = read_blocks(Location.parse(row.path), RATE_HZ, row.start_s, row.duration_s, row.channel)
    else:
        blocks = [resampled(heard_T, sample_rate_hz, RATE_HZ)]
    found = (Stretch(start / RATE_HZ, min(stop / RATE_HZ, row.duration_s)) for start, stop in detect(blocks))
    return [stretch for stretch in found if stretch.end_s > stretch.start_s]


def speech_lengths_s(rows: Iterable[Utterance], settings: VadSettings) -> list[float | None]:
    """Return how much speech each utterance holds; None of one that cannot be read."""
    detect, threads = load_detector(settings), len(os.sched_getaffinity(0))

    def measured(row: Utterance) -> float | None:
        try:
            return length_s(find_speech(row, detect, read_short(row, RATE_HZ), RATE_HZ))
        except AudioError:
            return None

    return list(thread_map(measured, rows, threads, 2 * threads))


def length_s(stretches: Iterable[Stretch]) -> float:
    """Return how long stretches are together."""
    return sum(stretch.end_s - stretch.start_s for stretch in stretches)


def cut_out(stretches: Sequence[Stretch], start_s: float, duration_s: float) -> list[Stretch]:
    """Return the part of some stretches that lasts `duration_s` from `start_s` of what they are once joined."""
    found, before_s = [], 0.0
    for begin_s, end_s in stretches:
        first_s = begin_s + max(0.0, start_s - before_s)
        last_s = begin_s + min(end_s - begin_s, start_s + duration_s - before_s)
        if last_s - first_s > _LEAST_S:
            found.append(Stretch(first_s, last_s))
        before_s += end_s - begin_s
    return found


def joined(row: Utterance, stretches: Sequence[Stretch], heard_T: Waveform | None, sample_rate_hz: int) -> Waveform:
    """Return stretches of an utterance one after the other [T].

    Args:
        heard_T: what `read_short` has given.

    Raises:
        AudioError: it cannot be read.
    """
    if heard_T is None:
        places = [(row.start_s + start_s, row.start_s + end_s) for start_s, end_s in stretches]
        return read_joined(Location.parse(row.path), sample_rate_hz, places, row.channel)
    edges = ((round(start_s * sample_rate_hz), round(end_s * sample_rate_hz)) for start_s, end_s in stretches)
    return np.concatenate([heard_T[start:stop] for start, stop in edges])
