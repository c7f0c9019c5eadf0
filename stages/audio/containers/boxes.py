"""Files that FFmpeg decodes: MP4 and its kin, Matroska, ASF, ADTS, AMR. Here it is only told whether they are whole.

ISO/IEC 14496-12 (boxes) and 14496-3 (ADTS); RFC 8794 (EBML); Microsoft, "Advanced Systems Format" 01.20 (ASF);
RFC 4867 (AMR).
"""

import struct
from collections import Counter

from reseed.stages.audio.containers.layout import Layout, Source, cut_short
from reseed.stages.audio.containers.sizes import FEW_BYTES
from reseed.store import AudioError

_BOXES = 100_000
_INSIDE = (b"moov", b"trak", b"mdia", b"minf", b"stbl")
_ASF_FILE = bytes.fromhex("a1dcab8c47a9cf118ee400c00c205365")
_EBML_OPEN = tuple(map(bytes.fromhex, ("18538067", "1f43b675")))  # a segment, a cluster: what is in them is walked
_EBML_CLOSED = tuple(map(bytes.fromhex, (  # header, seek head, information, tracks, cues, chapters, tags, attachments
    "1a45dfa3", "114d9b74", "1549a966", "1654ae6b", "1c53bb6b", "1043a770", "1254c367", "1941a469", "ec", "bf",
    "e7", "a3", "a0", "ab", "a7", "5854",  # void, CRC; time, block, group of blocks, sizes and places of clusters
)))  # fmt: skip
_AMR_BYTES = {b"#!AMR\n": (13, 14, 16, 18, 20, 21, 27, 32, 6, 0, 0, 0, 0, 0, 0, 1),
              b"#!AMR-WB\n": (18, 24, 33, 37, 41, 47, 51, 59, 61, 6, 0, 0, 0, 0, 1, 1)}  # fmt: skip


def mp4(source: Source) -> Layout:
    """Walk the boxes of MP4, M4A, MOV or 3GP.

    Raises:
        AudioError: it is cut short, or its index is larger than the file.
    """
    found = Counter(_boxes(source, 0, source.size))
    if not found[b"moov"]:
        raise AudioError("is cut short: the index of its samples (moov) is missing")
    if found[b"moov"] > 1:
        raise AudioError("is several MP4 files joined, of which decoders read the first; take them apart")
    return Layout("MP4", ffmpeg="mov")


def _boxes(source: Source, start: int, stop: int, left: int = _BOXES) -> list[bytes]:
    """Return the names of all boxes between two places."""
    found: list[bytes] = []
    while start < stop:
        if len(found) > left:
            raise AudioError(f"has more than {left} boxes")
        head = source.at(start, 16)
        if len(head) < 8:
            break
        size, header = int.from_bytes(head[:4]), 8
        if size == 1:
            size, header = int.from_bytes(head[8:16]), 16
        size = size or stop - start
        if size < header:
            raise AudioError(f"has a box of {size} bytes at byte {start}: it is damaged")
        if start + size > stop + (FEW_BYTES if stop == source.size else 0):
            raise cut_short(source.size, start + size, "bytes")
        name = head[4:8]
        found.append(name)
        if name in _INSIDE:
            found += _boxes(source, start + header, min(stop, start + size), left - len(found))
        elif name == b"stsz":
            _check_index(source, start + header)
        start += size
    return found


def _check_index(source: Source, start: int) -> None:
    """Hold the sizes of all samples against the file: an index of billions would be built before one is read."""
    size, count = struct.unpack(">II", source.at(start + 4, 8).ljust(8, b"\0"))
    if count * (size or 4) > source.size:
        raise cut_short(source.size, count * (size or 4), "bytes or more")


def matroska(source: Source) -> Layout:
    """Walk the elements of a Matroska or WebM file; errors as `mp4`, and where something is none of its elements."""
    place = 0
    while place < source.size:
        head = source.at(place, 12)
        name = head[: 9 - head[0].bit_length()] if head[0] else b""
        size, length = _ebml_number(head[len(name) :])
        if name not in (*_EBML_OPEN, *_EBML_CLOSED):
            raise AudioError(f"is damaged: what lies at byte {place} is no element of Matroska")
        place += len(name) + length
        if size is not None and place + size > source.size + FEW_BYTES:
            raise cut_short(source.size, place + size, "bytes")
        if name not in _EBML_OPEN:
            place += size or 0
    return Layout("Matroska", ffmpeg="matroska")


def _ebml_number(head: bytes) -> tuple[int | None, int]:
    """Return a size (None: unknown, of a live recording) and how many bytes it takes."""
    length = 9 - head[0].bit_length() if head and head[0] else 1
    value = int.from_bytes(head[:length]) & ((1 << 7 * length) - 1)
    return (None if value == (1 << 7 * length) - 1 else value), length


