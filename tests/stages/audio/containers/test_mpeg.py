"""MP3 that does not say how long it is, or says it of a part: every frame is walked."""

import numpy as np
import pytest

from reseed.stages.audio.decode import Inspection, read
from tests.stages.audio.files import (
    encoded,
    id3,
    looked_at,
    samples_in,
    tone,
    with_fields,
    without_first_frame,
    written,
)

RATES = [16_000, 22_050, 48_000]
DELAY = 3 * 1152  # of encoder and decoder together, at most


def mp3(seconds: float = 3.0, rate_hz: int = 48_000, channels: int = 1, mode: str = "VARIABLE") -> bytes:
    wave = tone(round(seconds * rate_hz), rate_hz, channels)
    wave[len(wave) // 3 : len(wave) // 2] *= 0.001  # frames of other sizes
    return written(wave, rate_hz, format="MP3", bitrate_mode=mode)


def constant(seconds: float = 3.0, size: int = 192) -> bytes:
    """Frames of one length, as they are at 48 kHz and a constant rate, without the one that counts them."""
    data = encoded(tone(round(seconds * 48_000), 48_000), "mp3", "mp3", 48_000, bit_rate=64_000)
    data = without_first_frame(data[data.index(b"\xff\xfb") :])
    assert all(data[place : place + 2] == data[:2] for place in range(0, len(data), size))
    return data


@pytest.mark.parametrize("rate_hz", RATES)
@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("mode", ["CONSTANT", "VARIABLE"])
def test_without_the_frame_that_counts_them_all_frames_are_read(tmp_path, rate_hz, channels, mode):
    data = mp3(2.0, rate_hz, channels, mode)
    whole = 2 * rate_hz
    assert samples_in(tmp_path / "whole", data) == whole
    bare = without_first_frame(data)
    for name, spoilt in (("tagged", id3(500) + bare + b"TAG" + 125 * b"x"), ("bare", bare)):
        assert whole <= samples_in(tmp_path / name, spoilt) < whole + DELAY, name
    heard = read(tmp_path / "bare", rate_hz)
    expected = read(tmp_path / "whole", rate_hz)
    place = np.correlate(heard[-8_000:], expected[-4_000:]).argmax() - 4_000
    assert abs(place) < DELAY, "the end is the end"


@pytest.mark.parametrize(
    "junk", [b"\xff\xfb" * 99, bytes(500), b"some words of a broadcaster", id3(700), b"\xff" * 3_000]
)
def test_what_lies_between_frames_is_walked_over(tmp_path, junk):
    data, middle = constant(), 40 * 192
    whole = samples_in(tmp_path / "whole", data)
    for name, spoilt in (("a", data[:middle] + junk + data[middle:]), ("b", junk + data), ("c", data + junk)):
        assert samples_in(tmp_path / name, spoilt) in (whole, whole - 529), "but for the decoder's delay"


def test_joined_files_are_read_to_the_end_of_the_last(tmp_path):
    first, second, third = mp3(1.0), mp3(2.0), without_first_frame(mp3(1.5))
    assert 3 * 48_000 <= samples_in(tmp_path / "two", first + second) < 3 * 48_000 + 2 * DELAY
    assert 4.5 * 48_000 <= samples_in(tmp_path / "three", first + second + third) < 4.5 * 48_000 + 3 * DELAY
    tagged = first + b"TAG" + 125 * b" " + id3(900) + second
    assert 3 * 48_000 <= samples_in(tmp_path / "tagged", tagged) < 3 * 48_000 + 2 * DELAY


@pytest.mark.parametrize("other", [mp3(2.0, 44_100), mp3(2.0, 48_000, 2), mp3(2.0, 16_000)])
def test_joined_files_of_different_rates_or_channels_are_refused(tmp_path, other):
    assert "changes its rate or channels after 2.0" in str(looked_at(tmp_path / "a", mp3(2.0) + other))


@pytest.mark.parametrize("is_bare", [True, False])
def test_an_mp3_that_was_cut_is_rejected(tmp_path, is_bare):
    data = without_first_frame(mp3()) if is_bare else mp3()
    for place in (len(data) // 3, len(data) // 2, len(data) - 20):
        assert "cut short" in str(looked_at(tmp_path / "a", data[:place]))


def test_a_frame_whose_header_is_damaged_is_not_left_out_in_silence(tmp_path):
    data = with_fields(constant(), (2 * 192, "<H", 0))
    assert "is damaged" in str(looked_at(tmp_path / "a", data))
    data = with_fields(constant(), (50 * 192, "<H", 0))
    assert "is damaged: the header of its frame 51" in str(looked_at(tmp_path / "a", data))


@pytest.mark.parametrize("start", [1_000, 4_000, 7_500])
@pytest.mark.parametrize("size", [200, 1_000, 2_500])
@pytest.mark.parametrize("content", ["zeros", "noise", "nothing"])
def test_frames_that_are_overwritten_or_taken_out_are_not_left_out_in_silence(tmp_path, start, size, content):
    data = without_first_frame(mp3(3.0, 16_000))
    between = {"zeros": bytes(size), "noise": np.random.default_rng(0).bytes(size), "nothing": b""}[content]
    found = looked_at(tmp_path / "a", data[:start] + between + data[start + size :])
    assert isinstance(found, str) or found.samples == samples_in(tmp_path / "b", data), found
    assert content == "zeros" or isinstance(found, str)


def test_a_file_of_which_the_end_was_never_written_is_rejected(tmp_path):
    data, written_bytes = constant(), 30 * 192 + 100
    assert "is damaged" in str(looked_at(tmp_path / "a", data[:written_bytes] + bytes(len(data) - written_bytes)))


def test_free_format_is_read(tmp_path):
    """The bits of the rate are 0: a frame is as long as the next is far."""
    data = bytearray(constant())
    whole = samples_in(tmp_path / "whole", bytes(data))
    for place in range(2, len(data), 192):
        data[place] &= 0x0F
    assert samples_in(tmp_path / "free", bytes(data)) == pytest.approx(whole, abs=1152)


def test_layer_two_is_read(tmp_path):
    data = encoded(tone(48_000), "mp2", "mp2")
    found = looked_at(tmp_path / "a", data)
    assert isinstance(found, Inspection)
    assert found.container == "MP2"
    assert 48_000 <= found.samples < 48_000 + DELAY
