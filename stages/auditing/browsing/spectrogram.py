"""The spectrogram of a sound as a picture, in grey: the louder the darker, as phoneticians print it.

Shapes: N samples, F frequencies, T frames.
"""

import io

import numpy as np
import soundfile

_WINDOW_S, _HOP_S = 0.025, 0.005
_WIDTH = 1000  # frames at most: a long sound has a longer hop
_RANGE_DB = 70  # below the loudest


def spectrogram(wav: bytes) -> bytes:
    """Return a PNG picture of a WAV file of one channel: time to the right, 0 Hz to half the sample rate upwards."""
    from matplotlib.image import imsave  # with scipy.signal a second, that only who looks at a sound should pay
    from scipy.signal import ShortTimeFFT

    wave_N, rate = soundfile.read(io.BytesIO(wav), dtype="float32")
    window = min(round(_WINDOW_S * rate), len(wave_N))
    hop = max(round(_HOP_S * rate), -(-len(wave_N) // _WIDTH))
    power_FT = ShortTimeFFT(np.hanning(window + 2)[1:-1], hop, rate, scale_to="magnitude").spectrogram(wave_N)
    level_FT = 10 * np.log10(np.maximum(power_FT, 1e-20))
    loudest, picture = float(level_FT.max()), io.BytesIO()
    imsave(picture, level_FT, vmin=loudest - _RANGE_DB, vmax=loudest, cmap="gray_r", origin="lower", format="png")
    return picture.getvalue()
