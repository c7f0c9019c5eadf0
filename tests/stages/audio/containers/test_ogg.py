"""Ogg: recordings chained one behind the other, cut, or with pages that are missing or damaged."""

import numpy as np
import pytest

from reseed.stages.audio.decode import read
from tests.stages.audio.files import encoded, id3, looked_at, samples_in, tone, written


def ogg(samples: int, subtype: str = "OPUS", rate_hz: int = 16_000, channels: int = 1) -> bytes:
    return written(tone(samples, rate_hz, channels), rate_hz, format="OGG", subtype=subtype)


@pytest.mark.parametrize("subtype", ["OPUS", "VORBIS"])
@pytest.mark.parametrize("channels", [1, 2])
def test_chained_recordings_are_read_to_the_end_of_the_last(tmp_path, subtype, channels):
    parts = [ogg(samples, subtype, channels=channels) for samples in (20_000, 48_001, 16_000)]
    assert samples_in(tmp_path / "two", parts[0] + parts[1]) == 68_001
    assert samples_in(tmp_path / "three", b"".join(parts)) == 84_001
    apart = []
    for number, part in enumerate(parts):
        (tmp_path / str(number)).write_bytes(part)
        apart.append(read(tmp_path / str(number), 16_000))
    np.testing.assert_allclose(read(tmp_path / "three", 16_000), np.concatenate(apart), atol=1e-5)
    np.testing.assert_allclose(read(tmp_path / "three", 16_000, 3.0, 0.5), apart[1][28_000:][:8_000], atol=1e-4)


def test_codecs_may_differ_in_a_chain_and_rates_may_not(tmp_path):
    assert samples_in(tmp_path / "a", ogg(20_000) + ogg(30_000, "VORBIS")) == 50_000
    assert "several rates" in str(looked_at(tmp_path / "b", ogg(20_000) + ogg(20_000, rate_hz=48_000)))
    assert "several rates or numbers" in str(looked_at(tmp_path / "c", ogg(20_000) + ogg(20_000, channels=2)))


@pytest.mark.parametrize("subtype", ["OPUS", "VORBIS"])
def test_a_file_that_was_cut_is_rejected_at_whatever_place(tmp_path, subtype):
    data = ogg(60_000, subtype)
    last_page = data.rindex(b"OggS")
    for place in (len(data) // 3, len(data) // 2, last_page, last_page + 40, len(data) - 3):
        assert "cut short" in str(looked_at(tmp_path / "a", data[:place])), place
    whole = ogg(20_000, subtype)
    assert "cut short" in str(looked_at(tmp_path / "b", data[:last_page] + whole)), "in the middle of a chain"


@pytest.mark.parametrize("subtype", ["OPUS", "VORBIS"])
def test_pages_that_are_missing_or_damaged_are_not_left_out_in_silence(tmp_path, subtype):
    data = ogg(120_000, subtype, 48_000)
    pages = [place for place in range(len(data)) if data[place : place + 4] == b"OggS"]
    assert len(pages) > 4
    assert "lacks pages" in str(looked_at(tmp_path / "a", data[: pages[3]] + data[pages[4] :]))
    damaged = bytearray(data)
    damaged[pages[3] + 200] ^= 4
    assert "its checksum differs" in str(looked_at(tmp_path / "b", bytes(damaged)))


def test_a_tag_before_the_pages_is_walked_over(tmp_path):
    assert samples_in(tmp_path / "a", id3(2_000) + ogg(20_000)) == 20_000


@pytest.mark.parametrize("subtype", ["OPUS", "VORBIS"])
def test_a_stretch_is_what_the_whole_file_holds_there(tmp_path, subtype):
    """libsndfile seeks beside the place in Vorbis, and in the last page of Opus it does not let the decoder settle."""
    (tmp_path / "a").write_bytes(ogg(68_645, subtype))
    whole = read(tmp_path / "a", 16_000)
    for start_s in (0.1, 0.5, 1.7, 3.0, 3.9):
        np.testing.assert_allclose(
            read(tmp_path / "a", 16_000, start_s, 0.2), whole[round(16_000 * start_s) :][:3_200], atol=5e-3
        )


def test_opus_that_ffmpeg_wrote_is_read_alike(tmp_path):
    assert samples_in(tmp_path / "a", encoded(tone(96_000, 48_000), "libopus", "ogg", 48_000)) == 96_000
