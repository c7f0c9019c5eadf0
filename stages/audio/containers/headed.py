"""AU and NIST SPHERE: a header, and the samples."""

import re
import struct

from reseed.stages.audio.containers.layout import Layout, Source, cut_short
from reseed.stages.audio.containers.sizes import actual_size, with_rest
from reseed.store import AudioError

_AU_PLAIN = {1: ("ULAW", 1), 2: ("PCM_S8", 1), 3: ("PCM_16", 2), 4: ("PCM_24", 3), 5: ("PCM_32", 4), 6: ("FLOAT", 4),
             7: ("DOUBLE", 8), 27: ("ALAW", 1)}  # fmt: skip
_SPHERE_PLAIN = {("ulaw", 1): "ULAW", ("mu-law", 1): "ULAW", ("alaw", 1): "ALAW", ("pcm", 1): "PCM_S8",
                 ("pcm", 2): "PCM_16", ("pcm", 3): "PCM_24", ("pcm", 4): "PCM_32"}  # fmt: skip
_SPHERE_FIELD = re.compile(r"^(\w+) -(?:i|r|s\d+) (.*?)\s*$", re.MULTILINE)


def au(source: Source) -> Layout:
    """Walk an AU (.snd) file.

    Raises:
        AudioError: it is cut short, or holds more than it says.
    """
    order = ">" if source.at(0, 4) == b".snd" else "<"
    head = source.at(4, 20)
    if len(head) < 20:
        raise cut_short(source.size, 24, "bytes of a header")
    start, announced, encoding, rate, channels = struct.unpack(order + "IIIII", head)
    if not 24 <= start <= source.size:
        raise AudioError(f"starts its audio at byte {start} of {source.size}: its header is damaged")
    size = with_rest(source, start, actual_size(announced, source.size - start))
    subtype, width = _AU_PLAIN.get(encoding, ("", 0))
    if not width or not channels:
        return Layout("AU", recordings=((range(start + size),),) if start + size < source.size else ())
    raw = {"subtype": subtype, "endian": "BIG" if order == ">" else "LITTLE", "samplerate": rate, "channels": channels}
    return Layout("AU", size // (width * channels), ((range(start, start + size),),), raw=raw)


def sphere(source: Source) -> Layout:
    """Walk a NIST SPHERE file; of one compressed by shorten, FFmpeg knows the way.

    Raises:
        AudioError: it is cut short, holds more than it says, or is compressed in a way nobody decodes.
    """
    start = _number(source.at(8, 8))
    fields: dict[str, str] = dict(_SPHERE_FIELD.findall(source.at(0, start).decode(errors="replace")))
    coding = fields.get("sample_coding", "pcm").lower()
    channels, width = _number(fields.get("channel_count", "1")), _number(fields.get("sample_n_bytes", "2"))
    if "embedded" in coding:
        if not coding.startswith("pcm,embedded-shorten"):
            raise AudioError(f"is compressed as {coding!r}, which is not decoded; convert it with sph2pipe -f wav")
        return Layout("SPHERE", _number(fields.get("sample_count", "")) or None, ffmpeg="nistsphere")
    if fields.get("channels_interleaved", "true").lower() == "false":
        raise AudioError("has its channels one behind the other, which is not read; convert it with sph2pipe -f wav")
    subtype = _SPHERE_PLAIN.get((coding, width))
    if not 16 <= start <= source.size or not subtype or not 1 <= channels <= 1024:
        raise AudioError(f"has a damaged header ({start} bytes, {channels} channels of {width} bytes in {coding!r})")
    announced = _number(fields.get("sample_count", "")) * width * channels
    size = with_rest(source, start, actual_size(announced, source.size - start))
    endian = "BIG" if fields.get("sample_byte_format", "01").startswith("1") else "LITTLE"
    rate = round(float(fields.get("sample_rate", "0") or 0))
    raw = {"subtype": subtype, "endian": endian, "samplerate": rate, "channels": channels}
    return Layout("SPHERE", size // (width * channels), ((range(start, start + size),),), raw=raw)


def _number(text: str | bytes) -> int:
    try:
        return max(0, int(text))
    except ValueError:
        return 0
