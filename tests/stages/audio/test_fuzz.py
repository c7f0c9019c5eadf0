"""Files with a known number of samples, and headers that were changed at random: as known, or a reject.

RESEED_KILLS sets how many files there are.
"""

import os
import random
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from reseed.stages.audio.decode import Inspection
from tests.stages.audio.files import PLACEHOLDERS, encoded, id3, looked_at, tone, without_first_frame, written

FILES = int(os.environ.get("RESEED_KILLS", "60"))
PLAIN = [
    *(("WAV", codec) for codec in ("PCM_16", "PCM_24", "PCM_32", "FLOAT", "ULAW", "IMA_ADPCM", "MS_ADPCM", "G721_32")),
    *(
        ("WAVEX", "PCM_16"),
        ("RF64", "PCM_16"),
        ("RF64", "FLOAT"),
        ("W64", "PCM_16"),
        ("W64", "ALAW"),
        ("NIST", "PCM_16"),
    ),
    *(("AIFF", codec) for codec in ("PCM_16", "FLOAT", "PCM_24")),
    *(("AU", "PCM_16"), ("AU", "FLOAT"), ("CAF", "PCM_16"), ("CAF", "FLOAT"), ("SVX", "PCM_16"), ("FLAC", "PCM_16")),
    *(("FLAC", "PCM_24"), ("OGG", "VORBIS"), ("OGG", "OPUS"), ("MP3", "MPEG_LAYER_III")),
]
CODED = [("aac", "ipod"), ("aac", "matroska"), ("alac", "mov"), ("pcm_s16le", "avi"), ("flac", "ogg"), ("aac", "adts")]
# place of a size: what comes before it, how far behind that, and its format
SIZES = {b"data": (4, "<I"), b"ds64": (16, "<q"), b"SSND": (4, ">I"), b"COMM": (10, ">I"), b"fact": (8, "<I")}


def some_file(draw: random.Random) -> tuple[str, bytes, int]:
    """Return the kind of a file, the file, and how many samples it holds."""
    samples = draw.randrange(8_000, 24_000)
    if draw.random() < 0.25:
        codec, container = draw.choice(CODED)
        return container, encoded(tone(samples), codec, container), samples
    container, codec = draw.choice(PLAIN)
    channels = 1 if codec in ("G721_32", "IMA_ADPCM", "MS_ADPCM") or container == "SVX" else draw.choice([1, 2])
    return container, written(tone(samples, channels=channels), format=container, subtype=codec), samples


def another_size(data: bytes, draw: random.Random) -> bytes:
    changed, found = bytearray(data), [(name, data.find(name, 0, 4096)) for name in SIZES]
    for name, place in draw.sample(found, 2):
        behind, form = SIZES[name]
        if place >= 0:
            (size,) = struct.unpack_from(form, data, place + behind)
            off = size + draw.choice([-44, -8, -2, 2, 8, 36])
            size = draw.choice([*PLACEHOLDERS, off, draw.randrange(len(data) * 2)])
            struct.pack_into(form, changed, place + behind, size if form[1] == "q" else size & 0xFFFFFFFF)
    return bytes(changed)


def a_chunk_more(data: bytes, draw: random.Random) -> bytes:
    size = draw.randrange(1, 300)
    chunk = b"LIST" + struct.pack("<I", size) + draw.randbytes(size) + b"\0" * draw.choice([0, size % 2])
    return data[:12] + chunk + data[12:] if data[:4] == b"RIFF" else data


def other_bits(data: bytes, draw: random.Random) -> bytes:
    """Change two bytes of what says how long it is, the places of which are in the first hundred bytes."""
    changed = bytearray(data)
    for _ in range(2):
        changed[draw.choice([4, 5, 6, 7, *range(40, 44), *range(22, 26)])] = draw.choice([0, 0xFF, 0x7F, 0x80])
    return bytes(changed)


CHANGES: list[Callable[[bytes, random.Random], bytes]] = [
    lambda data, draw: data,
    lambda data, draw: data[: draw.randrange(60, len(data) - 100)],
    lambda data, draw: id3(draw.randrange(10, 3_000)) + data,
    lambda data, draw: data + draw.choice([b"TAG" + 125 * b"x", bytes(999), draw.randbytes(999)]),
    lambda data, draw: data + data,
    lambda data, draw: without_first_frame(data) if data[:1] == b"\xff" and b"Info" in data[:200] else data,
    another_size,
    another_size,
    a_chunk_more,
    other_bits,
]


@pytest.mark.parametrize("number", range(FILES))
def test_no_file_loses_samples_in_silence(tmp_path: Path, number: int):
    draw = random.Random(number)
    kind, data, samples = some_file(draw)
    change = CHANGES[number % len(CHANGES)]
    changed = change(data, draw)
    known = 2 * samples if len(changed) == 2 * len(data) else samples
    found = looked_at(tmp_path / "a", changed)
    if isinstance(found, Inspection):
        is_other = change is other_bits and found.channels * found.samples >= known  # another format of as many bytes
        assert found.samples >= known - (1 if change is another_size else 0) or is_other, (kind, found)
        assert found.samples <= known + 5_000 or change is other_bits
    else:
        assert np.all([change is not each for each in (CHANGES[0], CHANGES[2], CHANGES[5])]), (kind, found)
