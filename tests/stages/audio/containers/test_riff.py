"""WAV, RF64, W64, AIFF, CAF, AU and SPHERE: sizes of pipes, sizes a few bytes off, sizes of more."""

import struct

import numpy as np
import pytest

from reseed.stages.audio.decode import Inspection, inspect, read
from tests.stages.audio.files import PLACEHOLDERS, id3, looked_at, samples_in, tone, with_fields, written

SAMPLES = 8_001
WAVE = tone(SAMPLES)
# name: (what soundfile writes, the places of the sizes in it, and what they are counted from)
WHOLE = {
    "wav": written(WAVE),
    "rifx": written(WAVE, endian="BIG"),
    "wav24": written(WAVE, subtype="PCM_24"),
    "float": written(WAVE, subtype="FLOAT"),
    "extensible": written(WAVE, format="WAVEX"),
    "rf64": written(WAVE, format="RF64"),
    "w64": written(WAVE, format="W64"),
    "aiff": written(WAVE, format="AIFF"),
    "sowt": written(WAVE, format="AIFF", endian="LITTLE"),
    "aifc": written(WAVE, format="AIFF", subtype="FLOAT"),
    "au": written(WAVE, format="AU"),
    "au-little": written(WAVE, format="AU", subtype="FLOAT", endian="LITTLE"),
    "caf": written(WAVE, format="CAF"),
    "sph": written(WAVE, format="NIST"),
    "svx": written(WAVE, format="SVX"),
    "avr": written(WAVE, format="AVR"),
    "voc": written(WAVE, format="VOC"),
    "mat4": written(WAVE, format="MAT4", subtype="FLOAT"),
    "mat5": written(WAVE, format="MAT5", subtype="FLOAT"),
    "mpc": written(WAVE, 44_100, format="MPC2K"),
    "wve": written(tone(SAMPLES, 8_000), 8_000, format="WVE", subtype="ALAW"),
    "ulaw-sph": written(WAVE, format="NIST", subtype="ULAW"),
    "ulaw-w64": written(WAVE, format="W64", subtype="ULAW"),
    "adpcm": written(WAVE, subtype="IMA_ADPCM"),
    "gsm": written(WAVE, 8_000, subtype="GSM610"),
}


def sizes(name: str) -> list[tuple[int, str]]:
    """Places of the sizes in a file of WHOLE, the one of its audio last."""
    data = WHOLE[name]
    if name == "rf64":
        return [(data.index(b"ds64") + 8, "<q"), (data.index(b"ds64") + 16, "<q")]
    if name.endswith("w64"):
        return [(16, "<q"), (data.index(b"data") + 16, "<q")]
    if name.startswith("au"):
        return [(8, "<I" if name == "au-little" else ">I")]
    if name == "caf":
        return [(data.index(b"data") + 4, ">q")]
    if data[:4] == b"FORM":
        return [(4, ">I"), (data.index(b"COMM") + 10, ">I"), (data.index(b"SSND") + 4, ">I")]
    order = ">" if name == "rifx" else "<"
    return [(4, order + "I"), (data.index(b"data") + 4, order + "I")]


STREAMED = ["wav", "rifx", "wav24", "float", "extensible", "rf64", "w64", "aiff", "sowt", "aifc", "au", "au-little",
            "caf", "ulaw-w64", "adpcm", "gsm"]  # fmt: skip


@pytest.mark.parametrize("name", STREAMED)
def test_a_placeholder_of_a_pipe_says_that_audio_lasts_to_the_end_of_the_file(tmp_path, name):
    whole = samples_in(tmp_path / "whole", WHOLE[name])
    for size in PLACEHOLDERS:
        changed = with_fields(WHOLE[name], *((place, form, size) for place, form in sizes(name)))
        assert samples_in(tmp_path / f"{size:x}", changed) == whole, f"{size:#x}"
    audio_alone = with_fields(WHOLE[name], (*sizes(name)[-1], PLACEHOLDERS[-1]))
    assert samples_in(tmp_path / "audio", audio_alone) == whole


