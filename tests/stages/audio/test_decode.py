import numpy as np
import pytest

from reseed.stages.audio.decode import inspect, read
from reseed.store import AudioError
from tests.corpus import voice, write_wave


@pytest.mark.parametrize("rate_hz", [8_000, 44_100, 48_000])
def test_other_rates_are_resampled_to_the_same_sound(tmp_path, rate_hz):
    time_s = np.arange(rate_hz) / rate_hz
    tone = read(write_wave(tmp_path / "a.wav", 0.5 * np.sin(2 * np.pi * 440 * time_s), rate_hz), 16_000)
    wanted = 0.5 * np.sin(2 * np.pi * 440 * np.arange(16_000) / 16_000)
    assert len(tone) == 16_000
    assert np.abs(tone - wanted)[200:-200].max() < 2e-3


def test_channels_are_averaged(tmp_path):
    stereo = np.stack([np.full(100, 0.5), np.full(100, -0.25)], axis=1)
    np.testing.assert_allclose(read(write_wave(tmp_path / "a.wav", stereo), 16_000), 0.125, atol=1e-4)


def test_a_stretch_is_the_same_as_the_whole_cut(tmp_path):
    path = write_wave(tmp_path / "a.flac", voice(0, 0))
    np.testing.assert_array_equal(read(path, 16_000, 0.5, 0.25), read(path, 16_000)[8_000:12_000])
    with pytest.raises(AudioError, match=r"cut short: 0 of 16000 samples from 3\.000 s on"):
        read(path, 16_000, 3.0, 1.0)


@pytest.mark.parametrize("name", ["missing.wav", "folder"])
def test_what_is_no_file_is_said_so(tmp_path, name):
    (tmp_path / "folder").mkdir()
    for function in (inspect, lambda path: read(path, 16_000)):
        with pytest.raises(AudioError, match=r"does not exist|is not a file"):
            function(tmp_path / name)
