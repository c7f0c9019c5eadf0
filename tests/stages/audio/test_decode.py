import resource

import numpy as np
import pytest
import soundfile

from reseed.stages.audio.decode import inspect, read, read_blocks, read_joined
from reseed.store import AudioError
from tests.corpus import voice, write_wave


@pytest.mark.parametrize("rate_hz", [4_001, 7_999, 8_000, 15_999, 16_001, 44_099, 44_100, 48_000, 96_000, 767_999])
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


ODD_RATES_HZ = [1, 2, 7, 50, 333, 999, 16_001, 22_049, 44_099, 47_999, 192_001, 384_000, 767_999, 768_000]


@pytest.mark.parametrize("rate_hz", ODD_RATES_HZ)
def test_every_rate_is_read_in_the_memory_of_its_samples(tmp_path, rate_hz):
    """A filter made for the two rates alone took gigabytes at 16,001 Hz."""
    samples = max(2, 2 * rate_hz)
    path = write_wave(tmp_path / "a.wav", 0.1 * np.sin(np.arange(samples)), rate_hz)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert abs(len(read(path, 16_000)) - samples / rate_hz * 16_000) <= 1
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200 * 1024  # kB


def test_many_channels_are_averaged_in_the_memory_of_few(tmp_path):
    path = tmp_path / "a.wav"
    with soundfile.SoundFile(path, "w", 48_000, 512, "PCM_16") as file:
        for _ in range(48):
            file.write(np.full((1_000, 512), 0.25, np.float32))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    np.testing.assert_allclose(read(path, 48_000), 0.25, atol=1e-4)
    assert inspect(path).channels == 512
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 64 * 1024


@pytest.mark.parametrize("fault", [MemoryError("no room"), ValueError("odd"), RuntimeError("soxr")])
def test_whatever_a_decoder_raises_is_the_fault_of_the_recording(tmp_path, monkeypatch, fault):
    def fail(*_, **__):
        raise fault

    path = write_wave(tmp_path / "a.wav", voice(0, 0))
    monkeypatch.setattr("reseed.stages.audio.decode.soxr.resample", fail)
    with pytest.raises(AudioError, match=rf"cannot be decoded \({type(fault).__name__}: "):
        read(path, 8_000)


@pytest.mark.parametrize("rate_hz", [8_000, 16_000, 44_100])
def test_blocks_are_what_is_read_at_once_and_joined_stretches_its_parts(tmp_path, monkeypatch, rate_hz):
    monkeypatch.setattr("reseed.stages.audio.streams._BLOCK_SAMPLES", 5_000)
    wave_TC = np.stack([np.zeros(3 * rate_hz), voice(0, 0, 3.0, rate_hz)], axis=1)
    path = write_wave(tmp_path / "a.wav", wave_TC, rate_hz, subtype="FLOAT")
    blocks = list(read_blocks(path, 16_000, 0.5, 2.0, channel=1))
    assert len(blocks) > 3
    at_once = read(path, 16_000, 0.5, 2.0, channel=1)
    assert abs(sum(map(len, blocks)) - 32_000) <= 1
    np.testing.assert_allclose(np.concatenate(blocks)[:31_999], at_once[:31_999], atol=1e-6)
    joined = read_joined(path, rate_hz, [(0.25, 0.5), (0.75, 2.5), (2.75, 3.0)], channel=1)
    parts = [
        read(path, rate_hz, start_s, length_s, channel=1)
        for start_s, length_s in ((0.25, 0.25), (0.75, 1.75), (2.75, 0.25))
    ]
    np.testing.assert_array_equal(joined, np.concatenate(parts))
    with pytest.raises(AudioError, match="is cut short: "):
        list(read_blocks(path, 16_000, 2.5, 2.0, channel=1))
    with pytest.raises(AudioError, match="is cut short: "):
        read_joined(path, rate_hz, [(0.5, 1.0), (2.5, 3.5)], channel=1)
    with pytest.raises(AudioError, match="and no channel 2"):
        read_joined(path, rate_hz, [(0.5, 1.0)], channel=2)
