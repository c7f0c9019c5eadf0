"""Voice activity by energy: Kaldi's compute-vad (ivector/voice-activity-detection.cc) on its raw log energies.

A frame of 25 ms stands for the 10 ms in its middle (snip-edges=false), of samples of 16 bits at 16 kHz, reflected at
both ends, less their mean. In place of Kaldi's dither, which is random, stands the energy that it adds on average.

Shapes: T samples, F frames.
"""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from reseed.stages.audio.decode import Waveform
from reseed.stages.audio.vad.blocks import RATE_HZ, even_blocks
from reseed.stages.audio.vad_settings import EnergySettings

HOP = RATE_HZ // 100
_FRAME = RATE_HZ // 40
_UNIT = 80  # samples, in which both are whole
_BEFORE = (_FRAME - HOP) // 2
_FULL_SCALE = 32_768
_DITHER = _FRAME - 1  # energy of a frame of normal deviates less their mean


def energy_speech(blocks: Iterable[Waveform], settings: EnergySettings) -> list[tuple[int, int]]:
    """Return where speech begins and ends, in samples at RATE_HZ, of a waveform that comes in blocks."""
    is_speech_F = speech_frames(log_energies(even_blocks(blocks)), settings)
    edges = np.flatnonzero(np.diff(is_speech_F, prepend=False, append=False))
    return [(HOP * start, HOP * stop) for start, stop in edges.reshape(-1, 2).tolist()]


def speech_frames(log_energy_F: NDArray[np.float32], settings: EnergySettings) -> NDArray[np.bool_]:
    """Return which frames are speech: enough of those around are louder than follows from the mean of all."""
    frames = len(log_energy_F)
    if frames == 0:
        return np.zeros(0, np.bool_)
    mean = float(log_energy_F.mean(dtype=np.float64))
    is_loud_F = log_energy_F > np.float32(settings.threshold + settings.mean_scale * mean)
    loud_F, around_F = np.zeros((2, frames), np.int16)
    context = min(settings.context, frames - 1)
    for offset in range(-context, context + 1):
        here = slice(max(0, -offset), frames - max(0, offset))
        loud_F[here] += is_loud_F[max(0, offset) : frames - max(0, -offset)]
        around_F[here] += 1
    is_speech_F: NDArray[np.bool_] = loud_F >= settings.proportion * around_F
    return is_speech_F


def log_energies(blocks: Iterable[Waveform]) -> NDArray[np.float32]:
    """Return the log energies [F] of a waveform; all blocks but the last are longer than a frame."""
    found: list[NDArray[np.float32]] = []
    left_T, samples = np.empty(0, np.float32), 0
    for block_T in blocks:
        left_T = np.concatenate([left_T, block_T]) if samples else np.pad(block_T, (_BEFORE, 0), "symmetric")
        samples += len(block_T)
        frames = max(0, (len(left_T) - _FRAME) // HOP + 1)
        found.append(_log_energies(left_T, frames))
        left_T = left_T[HOP * frames :]
    missing = (samples + HOP // 2) // HOP - sum(map(len, found))
    if missing > 0:
        last_T = np.pad(left_T, (0, _FRAME + HOP * (missing - 1) - len(left_T)), "symmetric")
        found.append(_log_energies(last_T, missing))
    return np.concatenate(found) if found else np.empty(0, np.float32)


def _log_energies(waveform_T: Waveform, frames: int) -> NDArray[np.float32]:
    """Return the log energies of the first frames of a waveform, from sums over the units that they are made of."""
    if frames == 0:
        return np.empty(0, np.float32)
    units = _FRAME // _UNIT + (HOP // _UNIT) * (frames - 1)
    unit_UT = _FULL_SCALE * waveform_T[: units * _UNIT].reshape(-1, _UNIT).astype(np.float64)
    sums_2U = np.stack([unit_UT.sum(axis=1), np.einsum("ut,ut->u", unit_UT, unit_UT)])
    sums_2F = np.lib.stride_tricks.sliding_window_view(sums_2U, _FRAME // _UNIT, axis=1)[:, :: HOP // _UNIT].sum(axis=2)
    energy_F: NDArray[np.float64] = sums_2F[1] - sums_2F[0] ** 2 / _FRAME
    return np.log(np.maximum(energy_F, 0.0) + _DITHER).astype(np.float32)
