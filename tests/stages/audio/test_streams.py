"""What libsndfile does not decode, or decodes without being able to seek; and headers that would take all memory."""

import gzip
import resource
import time
from contextlib import suppress

import numpy as np
import pytest
import soundfile

from reseed.stages.audio.decode import Inspection, inspect, read
from reseed.store import AudioError
from tests.stages.audio.files import (
    encoded,
    id3,
    looked_at,
    samples_in,
    shortened_sphere,
    tone,
    with_fields,
    written,
)

# codec, container, rate, options, and how many samples the encoder may add
BY_FFMPEG = [
    ("aac", "ipod", 16_000, {}, 0),
    ("aac", "mp4", 44_100, {}, 0),
    ("aac", "mov", 8_000, {}, 0),
    ("alac", "ipod", 16_000, {}, 0),
    ("aac", "adts", 16_000, {}, 2_048),
    ("aac", "matroska", 16_000, {}, 2_048),
    ("libopus", "webm", 48_000, {}, 0),
    ("aac", "flv", 44_100, {}, 2_048),
    ("aac", "mpegts", 16_000, {}, 2_048),
    ("libopencore_amrnb", "amr", 8_000, {"bit_rate": 12_200}, 400),
    ("libopencore_amrnb", "3gp", 8_000, {"bit_rate": 12_200}, 400),
    ("pcm_s16le", "avi", 16_000, {}, 0),
    ("mp3", "avi", 16_000, {}, 4_096),
    ("wavpack", "wv", 16_000, {}, 0),
    ("adpcm_ima_qt", "aiff", 16_000, {}, 64),
    ("pcm_s24le", "wav", 16_000, {}, 0),
]
NAMES = [f"{codec} in {container}" for codec, container, *_ in BY_FFMPEG]


@pytest.mark.parametrize(("codec", "container", "rate_hz", "options", "added"), BY_FFMPEG, ids=NAMES)
def test_what_ffmpeg_decodes_has_all_its_samples_and_is_rejected_where_it_was_cut(
    tmp_path, codec, container, rate_hz, options, added
):
    wave = tone(3 * rate_hz + 77, rate_hz)
    data = encoded(wave, codec, container, rate_hz, **options)
    assert len(wave) <= samples_in(tmp_path / "a", data) <= len(wave) + added
    if not added:
        np.testing.assert_allclose(read(tmp_path / "a", rate_hz)[2_000:-2_000], wave[2_000:-2_000], atol=0.15)
    for share in (0.31, 0.52, 0.9):  # a transport stream has no end: between two packets it may well be cut
        found = looked_at(tmp_path / "b", data[: int(share * len(data))])
        assert isinstance(found, str), found
        assert any(word in found for word in ("cut short", "cannot be decoded", "damaged"))


