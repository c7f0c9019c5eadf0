"""zip: the members of its directory, which stands at its end, one at a time; where that was cut off, header by header.

PKWARE's APPNOTE 6.3. Members that are stored or deflated can be read where they lie.
"""

import struct
from dataclasses import dataclass

from reseed.stages.audio.archives.member import Member, Members, exactly
from reseed.stages.audio.containers.layout import Source
from reseed.store import AudioError

_END, _END_64, _LOCATOR_64 = b"PK\5\6", b"PK\6\6", b"PK\6\7"
_ENTRY, _LOCAL = b"PK\1\2", b"PK\3\4"
_TAIL = (1 << 16) + 22  # the longest comment, and the record before it
_STORED, _DEFLATED = 0, 8
_ENCRYPTED, _LENGTH_BEHIND, _UTF8 = 1, 8, 0x800
_UNTOLD = 0xFFFF_FFFF


def zip_members(source: Source) -> Members:
    """Yield the files of a zip, as its directory lists them."""
    try:
        directory = _directory(source)
    except AudioError as error:
        yield from _by_headers(source)
        yield Member("", source.size, problem=str(error))
        return
    place, end, announced = directory
    count = 0
    while place < end:
        try:
            fields = struct.unpack("<4s4xHH4xIIIHHH8xI", exactly(source, place, 46))
            magic, flags, method, crc32, packed, size, name_bytes, extra_bytes, comment_bytes, offset = fields
            if magic != _ENTRY:
                raise AudioError(f"is damaged: its directory cannot be read from byte {place} on")
            text = exactly(source, place + 46, name_bytes + extra_bytes)
        except AudioError as error:
            yield Member("", place, problem=str(error))
            return
        count += 1
        place += 46 + name_bytes + extra_bytes + comment_bytes
        name, extra = text[:name_bytes], text[name_bytes:]
        size, packed, offset = _wide(extra, size, packed, offset)
        entry = _Entry(_decoded(name, flags), flags, method, crc32, packed, offset)
        if not entry.name.endswith("/"):
            yield _member(source, entry, name)
    if place > end or count % (1 << 16) != announced % (1 << 16):  # some writers count so far only
        yield Member("", end, problem=f"is damaged: its directory has {count} of {announced} members")


@dataclass(frozen=True)
class _Entry:
    name: str
    flags: int
    method: int
    crc32: int
    packed: int
    offset: int


def _directory(source: Source) -> tuple[int, int, int]:
    """Return where the directory begins and ends, and how many members it has.

    Raises:
        AudioError: it is not there.
    """
    start = max(0, source.size - _TAIL)
    tail = source.at(start, source.size - start)
    found = tail.rfind(_END)
    if found < 0 or len(tail) - found < 22:
        raise AudioError("is cut short: the directory at its end is missing, so members may be missing")
    count, size, offset = struct.unpack("<HII", tail[found + 10 : found + 20])
    end = start + found
    locator = source.at(end - 20, 20) if end >= 20 else b""
    if locator[:4] == _LOCATOR_64 and (_UNTOLD in (size, offset) or count == 0xFFFF):
        (end,) = struct.unpack("<Q", locator[8:16])
        record = exactly(source, end, 56)
        if record[:4] != _END_64:
            raise AudioError("is damaged: its 64-bit directory is not where it should be")
        count, size, offset = struct.unpack("<QQQ", record[32:56])
    if offset + size > end or source.at(offset, 4) not in ((_ENTRY,) if size else (_END, _END_64)):
        raise AudioError("is damaged: its directory is not where it should be (part of several, or cut?)")
    return offset, offset + size, count


def _by_headers(source: Source) -> Members:
    """Yield the members whose headers say how long they are, from the beginning of the file on."""
    place = 0
    while (head := source.at(place, 30))[:4] == _LOCAL and len(head) == 30:
        flags, method, crc32, packed, size, name_bytes, extra_bytes = struct.unpack("<6xHH4xIIIHH", head)
        try:
            text = exactly(source, place + 30, name_bytes + extra_bytes)
        except AudioError:
            return
        size, packed, _ = _wide(text[name_bytes:], size, packed, 0)
        name = _decoded(text[:name_bytes], flags)
        if flags & _LENGTH_BEHIND:
            yield Member(name, place, problem="does not say its length, and the directory is gone")
            return
        if not name.endswith("/"):
            yield _member(source, _Entry(name, flags, method, crc32, packed, place), text[:name_bytes])
        place += 30 + name_bytes + extra_bytes + packed


def _member(source: Source, entry: _Entry, name: bytes) -> Member:
    head = source.at(entry.offset, 30 + len(name))
    is_same = head[:4] == _LOCAL and head[26:28] == struct.pack("<H", len(name)) and head[30:] == name
    if not is_same:
        problem = f"({entry.name}) is damaged: its header is not where the directory says"
        return Member("", entry.offset, problem=problem)
    start = entry.offset + 30 + sum(struct.unpack("<HH", head[26:30]))
    if entry.flags & _ENCRYPTED:
        return Member(entry.name, start, problem="is encrypted; unpack the archive first")
    if entry.method not in (_STORED, _DEFLATED):
        return Member(entry.name, start, problem=f"is compressed by method {entry.method}; unpack the zip")
    return Member(entry.name, start, entry.packed, entry.method == _DEFLATED, crc32=entry.crc32)


def _wide(extra: bytes, size: int, packed: int, offset: int) -> tuple[int, int, int]:
    """Return the numbers that need more than 32 bits from the extra field that has them."""
    while len(extra) >= 4:
        kind, length = struct.unpack("<HH", extra[:4])
        if kind == 1:
            field = extra[4 : 4 + length]
            numbers = iter(struct.unpack(f"<{len(field) // 8}Q", field[: len(field) // 8 * 8]))
            found = [next(numbers, value) if value == _UNTOLD else value for value in (size, packed, offset)]
            return found[0], found[1], found[2]
        extra = extra[4 + length :]
    return size, packed, offset


def _decoded(name: bytes, flags: int) -> str:
    try:
        found = name.decode()
    except UnicodeDecodeError:
        found = name.decode("utf-8" if flags & _UTF8 else "cp437", errors="surrogateescape")
    return found if "/" in found else found.replace("\\", "/")  # as Windows writes paths, and .NET wrote them here