@pytest.mark.parametrize(
    ("name", "number"), [("rf64", -1), ("rf64", 2**63 - 1), ("w64", 24), ("w64", -1), ("w64", 2**63 - 1)]
)
def test_placeholders_of_64_bits_are_known(tmp_path, name, number):
    changed = with_fields(WHOLE[name], *((place, form, number) for place, form in sizes(name)))
    assert samples_in(tmp_path / "a", changed) == SAMPLES


@pytest.mark.parametrize("name", ["wav", "rifx", "float", "rf64", "w64", "aiff", "sowt", "au", "caf"])
@pytest.mark.parametrize("off", [44, 8, 4, -4, -8, -36])
def test_sizes_that_are_a_few_bytes_off_lose_nothing(tmp_path, name, off):
    place, form = sizes(name)[-1]
    (size,) = struct.unpack_from(form, WHOLE[name], place)
    assert samples_in(tmp_path / "a", with_fields(WHOLE[name], (place, form, size + off))) == SAMPLES


@pytest.mark.parametrize("name", WHOLE)
def test_a_file_that_was_cut_is_rejected_whatever_the_container(tmp_path, name):
    samples_in(tmp_path / "whole", WHOLE[name])
    for share in (0.15, 0.5, 0.95):
        found = looked_at(tmp_path / "a", WHOLE[name][: int(share * len(WHOLE[name]))])
        assert isinstance(found, str), found
        assert "cut short" in found or "cannot be decoded" in found


@pytest.mark.parametrize("name", ["wav", "wav24", "w64", "aiff", "au", "sph", "caf", "avr"])
def test_two_files_joined_are_not_taken_for_the_first(tmp_path, name):
    found = looked_at(tmp_path / "a", WHOLE[name] + WHOLE[name])
    assert isinstance(found, str)
    assert "take apart what was joined" in found


@pytest.mark.parametrize("name", ["wav", "rf64", "w64", "aiff", "au", "sph", "caf", "gsm"])
@pytest.mark.parametrize("tail", [b"TAG" + 125 * b"x", bytes(5_000), id3(300)])
def test_tags_and_zeros_behind_the_audio_are_no_audio(tmp_path, name, tail):
    assert samples_in(tmp_path / "a", WHOLE[name] + tail) == samples_in(tmp_path / "b", WHOLE[name])


@pytest.mark.parametrize("is_padded", [True, False])
@pytest.mark.parametrize("chunk", [b"LIST", b"bext", b"junk", b"id3 ", b"PEAK"])
def test_chunks_of_odd_sizes_are_walked_over_padded_or_not(tmp_path, chunk, is_padded):
    data = WHOLE["wav"]
    odd = chunk + struct.pack("<I", 333) + 333 * b"\xff" + b"\0" * is_padded
    assert samples_in(tmp_path / "a", data[:12] + odd + data[12:]) == SAMPLES
    np.testing.assert_allclose(read(tmp_path / "a", 16_000), WAVE, atol=1e-4)
    between = data.index(b"data")
    assert samples_in(tmp_path / "b", data[:between] + odd + data[between:] + odd) == SAMPLES


@pytest.mark.parametrize(("name", "padding"), [("wav", 0), ("rifx", 0), ("wav", 1), ("w64", 7)])
def test_an_odd_size_is_no_audio_of_the_chunk_behind_it_padded_or_not(tmp_path, name, padding):
    form, endian = ("W64", "FILE") if name == "w64" else ("WAV", "BIG" if name == "rifx" else "FILE")
    data = written(WAVE, format=form, subtype="PCM_U8", endian=endian)
    start, size = data.index(b"data") + (24 if name == "w64" else 8), SAMPLES
    if name == "w64":
        behind = b"levl" + bytes(12) + struct.pack("<q", 40) + bytes(16)
    else:
        behind = b"LIST" + struct.pack(">I" if name == "rifx" else "<I", 4) + b"INFO"
    assert samples_in(tmp_path / "a", data[: start + size] + bytes(padding) + behind) == SAMPLES


