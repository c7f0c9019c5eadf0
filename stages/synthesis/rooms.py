"""Room impulse responses by the image-source method (Allen and Berkley 1979), as pyroomacoustics computes it.

Shapes: T samples.
"""

import math

import numpy as np
import pyroomacoustics
from numpy.typing import NDArray

from reseed.stages.synthesis.waveforms import HIGHEST_PEAK, SAMPLE_RATE_HZ, Samples

Metres = NDArray[np.float64]

_SMALLEST_M, _LARGEST_M = (3.0, 2.5, 2.3), (10.0, 8.0, 3.5)
_RT60_S = (0.2, 0.9)
_FROM_WALL_M = 0.4
_HEIGHT_M = (1.0, 1.8)
_LONGEST_S = 1.0
_LEAD_S = 0.002

# Images grow with the cube of the order; at 45 a room costs half a second.
_MAX_ORDER = 45
_HIGHEST_ABSORPTION = 0.6


def make_room(positions: int, generator: np.random.Generator) -> list[Samples]:
    """Return the responses [T] of one random room, one for each source, all at one microphone.

    Each begins 2 ms before the direct path, lasts at most 1 s, and has its largest sample at 0.98.
    """
    size_m = generator.uniform(_SMALLEST_M, _LARGEST_M)
    rt60_s = _feasible_rt60_s(size_m, generator.uniform(*_RT60_S))
    absorption, order = pyroomacoustics.inverse_sabine(rt60_s, size_m)
    # Each number of threads sums the images in its own order, and so gives other last bits.
    pyroomacoustics.constants.set("num_threads", 1)
    room = pyroomacoustics.ShoeBox(
        size_m,
        fs=SAMPLE_RATE_HZ,
        materials=pyroomacoustics.Material(absorption),
        max_order=min(order, _MAX_ORDER),
        air_absorption=True,
    )
    room.add_microphone(_place_m(size_m, generator))
    for _ in range(positions):
        room.add_source(_place_m(size_m, generator))
    room.compute_rir()
    return [_trimmed(room, number) for number in range(positions)]


def _feasible_rt60_s(size_m: Metres, rt60_s: float) -> float:
    """Keep an RT60 between what plausible walls can absorb and what images up to the highest order can carry."""
    x, y, z = size_m
    sabine_s = 24 * math.log(10) / pyroomacoustics.constants.get("c") * size_m.prod() / (2 * (x * y + y * z + z * x))
    # Time until the first image of the highest order arrives; a decay is still straight to about 2.5 times that.
    covered_s = _MAX_ORDER / (pyroomacoustics.constants.get("c") * float(np.linalg.norm(1 / size_m)))
    return min(max(rt60_s, sabine_s / _HIGHEST_ABSORPTION), 2.5 * covered_s)


def _place_m(size_m: Metres, generator: np.random.Generator) -> Metres:
    place_m = generator.uniform(_FROM_WALL_M, size_m - _FROM_WALL_M)
    place_m[2] = generator.uniform(*_HEIGHT_M)
    return place_m


def _trimmed(room: pyroomacoustics.ShoeBox, source: int) -> Samples:
    response_T = np.asarray(room.rir[0][source], dtype=np.float64)
    distance_m = float(np.linalg.norm(room.sources[source].position - room.mic_array.R[:, 0]))
    # pyroomacoustics delays everything by half the length of its fractional-delay filter.
    delay = pyroomacoustics.constants.get("frac_delay_length") // 2
    direct = delay + distance_m / pyroomacoustics.constants.get("c") * SAMPLE_RATE_HZ
    start = max(0, round(direct - _LEAD_S * SAMPLE_RATE_HZ))
    kept_T = response_T[start : start + round(_LONGEST_S * SAMPLE_RATE_HZ)]
    return kept_T * (HIGHEST_PEAK / np.abs(kept_T).max())