def test_windows_media_is_read_and_its_encoder_alone_leaves_out_an_end(tmp_path):
    data = encoded(tone(3 * 44_100, 44_100), "wmav2", "asf", 44_100, bit_rate=64_000)
    assert samples_in(tmp_path / "a", data) >= 3 * 44_100 - 2 * 2_048
    assert "cut short" in str(looked_at(tmp_path / "b", data[: len(data) // 2]))
    assert "joined" in str(looked_at(tmp_path / "c", 2 * data))


@pytest.mark.parametrize("place", [0.2, 0.4, 0.6, 0.8])
def test_windows_media_that_lost_a_packet_is_rejected(tmp_path, place):
    data = bytearray(encoded(tone(5 * 44_100, 44_100), "wmav2", "asf", 44_100, bit_rate=64_000))
    at = round(place * len(data))
    data[at : at + 4_096] = bytes(4_096)
    found = str(looked_at(tmp_path / "a", bytes(data)))
    assert "is damaged" in found or "is cut short" in found


@pytest.mark.parametrize("codec", ["pcm_s16le", "mp3"])
def test_an_avi_is_read_by_its_chunks_and_not_by_its_index(tmp_path, codec):
    data = encoded(tone(48_000), codec, "avi")
    whole, index = samples_in(tmp_path / "whole", data), data.index(b"idx1")
    spoilt = data[: index + 60] + np.random.default_rng(0).bytes(200) + data[index + 260 :]
    assert samples_in(tmp_path / "index", spoilt) == whole
    assert samples_in(tmp_path / "none", with_fields(data[:index], (4, "<I", index - 8))) == whole
    middle = data.index(b"00wb", len(data) // 2)
    assert "what lies at byte" in str(looked_at(tmp_path / "a", data[:middle] + bytes(4) + data[middle + 4 :]))
    assert isinstance(looked_at(tmp_path / "b", data[:middle] + bytes(len(data) - middle)), str)


def test_an_encoder_s_delay_is_taken_off_aac_in_mp4(tmp_path):
    wave = np.zeros(16_000, np.float32)
    wave[8_000:8_016] = 0.9
    (tmp_path / "a.m4a").write_bytes(encoded(wave, "aac", "ipod"))
    heard = read(tmp_path / "a.m4a", 16_000)
    assert len(heard) == 16_000
    assert abs(int(np.abs(heard).argmax()) - 8_008) < 16


@pytest.mark.parametrize("channels", [1, 2])
def test_sphere_that_shorten_compressed_is_read(tmp_path, channels):
    wave = tone(5_000, channels=channels)
    assert samples_in(tmp_path / "a.sph", shortened_sphere(wave)) == 5_000
    heard = read(tmp_path / "a.sph", 16_000, channel=channels - 1)
    np.testing.assert_allclose(heard, wave.reshape(5_000, -1)[:, -1], atol=1e-4)
    cut = shortened_sphere(wave)[:-4_000]
    assert isinstance(looked_at(tmp_path / "b.sph", cut), str)


def test_sphere_that_is_compressed_otherwise_is_refused_with_what_to_do(tmp_path):
    data = shortened_sphere(tone(500)).replace(b"pcm,embedded-shorten-v2.00", b"ulaw,embedded-shorten-v2.0")
    assert "sph2pipe -f wav" in str(looked_at(tmp_path / "a.sph", data))


UNSEEKABLE = [
    *(("WAV", codec) for codec in ("GSM610", "G721_32", "NMS_ADPCM_16", "NMS_ADPCM_24", "NMS_ADPCM_32")),
    *(("AU", codec) for codec in ("G721_32", "G723_24", "G723_40")),
    *(("W64", "GSM610"), ("AIFF", "GSM610"), ("XI", "DPCM_16")),
]
CONTAINERS = [
    "WAV",
    "WAVEX",
    "W64",
    "RF64",
    "AIFF",
    "AU",
    "CAF",
    "FLAC",
    "OGG",
    "NIST",
    "MAT4",
    "MAT5",
    "VOC",
    "IRCAM",
    "AVR",
    "SVX",
    "PAF",
    "PVF",
    "HTK",
    "WVE",
]


@pytest.mark.parametrize(("container", "codec"), UNSEEKABLE)
def test_codecs_that_cannot_seek_are_read_from_the_start(tmp_path, container, codec):
    path = tmp_path / "a"
    soundfile.write(path, tone(32_000, 8_000), 8_000, format=container, subtype=codec)
    found = looked_at(path, path.read_bytes())
    assert isinstance(found, Inspection), found
    assert found.samples == pytest.approx(32_000, abs=400)


@pytest.mark.parametrize("container", CONTAINERS)
def test_whatever_libsndfile_writes_is_read_alike_by_prepare_and_extract(tmp_path, container):
    for codec in soundfile.available_subtypes(container):
        path = tmp_path / codec
        try:
            soundfile.write(path, tone(16_000, 8_000), 8_000, format=container, subtype=codec)
        except soundfile.LibsndfileError:
            continue
        found = looked_at(path, path.read_bytes())
        if codec.startswith("DWVW"):
            assert isinstance(found, str)
        else:
            assert isinstance(found, Inspection), (codec, found)
            assert found.samples == pytest.approx(16_000, abs=400)


@pytest.mark.parametrize("codec", ["mp2", "mp3"])
def test_mpeg_audio_in_wav_is_read_whole(tmp_path, codec):
    data = encoded(tone(48_000), codec, "wav")
    assert 48_000 <= samples_in(tmp_path / "a", data) <= 48_000 + 4_096
    assert "cut short" in str(looked_at(tmp_path / "b", data[: len(data) // 2]))


def test_alac_of_which_the_decoder_leaves_out_an_end_is_refused(tmp_path):
    """FFmpeg trims the last packet of what it wrote itself twice."""
    assert "is cut short: 11714 of 12001 samples" in str(
        looked_at(tmp_path / "a", encoded(tone(12_001), "alac", "caf"))
    )
    assert samples_in(tmp_path / "b", written(tone(12_001), format="CAF", subtype="ALAC_16")) == 12_001


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:ab\nsize 1\n", "Git LFS: fetch the file itself"),
        (b"\n<!DOCTYPE html><html><head>", "a web page: download the file again"),
        (b"<HTML>404 Not Found", "a web page"),
        (gzip.compress(written(tone(800))), "compressed by gzip: unpack it first"),
        (b"PK\3\4" + bytes(900), "a zip archive"),
    ],
)
def test_what_often_lies_in_the_place_of_a_recording_is_named(tmp_path, data, what):
    assert f"is no audio, but {'a pointer of ' * ('Git' in what)}{what}" in str(looked_at(tmp_path / "a.wav", data))


def test_reasons_of_the_decoder_name_no_object(tmp_path):
    found = looked_at(tmp_path / "a", with_fields(written(tone(800)), (24, "<I", 0)))
    assert found == "cannot be decoded (Internal error : SF_INFO struct incomplete)"


@pytest.mark.parametrize("subtype", ["s16", "s32"])
def test_wide_flac_goes_to_ffmpeg(tmp_path, subtype):
    data = encoded(tone(16_000), "flac", "flac")
    assert samples_in(tmp_path / "a", id3(30) + data) == 16_000


def bombs():
    m4a = encoded(tone(16_000), "aac", "ipod")
    stsz, stts = m4a.index(b"stsz"), m4a.index(b"stts")
    yield "a table of 4 billion sizes", with_fields(m4a, (stsz + 8, ">I", 1), (stsz + 12, ">I", 0xFFFFFFFF))
    yield "4 billion entries", with_fields(m4a, (stsz + 12, ">I", 0xFFFFFFF0))
    yield "samples that last for ever", with_fields(m4a, (stts + 12, ">I", 0xFFFFFFFF), (stts + 16, ">I", 0x7FFFFFFF))
    yield "a box of exabytes", m4a[:4] + b"ftyp" + (b"\0\0\0\1moov" + b"\x7f" * 8) + m4a[8:]
    wav = written(tone(16_000))
    yield "65,535 channels", with_fields(wav, (22, "<H", 0xFFFF), (32, "<H", 0xFFFE))
    yield "a rate of 4 GHz", with_fields(wav, (24, "<I", 0xFFFFFFFF))
    yield "a format of gigabytes", with_fields(wav, (16, "<I", 0x7EFFFFFF))
    aiff = written(tone(16_000), format="AIFF")
    yield "a rate without end", with_fields(aiff, (aiff.index(b"COMM") + 16, ">Q", 0x7FFFFFFFFFFFFFFF))
    yield "an offset of gigabytes", with_fields(aiff, (aiff.index(b"SSND") + 8, ">I", 0x7FFFFFFF))
    yield "id3 of gigabytes", b"ID3\4\0\0\x7f\x7f\x7f\x7f" + wav
    yield "2^36 samples", (lambda b: b[:21] + b"\xff" * 5 + b[26:])(written(tone(16_000), format="FLAC"))
    yield "AVI of headers", encoded(tone(16_000), "pcm_s16le", "avi").replace(b"strf", b"strf\xff\xff\xff\x7f"[:4])
    yield "noise", np.random.default_rng(0).bytes(300_000)
    yield "nothing but 0xff", b"\xff" * 1_000_000
    yield "text", b"not audio at all " * 10_000


@pytest.mark.parametrize("bomb", [pytest.param(data, id=name) for name, data in bombs()])
def test_no_header_takes_more_time_or_memory_than_its_file_is_worth(tmp_path, bomb):
    path = tmp_path / "a"
    path.write_bytes(bomb)
    before, start_s = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
    for look in (inspect, lambda path: read(path, 16_000, 0.1, 0.2)):
        with suppress(AudioError):
            look(path)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200 << 10  # kB
    assert time.process_time() - start_s < 20