@pytest.mark.parametrize("between", [b"", b"LIST\4\0\0\0INFO", b"JUNK\5\0\0\0abcde\0"])
def test_audio_in_several_chunks_is_refused_and_never_read_in_part(tmp_path, between):
    data = WHOLE["wav"]
    half = struct.pack("<I", SAMPLES - 1)
    several = data[:40] + half + data[44 : 43 + SAMPLES] + between + b"data" + half + data[-SAMPLES - 1 :]
    assert "take apart what was joined" in str(looked_at(tmp_path / "a", several))


def test_an_extensible_header_in_a_pipe_is_read_by_its_inner_format(tmp_path):
    data = written(tone(SAMPLES, channels=2), format="WAVEX", subtype="FLOAT")
    changed = with_fields(data, (4, "<I", 0xFFFFFFFF), (data.index(b"data") + 4, "<I", 0xFFFFFFFF))
    (tmp_path / "a.wav").write_bytes(changed)
    assert inspect(tmp_path / "a.wav").channels == 2
    np.testing.assert_allclose(read(tmp_path / "a.wav", 16_000, channel=1), tone(SAMPLES, channels=2)[:, 1], atol=1e-6)


def test_a_recorder_that_never_closed_its_file_and_an_empty_file_are_told_apart(tmp_path):
    data = WHOLE["wav"]
    unclosed = with_fields(data, (4, "<I", 36), (40, "<I", 0))
    assert samples_in(tmp_path / "a", unclosed) == SAMPLES
    assert looked_at(tmp_path / "b", data[:40] + struct.pack("<I", 0) + b"LIST\4\0\0\0INFO") == "has no samples"


def test_a_sphere_file_whose_channels_are_not_interleaved_is_refused(tmp_path):
    head, samples = WHOLE["sph"][:1024], WHOLE["sph"][1024:]
    for value in ("TRUE", "FALSE"):
        named = head.replace(b"end_head\n", f"channels_interleaved -s{len(value)} {value}\nend_head\n".encode())[:1024]
        found = looked_at(tmp_path / value, named + samples)
        assert isinstance(found, str) == (value == "FALSE")
    assert "one behind the other, which is not read; convert it with sph2pipe" in str(found)


def test_a_sphere_header_may_be_longer_than_usual_and_leave_its_length_out(tmp_path):
    data = WHOLE["sph"]
    longer = b"NIST_1A\n   2048\n" + data[16:1024] + bytes(1024) + data[1024:]
    assert samples_in(tmp_path / "a", longer) == SAMPLES
    np.testing.assert_allclose(read(tmp_path / "a", 16_000), WAVE, atol=1e-4)
    place = data.index(b"sample_count -i ") + 16
    unknown = data[:place] + b"0".ljust(data.index(b"\n", place) - place) + data[data.index(b"\n", place) :]
    assert samples_in(tmp_path / "b", unknown) == SAMPLES


@pytest.mark.parametrize("prefix", [10, 4_000])
@pytest.mark.parametrize("name", ["wav", "aiff", "au", "sph"])
def test_tags_before_a_container_are_walked_over(tmp_path, name, prefix):
    found = looked_at(tmp_path / "a", id3(prefix) + WHOLE[name])
    assert isinstance(found, Inspection)
    assert found.samples == SAMPLES


def test_a_header_of_any_sizes_is_walked_in_the_time_of_a_few_chunks(tmp_path):
    empty = b"".join(b"JUNK" + struct.pack("<I", 0) for _ in range(20_000))
    assert "more than 10000 chunks" in str(looked_at(tmp_path / "a", b"RIFF\0\0\0\0WAVE" + empty))
    assert "format" in str(looked_at(tmp_path / "b", with_fields(WHOLE["wav"], (22, "<H", 0))))
    found = looked_at(tmp_path / "c", with_fields(WHOLE["wav"], (22, "<H", 127)))
    assert found == "says 127 channels of 16 bits, and 2 bytes for all: mend its header"
