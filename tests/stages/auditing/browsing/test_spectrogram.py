import io

import numpy as np
import pytest
import soundfile
from matplotlib.image import imread

from reseed.stages.auditing.browsing.spectrogram import spectrogram

RATE = 16_000


def picture(wave):
    """Grey, [F, T], from the highest frequency down."""
    wav = io.BytesIO()
    soundfile.write(wav, wave, RATE, format="WAV", subtype="FLOAT")
    return imread(io.BytesIO(spectrogram(wav.getvalue())))[..., 0]


@pytest.mark.parametrize("tone_hz", [1000, 6000])
def test_a_tone_is_a_dark_line_at_its_frequency_as_long_as_it_lasts(tone_hz):
    time_s = np.arange(RATE) / RATE
    grey_FT = picture(np.where(time_s < 0.5, np.sin(2 * np.pi * tone_hz * time_s), 0))
    darkest = len(grey_FT) - 1 - grey_FT[:, 50].argmin()
    assert darkest * RATE / 2 / (len(grey_FT) - 1) == pytest.approx(tone_hz, abs=40)
    assert grey_FT[:, 150:].min() == 1  # white: silence


@pytest.mark.parametrize("length", [1, 100, 200 * RATE])
def test_sounds_of_any_length_have_a_picture_of_bounded_width(length):
    assert 1 <= picture(np.random.default_rng(0).normal(size=length)).shape[1] <= 1100


def test_silence_has_a_picture():
    assert np.isfinite(picture(np.zeros(RATE))).all()
