"""FLAC: how many samples its frames hold. RFC 9639.

A header may leave the number out (total samples 0: a writer to a pipe), and then the last frame has it. Frames have no
length: the last begins where a header with the right CRC-8 begins a stretch with the right CRC-16.
"""

from dataclasses import dataclass

from reseed.stages.audio.containers.layout import Layout, Piece, Source
from reseed.store import AudioError

_BLOCK_SIZES = {1: 192, **{code: 144 << code for code in range(2, 6)}, **{code: 1 << code for code in range(8, 16)}}
_TAIL = 1 << 18  # no frame that anybody writes is longer; the format would allow 16 MiB
_LIBSNDFILE_BITS = (8, 16, 24)
_BLOCKS = 10_000


def _crc_table(bits: int, polynomial: int) -> list[int]:
    table = []
    for value in range(256):
        value <<= bits - 8
        for _ in range(8):
            value = (value << 1) ^ (polynomial if value >> (bits - 1) else 0)
        table.append(value & ((1 << bits) - 1))
    return table


_CRC8, _CRC16 = _crc_table(8, 0x107), _crc_table(16, 0x18005)


@dataclass(frozen=True)
class _StreamInfo:
    head: bytes  # up to its end
    frames_start: int
    max_block: int
    rate: int
    bits: int
    samples: int
    md5: bytes


def flac(source: Source, is_thorough: bool) -> Layout:
    """Walk a FLAC file.

    Args:
        is_thorough: hold the frames against a header that is complete, too.

    Raises:
        AudioError: it is cut short or damaged, or its header says another number of samples than its frames.
    """
    info = _stream_info(source)
    end = source.size - (128 if source.at(source.size - 128, 3) == b"TAG" else 0)
    samples = info.samples
    recordings: tuple[tuple[Piece, ...], ...] = ()
    if not samples or is_thorough:
        found = _last_sample(source, info, end)
        if not samples and found is None:
            raise AudioError("is cut short: it ends within a frame, and its header does not say how long it is")
        if samples and found is None and not any(info.md5):
            raise AudioError("ends with what is no frame, and has no MD5 by which to tell whether it is whole")
        if samples and found not in (None, samples):
            raise AudioError(f"announces {samples} samples where its frames hold {found}; encode it anew")
    if is_thorough and _holds(source, info.frames_start, b"fLaC\0\0\0\x22"):
        raise AudioError("is several FLAC files joined, of which decoders read the first; take them apart")
    if not samples:
        assert found is not None
        samples, head = found, bytearray(info.head)
        head[21:26] = (int.from_bytes(head[21:26]) | samples).to_bytes(5)
        recordings = ((bytes(head), range(len(head), end)),)
    return Layout(
        "FLAC",
        samples,
        recordings,
        ffmpeg=None if info.bits in _LIBSNDFILE_BITS else "flac",
        md5=info.md5 if any(info.md5) else None,
        bits=info.bits,
    )


def _stream_info(source: Source) -> _StreamInfo:
    head = source.at(0, 42)
    if len(head) < 42 or head[4] & 0x7F:
        raise AudioError("is cut short or damaged: it does not begin with what it holds (STREAMINFO)")
    place, is_last = 42, head[4] >> 7
    for _ in range(_BLOCKS):
        if is_last:
            break
        block = source.at(place, 4)
        if len(block) < 4:
            raise AudioError("is cut short: it ends within its header")
        is_last, place = block[0] >> 7, place + 4 + int.from_bytes(block[1:])
    packed = int.from_bytes(head[18:26])
    rate, bits, samples = packed >> 44, (packed >> 36 & 31) + 1, packed & ((1 << 36) - 1)
    return _StreamInfo(head, place, int.from_bytes(head[10:12]), rate, bits, samples, head[26:42])


def _last_sample(source: Source, info: _StreamInfo, end: int) -> int | None:
    """Return how many samples there are up to the end of the last frame; None: no frame ends at the end."""
    start = max(info.frames_start, end - _TAIL)
    tail = source.at(start, end - start)
    place = len(tail)
    while (place := tail.rfind(b"\xff", 0, place)) >= 0:
        sample = _frame_end(tail[place : place + 16], info)
        if sample is not None and _crc(tail[place:], _CRC16, 16) == 0:
            return sample
    return None


def _frame_end(head: bytes, info: _StreamInfo) -> int | None:
    """Return the sample behind a frame that begins with these bytes; None: no frame does."""
    if len(head) < 6 or head[1] not in (0xF8, 0xF9) or head[2] >> 4 == 0 or head[3] & 1:
        return None
    length = 1 if head[4] < 0x80 else 8 - (head[4] ^ 0xFF).bit_length()
    if not 1 <= length <= 7 or (head[4] >= 0x80 and length == 1):
        return None
    number = head[4] & (0x7F >> (length if length > 1 else 0))
    for byte in head[5 : 4 + length]:
        number = number << 6 | byte & 0x3F
    place, code = 4 + length, head[2] >> 4
    extra = {6: 1, 7: 2}.get(code, 0)
    block = int.from_bytes(head[place : place + extra]) + 1 if extra else _BLOCK_SIZES.get(code)
    place += extra + {12: 1, 13: 2, 14: 2}.get(head[2] & 15, 0)
    if block is None or place >= len(head) or _crc(head[:place], _CRC8, 8) != head[place]:
        return None
    return (number if head[1] & 1 else number * info.max_block) + block


def _crc(data: bytes, table: list[int], bits: int) -> int:
    found, shift, mask = 0, bits - 8, (1 << bits) - 1
    for byte in data:
        found = (found << 8 & mask) ^ table[found >> shift ^ byte]
    return found


def _holds(source: Source, start: int, pattern: bytes) -> bool:
    step = 1 << 20
    return any(pattern in source.at(place, step + len(pattern)) for place in range(start, source.size, step))
