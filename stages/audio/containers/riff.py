"""WAV, RF64, BW64, RIFX, W64, AIFF, AIFC, 8SVX and CAF: files of chunks.

Microsoft, "Multimedia Programming Interface and Data Specifications 1.0"; EBU Tech 3306 (RF64); ITU-R BS.2088 (BW64);
Sony, "Wave64"; Apple, "Audio Interchange File Format 1.3" and "Core Audio Format Specification 1.0".
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from reseed.stages.audio.containers.layout import Layout, Piece, Source, cut_short
from reseed.stages.audio.containers.sizes import FEW_BYTES, actual_size, is_placeholder, with_rest
from reseed.store import AudioError

_CHUNKS = 10_000
_HEADS = (
    b"RIFF",
    b"riff",
    b"RIFX",
    b"RF64",
    b"BW64",
    b"FORM",
    b"data",
    b"SSND",
)  # of another recording, if behind the audio

# (format tag, bytes of a sample) -> what soundfile calls samples without a header
_WAV_PLAIN = {
    **{(1, size): subtype for size, subtype in ((1, "PCM_U8"), (2, "PCM_16"), (3, "PCM_24"), (4, "PCM_32"))},
    **{(3, 4): "FLOAT", (3, 8): "DOUBLE", (6, 1): "ALAW", (7, 1): "ULAW"},
}
_WAV_TAGS = {tag for tag, _ in _WAV_PLAIN}
_MPEG_TAGS = (0x50, 0x55)  # MP2 and MP3, of which libsndfile expects the encoder's delay, too
_AIFF_PLAIN = {
    **{(kind, size): subtype for kind in (b"NONE", b"twos", b"sowt", b"in16", b"in24", b"in32", b"42ni", b"23ni")
       for size, subtype in ((1, "PCM_S8"), (2, "PCM_16"), (3, "PCM_24"), (4, "PCM_32"))},
    **{(kind, 4): "FLOAT" for kind in (b"fl32", b"FL32")},
    **{(kind, 8): "DOUBLE" for kind in (b"fl64", b"FL64")},
    (b"raw ", 1): "PCM_U8",
}  # fmt: skip
_COMPANDED = {b"ulaw": "ULAW", b"ULAW": "ULAW", b"alaw": "ALAW", b"ALAW": "ALAW"}


@dataclass(frozen=True)
class Chunk:
    """One chunk: where its content starts, and how long its header says that is."""

    name: bytes
    start: int
    announced: int
    is_regular: bool  # everything before it lies where the sizes say


@dataclass(frozen=True)
class _Grammar:
    first: int
    id_bytes: int
    size: struct.Struct
    padding: int
    is_inclusive: bool = False  # a size counts the header of its chunk

    @property
    def header(self) -> int:
        return self.id_bytes + self.size.size


_RIFF, _RIFX = _Grammar(12, 4, struct.Struct("<I"), 2), _Grammar(12, 4, struct.Struct(">I"), 2)
_W64 = _Grammar(40, 16, struct.Struct("<q"), 8, is_inclusive=True)
_CAF = _Grammar(8, 4, struct.Struct(">q"), 1)


def _chunks(source: Source, grammar: _Grammar, start: int, is_regular: bool = True) -> Iterator[Chunk]:
    """Yield chunks, the next where the last ends; the byte that pads an odd size may be missing.

    Raises:
        AudioError: there is no end of them.
    """
    for _ in range(_CHUNKS):
        head = source.at(start, grammar.header) if start < source.size else b""
        if len(head) < grammar.header or not _is_id(head[:4]):
            return
        (announced,) = grammar.size.unpack(head[grammar.id_bytes :])
        announced -= grammar.header if grammar.is_inclusive else 0
        chunk = Chunk(head[:4], start + grammar.header, announced, is_regular)
        yield chunk
        end = chunk.start + max(0, announced)
        start = end + -end % grammar.padding if grammar.padding != 2 else end + announced % 2
        if start > end and grammar.padding == 2 and _is_id(source.at(end, 4)) and not _is_id(source.at(start, 4)):
            start, is_regular = end, False
    raise AudioError(f"has more than {_CHUNKS} chunks")


def _is_id(name: bytes) -> bool:
    return len(name) == 4 and all(32 <= byte < 127 for byte in name)


def _end_of_audio(source: Source, grammar: _Grammar, audio: Chunk, block: int = 1) -> int:
    """Return how many bytes a chunk of audio holds, whatever its header says; a `block` of them is audio together.

    Raises:
        AudioError: it is cut short, or followed by what is none of the container's.
    """
    available = source.size - audio.start
    size = actual_size(audio.announced, available)
    if audio.announced == 0:
        following = list(_chunks(source, grammar, audio.start))
        is_empty = available == 0 or (following and following[-1].start + following[-1].announced <= source.size)
        return 0 if is_empty else available
    if size == available:
        return size
    behind = _behind(source, grammar, audio.start + size)
    if not behind or any(chunk.name in _HEADS for chunk in behind):
        padded = size + -(audio.start + size) % grammar.padding
        return size if padded == available else with_rest(source, audio.start, size, block)
    return size


def _behind(source: Source, grammar: _Grammar, end: int) -> list[Chunk]:
    """Return the chunks behind audio, whether an odd size was padded or not."""
    for start in dict.fromkeys((end + -end % grammar.padding, end)):
        found = list(_chunks(source, grammar, start))
        if found and found[0].announced <= source.size:
            return found
    return []


def riff(source: Source) -> Layout:
    """Walk a WAV file in any of its forms.

    Raises:
        AudioError: it is cut short, or its chunks cannot be followed.
    """
    head = source.at(0, 12)
    if head[8:12] == b"AVI ":
        return _avi(source)
    is_big = head[:4] == b"RIFX"
    return _wav(source, _RIFX if is_big else _RIFF, ">" if is_big else "<", head[:4].decode())


def _avi(source: Source) -> Layout:
    """Walk the chunks of AVI, those in lists and in further parts (AVIX), too."""
    size = actual_size(struct.unpack("<I", source.at(4, 4).ljust(4, b"\0"))[0] + 8, source.size)
    place = 0
    while len(head := source.at(place, 8)) == 8 and (place < size or head.strip(b"\0")):
        if not _is_id(head[:4]):
            raise AudioError(f"is damaged: what lies at byte {place} is no chunk of AVI")
        (length,) = struct.unpack("<I", head[4:])
        place += 12 if head[:4] in (b"RIFF", b"LIST") else 8 + length + length % 2
    if place > source.size + FEW_BYTES:
        raise cut_short(source.size, place, "bytes")
    with_rest(source, 0, min(place, source.size))
    return Layout("AVI", recordings=((range(source.size),),), ffmpeg="avi")


def wave64(source: Source) -> Layout:
    """Walk a W64 file; errors as `riff`."""
    return _wav(source, _W64, "<", "W64")


def _wav(source: Source, grammar: _Grammar, order: str, name: str) -> Layout:
    wide, fmt, fact = None, b"", b""
    for chunk in _chunks(source, grammar, grammar.first):
        if chunk.name == b"ds64":
            wide = struct.unpack("<q", source.at(chunk.start + 8, 8).ljust(8, b"\0"))[0]
        elif chunk.name == b"fmt ":
            fmt = source.at(chunk.start, min(max(0, chunk.announced), 4096))
        elif chunk.name == b"fact":
            fact = source.at(chunk.start, min(max(0, chunk.announced), 4096))
        elif chunk.name == b"data":
            if wide is not None and chunk.announced == 0xFFFF_FFFF:
                chunk = Chunk(chunk.name, chunk.start, wide, chunk.is_regular)
            return _wav_data(source, grammar, order, name, fmt, fact, chunk)
    raise AudioError("is cut short: no chunk of its header holds audio")


def _wav_data(
    source: Source, grammar: _Grammar, order: str, name: str, fmt: bytes, fact: bytes, audio: Chunk
) -> Layout:
    if len(fmt) < 16:
        raise AudioError("does not say what its samples are: its audio comes before its format, or that is damaged")
    tag, channels, rate, _, block, bits = struct.unpack(order + "HHIIHH", fmt[:16])
    if tag == 0xFFFE and len(fmt) >= 26:
        (tag,) = struct.unpack(order + "H", fmt[24:26])
    if not channels or not block:
        raise AudioError(f"says that it has {channels} channels of {block} bytes together: its format is damaged")
    size = _end_of_audio(source, grammar, audio, block)
    where = range(audio.start, audio.start + size)
    plain = _WAV_PLAIN.get((tag, block // channels)) if block % channels == 0 else None
    if plain is not None:
        endian = "BIG" if order == ">" else "LITTLE"
        return _plain(name, where, size // block, subtype=plain, endian=endian, samplerate=rate, channels=channels)
    if tag in _WAV_TAGS:
        raise AudioError(f"says {channels} channels of {bits} bits, and {block} bytes for all: mend its header")
    ffmpeg = "wav" if tag in _MPEG_TAGS else None
    if audio.is_regular and size == audio.announced:
        return Layout(name, ffmpeg=ffmpeg)
    pieces = _wav_header(order, fmt, fact, size), where
    return Layout(name, recordings=(pieces,), ffmpeg=ffmpeg)


def _wav_header(order: str, fmt: bytes, fact: bytes, size: int) -> bytes:
    """Return a header that says how much audio there is, for codecs of which more must be known."""
    if size >= 0xFFFF_0000:
        raise AudioError("holds more than 4 GiB of compressed audio and does not say how much")
    chunks = [(b"fmt ", fmt), *([(b"fact", fact)] if fact else [])]
    body = b"".join(
        name + struct.pack(order + "I", len(held)) + held + b"\0" * (len(held) % 2) for name, held in chunks
    )
    head = (b"RIFX" if order == ">" else b"RIFF") + struct.pack(order + "I", 4 + len(body) + 8 + size)
    return head + b"WAVE" + body + b"data" + struct.pack(order + "I", size)


def _plain(name: str, where: range, samples: int, **raw: Any) -> Layout:
    pieces: tuple[Piece, ...] = (where,)
    return Layout(name, samples=samples, recordings=(pieces,), raw=raw)


def form(source: Source) -> Layout:
    """Walk an AIFF, AIFC or 8SVX file; errors as `riff`, and where its two sizes differ."""
    kind, common = source.at(8, 4), b""
    for chunk in _chunks(source, _RIFX, 12):
        if chunk.name == b"COMM":
            common = source.at(chunk.start, 24)
        elif chunk.name == b"BODY" or (chunk.name == b"SSND" and len(common) < 18):
            _end_of_audio(source, _RIFX, chunk)
            return Layout(kind.decode(errors="replace"))
        elif chunk.name == b"SSND":
            return _aiff_data(source, kind, common, chunk)
    raise AudioError("is cut short: no chunk of its header holds audio")


def _aiff_data(source: Source, kind: bytes, common: bytes, audio: Chunk) -> Layout:
    channels, frames, bits = struct.unpack(">HIH", common[:8])
    coding = common[18:22] if kind == b"AIFC" else b"NONE"
    width = (bits + 7) // 8
    plain = _COMPANDED.get(coding) or _AIFF_PLAIN.get((coding, width))
    block = channels * (1 if coding in _COMPANDED else width)
    (offset,) = struct.unpack(">I", source.at(audio.start, 4).ljust(4, b"\0"))
    if audio.announced < 8:
        audio = Chunk(audio.name, audio.start, 0, audio.is_regular)
    size = _end_of_audio(source, _RIFX, audio) - 8 - offset
    if plain is None or block == 0:
        return Layout("AIFF")
    announced = frames * block
    if not (frames == 0 or frames >= 0x7F00_0000 or is_placeholder(announced)):
        size = _agreed(announced, size, source.size - audio.start - 8 - offset)
    endian = "LITTLE" if coding in (b"sowt", b"42ni", b"23ni") else "BIG"
    start = audio.start + 8 + offset
    samples, rate = max(0, size) // block, _extended(common[8:18])
    return _plain("AIFF", range(start, start + max(0, size)), samples, subtype=plain, endian=endian, samplerate=rate,
                  channels=channels)  # fmt: skip


def _agreed(announced: int, size: int, available: int) -> int:
    """Return how many bytes of audio there are, where the samples of a header come to others than its bytes.

    Raises:
        AudioError: to far more or fewer.
    """
    if announced > size + FEW_BYTES:
        raise cut_short(max(0, size), announced)
    if announced < size - FEW_BYTES:
        raise AudioError(f"announces {size} bytes of audio, and samples for {announced} of them; mend its header")
    return announced if announced == size - 1 else min(max(announced, size), available)


def _extended(number: bytes) -> int:
    """Return an 80-bit floating-point number as a whole one."""
    exponent, mantissa = struct.unpack(">HQ", number)
    shift = (exponent & 0x7FFF) - 16383 - 63
    return mantissa >> -shift if -64 < shift <= 0 else 0


def caf(source: Source) -> Layout:
    """Walk a CAF file; errors as `riff`."""
    described, valid, where = b"", 0, None
    for chunk in _chunks(source, _CAF, 8):
        if chunk.name == b"desc":
            described = source.at(chunk.start, 32)
        elif chunk.name == b"pakt":
            valid = int.from_bytes(source.at(chunk.start + 8, 8))
        elif chunk.name == b"data":
            size = _end_of_audio(source, _CAF, chunk)
            where = range(chunk.start + 4, chunk.start + max(4, size))
            if size != chunk.announced:
                break
    if where is None:
        raise AudioError("is cut short: no chunk of its header holds audio")
    return _caf_data(described, where, valid)


def _caf_data(described: bytes, where: range, valid: int) -> Layout:
    """Return the layout of audio, of which a table of packets says how many samples are valid."""
    if len(described) < 32:
        raise AudioError("does not say what its samples are: its description is damaged")
    rate, coding, flags, block, _, channels, bits = struct.unpack(">d4sIIIII", described)
    width = (bits + 7) // 8
    key = (3 if flags & 1 else 1, width)
    plain = _COMPANDED.get(coding) or (_WAV_PLAIN.get(key) if coding == b"lpcm" else None)
    if plain is None or block != channels * (1 if coding in _COMPANDED else width) or not block or not 0 < rate < 2**31:
        return Layout("CAF", valid if coding == b"alac" else None)
    endian = "LITTLE" if flags & 2 else "BIG"
    subtype = "PCM_S8" if plain == "PCM_U8" else plain
    return _plain("CAF", where, len(where) // block, subtype=subtype, endian=endian, samplerate=int(rate),
                  channels=channels)  # fmt: skip