def asf(source: Source) -> Layout:
    """Hold the number of packets of a WMA or WMV file against the file; errors as `mp4`."""
    head = source.at(0, 1 << 16)
    (objects,) = struct.unpack("<I", head[24:28].ljust(4, b"\0"))
    place, header_size = 30, int.from_bytes(head[16:24], "little")
    for _ in range(min(objects, 1000)):
        size = int.from_bytes(head[place + 16 : place + 24], "little")
        if head[place : place + 16] == _ASF_FILE:
            packets, flags = int.from_bytes(head[place + 56 : place + 64], "little"), head[place + 88] & 1
            largest = int.from_bytes(head[place + 92 : place + 96], "little")
            announced = int.from_bytes(head[place + 40 : place + 48], "little")
            if source.at(announced, 16) == head[:16] and announced:
                raise AudioError("is several files joined, of which decoders read the first; take them apart")
            if not flags and header_size + packets * largest > source.size + FEW_BYTES:
                raise cut_short(source.size, header_size + packets * largest, "bytes")
        place += max(24, size)
    return Layout("ASF", ffmpeg="asf")


def adts(source: Source) -> Layout:
    """Walk the frames of AAC in ADTS; errors as `mp4`."""
    place = 0
    while place < source.size:
        head = source.at(place, 7)
        size = int.from_bytes(head[3:6]) >> 5 & 0x1FFF
        if head[:3] == b"TAG" or len(head) < 7 or head[0] != 0xFF or head[1] & 0xF6 != 0xF0 or size < 7:
            break
        if place + size > source.size:
            raise cut_short(source.size - place, size, "bytes of its last frame")
        place += size
    if place < source.size and source.at(place, 3) not in (b"TAG", b"ID3"):
        raise AudioError(f"has no frame at byte {place}, where the last one ends: it is cut short or damaged")
    return Layout("ADTS", ffmpeg="aac")


def amr(source: Source) -> Layout:
    """Walk the frames of AMR or AMR-WB; errors as `mp4`."""
    magic = next(magic for magic in _AMR_BYTES if source.at(0, len(magic)) == magic)
    place = len(magic)
    while head := source.at(place, 1):
        place += _AMR_BYTES[magic][head[0] >> 3 & 15] or 1
    if place > source.size:
        raise cut_short(source.size, place, "bytes")
    return Layout("AMR", ffmpeg="amr")


def flv(source: Source) -> Layout:
    """Walk the tags of an FLV file; errors as `mp4`."""
    place, head = int.from_bytes(source.at(5, 4)) + 4, source.at(0, 4096)
    announced = head.partition(b"filesize\0")[2][:8]
    while len(tag := source.at(place, 11)) == 11:
        place += 15 + int.from_bytes(tag[1:4])
    size = int(max(place, *struct.unpack(">d", announced))) if len(announced) == 8 else place
    if size != source.size:
        raise cut_short(source.size, max(size, source.size + 1), "bytes")
    return Layout("FLV", ffmpeg="flv")


def wavpack(source: Source) -> Layout:
    """Walk the blocks of a WavPack file; errors as `mp4`."""
    place, samples, announced = 0, 0, int.from_bytes(source.at(12, 4), "little")
    while (head := source.at(place, 32))[:4] == b"wvpk" and len(head) == 32:
        place += 8 + int.from_bytes(head[4:8], "little")
        samples = int.from_bytes(head[16:20], "little") + int.from_bytes(head[20:24], "little")
    if place > source.size or (announced != 0xFFFF_FFFF and samples != announced):
        raise cut_short(samples, announced, "samples")
    return Layout("WavPack", samples, ffmpeg="wv")


def transport_stream(source: Source) -> Layout:
    """Walk the packets of an MPEG transport stream (ISO/IEC 13818-1); errors as `mp4`."""
    missing: dict[int, int] = {}  # of what each stream has begun to send, how many bytes
    for place in range(0, source.size, 188):
        packet = source.at(place, 188)
        if len(packet) < 188 or packet[0] != 0x47:
            raise AudioError(f"is cut short or damaged at byte {place}, where a packet should begin")
        stream = int.from_bytes(packet[1:3]) & 0x1FFF
        payload = packet[4 + (1 + packet[4] if packet[3] & 0x20 else 0) :] if packet[3] & 0x10 else b""
        if packet[1] & 0x40 and payload[:3] == b"\0\0\1":
            if missing.get(stream, 0) > 0:
                raise AudioError(f"lacks packets before byte {place}")
            length = int.from_bytes(payload[4:6])
            missing[stream] = 6 + length if length else 0
        missing[stream] = missing.get(stream, 0) - len(payload)
    if any(left > 0 for left in missing.values()):
        raise cut_short(source.size, source.size + max(missing.values()), "bytes or more")
    return Layout("MPEG-TS", ffmpeg="mpegts")
