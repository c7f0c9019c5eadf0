"""Ogg: pages, and the recordings chained one behind the other. RFC 3533; RFC 7845 (Opus)."""

import struct
import zlib
from dataclasses import dataclass

from reseed.stages.audio.containers.layout import Layout, Source, cut_short
from reseed.store import AudioError

_AUDIO = {b"\x01vorbis": "Vorbis", b"OpusHead": "Opus", b"\x7fFLAC": "FLAC", b"Speex   ": "Speex"}
_REVERSED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))
_FIRST, _LAST = 2, 4  # flags of a page


@dataclass
class _Link:
    start: int
    stop: int
    codecs: list[str]
    others: int = 0  # streams that are no sound
    has_begun: bool = False  # a page that is nobody's first was seen
    next_page: int = 0
    serial: int = -1
    is_ended: bool = False


def ogg(source: Source, is_thorough: bool) -> Layout:
    """Walk the pages of an Ogg file.

    Args:
        is_thorough: compute their checksums, too: decoders leave out in silence what is damaged.

    Raises:
        AudioError: it is cut short, lacks pages, or mixes what cannot be read as one recording.
    """
    links: list[_Link] = []
    place = 0
    while place < source.size:
        head = source.at(place, 27 + 255)
        if head[:4] != b"OggS":
            place = _next_page(source, place)
            continue
        if len(head) < 27 or len(head) < 27 + head[26]:
            raise AudioError("is cut short: it ends within a page")
        stop = _page(links, place, head, source)
        if is_thorough and _checksum(source.at(place, stop - place)) != head[22:26]:
            raise AudioError(f"is damaged: the page at byte {place} is not what was written (its checksum differs)")
        place = stop
    if not links:
        raise AudioError("holds no page of Ogg")
    if any(link.codecs and not link.is_ended for link in links):
        raise AudioError("is cut short: its last page is not marked as the last")
    links = [link for link in links if link.codecs]
    if not links:
        raise AudioError("holds no codec of Ogg that is known")
    if any(len(link.codecs) > 1 or link.others or link.codecs[0] == "Speex" for link in links):
        if len(links) > 1:
            raise AudioError("chains recordings that hold more than sound; take them apart")
        return Layout(f"Ogg {links[0].codecs[0]}", ffmpeg="ogg")
    codecs = {link.codecs[0] for link in links}
    if len(links) == 1 and links[0].start == 0:
        return Layout(f"Ogg {codecs.pop()}")
    return Layout(
        f"Ogg {'/'.join(sorted(codecs))}", recordings=tuple((range(link.start, link.stop),) for link in links)
    )


def _page(links: list[_Link], place: int, head: bytes, source: Source) -> int:
    """Take a page into account; returns where it ends."""
    flags, serial, number, segments = head[5], *struct.unpack("<II", head[14:22]), head[26]
    stop = place + 27 + segments + sum(head[27 : 27 + segments])
    if stop > source.size:
        raise cut_short(source.size, stop, "bytes")
    if flags & _FIRST and (not links or links[-1].has_begun):
        links.append(_Link(place, stop, []))
    if not links:
        raise AudioError("does not begin with what it holds: its first pages are missing")
    link = links[-1]
    link.stop = stop
    if flags & _FIRST:
        _first_page(link, serial, source.at(place + 27 + segments, 8))
    else:
        link.has_begun = True
    if serial == link.serial:
        if number != link.next_page:
            raise AudioError(f"lacks pages: {number} follows {link.next_page - 1}")
        link.next_page += 1
        link.is_ended = bool(flags & _LAST)
    return stop


def _checksum(page: bytes) -> bytes:
    """Return a page's CRC, which runs from the highest bit of a byte on, by zlib's, which runs from the lowest."""
    data = (page[:22] + bytes(4) + page[26:]).translate(_REVERSED)
    crc = zlib.crc32(data, 0xFFFF_FFFF) ^ 0xFFFF_FFFF
    return int(f"{crc:032b}"[::-1], 2).to_bytes(4, "little")


def _first_page(link: _Link, serial: int, content: bytes) -> None:
    codec = next((name for magic, name in _AUDIO.items() if content.startswith(magic)), None)
    if codec is None:
        link.others += not content.startswith(b"fishead\0")
    else:
        link.codecs.append(codec)
        if link.serial < 0:
            link.serial = serial


def _next_page(source: Source, place: int) -> int:
    """Return where the next page begins behind what is none, or the end of the file."""
    step = 1 << 16
    while place < source.size:
        found = source.at(place, step + 3).find(b"OggS")
        if found >= 0:
            return place + found
        place += step
    return source.size
