"""Recordings in every container, whole and damaged, made by other writers than those that read them."""

import io
import struct
from pathlib import Path

import av
import numpy as np
import soundfile

from reseed.stages.audio.decode import Inspection, inspect, read
from reseed.store import AudioError

PLACEHOLDERS = (0, 0x7F000000, 0x7FFFF000, 0x7FFFF024, 0x7FFFFFDB, 0x7FFFFFFF, 0x80000023, 0xFFFFFFD3, 0xFFFFFFFF)


def tone(samples: int, rate_hz: int = 16_000, channels: int = 1) -> np.ndarray:
    """A chirp in a little noise, another for each channel: [T] or [T, C]."""
    time_s = np.arange(samples)[:, None] / rate_hz
    chirp = 0.3 * np.sin(2 * np.pi * (150 + 100 * np.arange(channels) + 20 * time_s) * time_s)
    noise = 0.01 * np.random.default_rng(channels).standard_normal((samples, channels))
    return (chirp + noise).astype(np.float32)[:, : channels if channels > 1 else 1].squeeze()


def written(wave: np.ndarray, rate_hz: int = 16_000, **options: str) -> bytes:
    """A file as libsndfile writes it."""
    file = io.BytesIO()
    soundfile.write(file, wave, rate_hz, **{"format": "WAV", **options})
    return file.getvalue()


def encoded(wave: np.ndarray, codec: str, container: str, rate_hz: int = 16_000, **options: int) -> bytes:
    """A file of one channel as FFmpeg writes it."""
    file = io.BytesIO()
    with av.open(file, "w", format=container) as output:
        stream = output.add_stream(codec, rate=rate_hz, layout="mono")
        for name, value in options.items():
            setattr(stream, name, value)
        convert = av.AudioResampler(format=stream.format, layout="mono", rate=rate_hz)
        size = stream.frame_size or 1024
        for start in range(0, len(wave), size):
            frame = av.AudioFrame.from_ndarray(wave[None, start : start + size], format="fltp", layout="mono")
            frame.sample_rate, frame.pts = rate_hz, start
            output.mux([packet for each in convert.resample(frame) for packet in stream.encode(each)])
        output.mux(stream.encode(None))
    return file.getvalue()


def with_fields(data: bytes, *fields: tuple[int, str, int]) -> bytes:
    """A file with other numbers at some places: (place, struct format, number)."""
    changed = bytearray(data)
    for place, form, number in fields:
        struct.pack_into(form, changed, place, number)
    return bytes(changed)


def without_first_frame(mp3: bytes) -> bytes:
    """An MP3 without the frame that says how long it is."""
    kbps = (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320)
    low = (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160)
    is_first = mp3[1] >> 3 & 3 == 3
    rate_hz = (44_100, 48_000, 32_000)[mp3[2] >> 2 & 3] >> (not is_first)
    table, slots = (kbps, 144) if is_first else (low, 72)
    first = slots * 1000 * table[mp3[2] >> 4] // rate_hz + (mp3[2] >> 1 & 1)
    assert b"Xing" in mp3[:first] or b"Info" in mp3[:first]
    return mp3[first:]


def id3(size: int) -> bytes:
    """An ID3v2 tag with so many bytes in it, some of which look like frames."""
    return (
        b"ID3\x04\0\0"
        + bytes([size >> 21 & 127, size >> 14 & 127, size >> 7 & 127, size & 127])
        + b"\xff\xfb" * (size // 2)
        + bytes(size % 2)
    )


def looked_at(path: Path, data: bytes) -> Inspection | str:
    """What `inspect` finds in a file with this content, or why it is refused; what is accepted, `read` reads alike."""
    path.write_bytes(data)
    try:
        found = inspect(path)
    except AudioError as error:
        return str(error)
    rate = found.sample_rate_hz
    whole_T = read(path, rate)
    assert len(whole_T) == found.samples, "prepare and extract differ"
    start, length = found.samples // 3, found.samples // 4
    stretch_T = read(path, rate, start / rate, length / rate)
    np.testing.assert_allclose(stretch_T, whole_T[start : start + length], atol=5e-3)  # a decoder settles
    return found


def samples_in(path: Path, data: bytes) -> int:
    """How many samples a file with this content holds."""
    found = looked_at(path, data)
    assert isinstance(found, Inspection), found
    return found.samples


class _Bits:
    """Bits from the highest of a byte on, in shorten's codes."""

    def __init__(self) -> None:
        self.text = ""

    def code(self, number: int, low: int) -> None:
        """A number of which `low` bits are written as they are, and the rest in unary."""
        self.text += "0" * (number >> low) + "1" + (f"{number & ((1 << low) - 1):0{low}b}" if low else "")

    def number(self, number: int) -> None:
        """A number behind its length."""
        self.code(max(1, number.bit_length()), 2)
        self.code(number, max(1, number.bit_length()))


def shortened_sphere(wave: np.ndarray, rate_hz: int = 16_000) -> bytes:
    """A SPHERE file as `w_encode -t shorten` makes it: differences of 16-bit samples in Rice codes (Robinson 1994)."""
    pcm_TC = (wave.reshape(len(wave), -1) * 32767).astype(int)
    bits, last = _Bits(), [0] * pcm_TC.shape[1]
    for parameter in (5, pcm_TC.shape[1], 256, 0, 0, 0):  # 16 bits, low byte first; block; no prediction, mean, skip
        bits.number(parameter)
    for start in range(0, len(pcm_TC), 256):
        block_TC = pcm_TC[start : start + 256]
        if len(block_TC) < 256:
            bits.code(5, 2)
            bits.number(len(block_TC))
        for channel, samples in enumerate(block_TC.T.tolist()):
            bits.code(1, 2)
            bits.code(10, 3)
            for sample in samples:
                difference, last[channel] = sample - last[channel], sample
                bits.code(2 * difference if difference >= 0 else -2 * difference - 1, 11)
    bits.code(4, 2)
    text = bits.text.ljust(-(-len(bits.text) // 32) * 32, "0")
    fields = f"sample_count -i {len(wave)}\nsample_n_bytes -i 2\nchannel_count -i {pcm_TC.shape[1]}\n"
    coded = f"sample_rate -i {rate_hz}\nsample_coding -s26 pcm,embedded-shorten-v2.00\nend_head\n"
    head = f"NIST_1A\n   1024\n{fields}sample_byte_format -s2 01\n{coded}".encode().ljust(1024)
    return head + b"ajkg\2" + int(text, 2).to_bytes(len(text) // 8)
