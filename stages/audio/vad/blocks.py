"""A waveform that comes in blocks of any length, in blocks of one length.

Shapes: T samples.
"""

from collections.abc import Iterable, Iterator

import numpy as np

from reseed.stages.audio.decode import Waveform

RATE_HZ = 16_000  # at which voice activity is detected
BLOCK_SAMPLES = 512 * 512  # whole windows of silero: 16.4 s


def even_blocks(blocks: Iterable[Waveform]) -> Iterator[Waveform]:
    """Yield the same waveform in blocks [BLOCK_SAMPLES]; only the last may be shorter."""
    left_T = np.empty(0, np.float32)
    for block_T in blocks:
        left_T = np.concatenate([left_T, block_T])
        whole = len(left_T) // BLOCK_SAMPLES * BLOCK_SAMPLES
        yield from left_T[:whole].reshape(-1, BLOCK_SAMPLES)
        left_T = left_T[whole:]
    if len(left_T):
        yield left_T
