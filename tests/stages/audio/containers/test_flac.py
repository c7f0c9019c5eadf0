"""FLAC that does not say how long it is, or says it wrongly."""

import numpy as np
import pytest

from reseed.stages.audio.decode import Inspection, read
from tests.stages.audio.files import encoded, id3, looked_at, samples_in, tone, written

SAMPLES = 30_001
WHOLE = {
    "16": written(tone(SAMPLES), format="FLAC"),
    "24 bits, stereo": written(tone(SAMPLES, channels=2), format="FLAC", subtype="PCM_24"),
    "8 bits": written(tone(SAMPLES), format="FLAC", subtype="PCM_S8"),
    "48 kHz": written(tone(SAMPLES, 48_000), 48_000, format="FLAC"),
    "by FFmpeg": encoded(tone(SAMPLES), "flac", "flac"),
}


def with_total(data: bytes, samples: int) -> bytes:
    start = data.index(b"fLaC") + 21
    packed = int.from_bytes(data[start : start + 5]) & ~((1 << 36) - 1) | samples
    return data[:start] + packed.to_bytes(5) + data[start + 5 :]


def with_md5(data: bytes, md5: bytes) -> bytes:
    return data[:26] + md5 + data[42:]


@pytest.mark.parametrize("name", WHOLE)
def test_a_total_of_zero_is_no_length_and_the_last_frame_has_it(tmp_path, name):
    data = WHOLE[name]
    assert samples_in(tmp_path / "whole", data) == SAMPLES
    for piped in (
        with_total(data, 0),
        with_md5(with_total(data, 0), bytes(16)),
        with_total(data, 0) + b"TAG" + bytes(125),
    ):
        assert samples_in(tmp_path / "piped", piped) == SAMPLES
    np.testing.assert_array_equal(read(tmp_path / "piped", 16_000), read(tmp_path / "whole", 16_000))


@pytest.mark.parametrize("name", WHOLE)
def test_tags_before_it_change_nothing(tmp_path, name):
    for data in (id3(3_000) + WHOLE[name], id3(10) + id3(99) + with_total(WHOLE[name], 0)):
        assert samples_in(tmp_path / "a", data) == SAMPLES


@pytest.mark.parametrize("total", [SAMPLES - 1, SAMPLES + 1, SAMPLES // 2, 10 * SAMPLES, 2**36 - 1])
def test_a_total_that_the_frames_contradict_is_rejected(tmp_path, total):
    found = looked_at(tmp_path / "a", with_total(WHOLE["16"], total))
    assert f"announces {total} samples where its frames hold {SAMPLES}" in str(found)


@pytest.mark.parametrize("name", WHOLE)
def test_samples_of_another_md5_are_rejected_and_an_md5_of_zeros_is_none(tmp_path, name):
    assert "their MD5 differs" in str(looked_at(tmp_path / "a", with_md5(WHOLE[name], bytes(15) + b"\1")))
    assert samples_in(tmp_path / "b", with_md5(WHOLE[name], bytes(16))) == SAMPLES


def test_what_lies_behind_flac_that_has_no_md5_may_be_lost_frames(tmp_path):
    data = WHOLE["16"]
    assert samples_in(tmp_path / "a", data + 3_000 * b"APE") == SAMPLES
    found = looked_at(tmp_path / "b", with_md5(data, bytes(16)) + 3_000 * b"APE")
    assert "ends with what is no frame, and has no MD5" in str(found)


@pytest.mark.parametrize("name", WHOLE)
def test_flac_that_was_cut_is_rejected_with_or_without_a_total(tmp_path, name):
    for data in (WHOLE[name], with_total(WHOLE[name], 0)):
        for share in (0.2, 0.5, 0.95):
            found = str(looked_at(tmp_path / "a", data[: int(share * len(data))]))
            assert "cut short" in found or "cannot be decoded" in found


def test_joined_files_are_refused_even_where_both_are_of_one_length(tmp_path):
    assert "several FLAC files joined" in str(looked_at(tmp_path / "a", 2 * WHOLE["16"]))
    assert "several FLAC files joined" in str(looked_at(tmp_path / "a", 2 * with_total(WHOLE["16"], 0)))


def test_flac_in_ogg_is_read_by_whoever_can(tmp_path):
    found = looked_at(tmp_path / "a", encoded(tone(SAMPLES), "flac", "ogg"))
    assert isinstance(found, Inspection)
    assert (found.container, found.samples) == ("Ogg FLAC", SAMPLES)
