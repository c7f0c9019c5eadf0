"""tar: POSIX ustar and pax, GNU and old, header by header; what is damaged is a member with a problem.

A header is a block of 512 bytes with a checksum; what a member holds follows, filled up to whole blocks. Extended
headers ("x", "g", GNU's "L") say of the next member what does not fit into its own.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

from reseed.stages.audio.archives.member import LARGEST_TEXT, Member, Members, exactly
from reseed.stages.audio.containers.layout import Source
from reseed.store import AudioError

_BLOCK = 512
_FILES = (b"0", b"\0", b"7")
_EMPTY = (b"3", b"4", b"5", b"6")  # devices, folders, pipes: whatever size they say, nothing follows
_SILENT = (b"V", b"M", b"N", b"D")  # a volume's label, the rest of a member of another volume, lists of names
_STEP = 1 << 20


def tar_members(source: Source) -> Members:
    """Yield the files of a tar, in the order they lie."""
    place, is_closed, last = 0, False, 0
    extended = _Extended()
    while place < source.size:
        block = source.at(place, _BLOCK)
        if block == bytes(_BLOCK):  # the end; another tar may have been joined to it
            place, is_closed = _behind_zeros(source, place), True
            continue
        try:
            header = _header(source, place, block, extended)
        except AudioError as error:
            found = _next_header(source, place)
            left = "and nothing behind it can be read" if found is None else f"and is read again from byte {found} on"
            yield Member("", place, problem=f"{error}, {left}")
            if found is None:
                return
            place, extended = found, _Extended()
            continue
        place, is_closed = header.end, False
        if header.is_extension:
            continue
        extended = _Extended(of_all=extended.of_all)
        if header.member is not None:
            last = header.member.start + header.member.length
            yield header.member
    if not is_closed and last <= source.size:  # else the last member says so itself
        yield Member("", source.size, problem="is cut short: it lacks the zeros at the end of a tar")


@dataclass
class _Extended:
    """What extended headers say of the next member, and of all that follow."""

    of_next: dict[str, str] = field(default_factory=dict)
    of_all: dict[str, str] = field(default_factory=dict)

    def get(self, name: str) -> str | None:
        return self.of_next.get(name, self.of_all.get(name))


@dataclass(frozen=True)
class _Header:
    end: int  # of its member, where the next header begins
    member: Member | None = None
    is_extension: bool = False


def _header(source: Source, place: int, block: bytes, extended: _Extended) -> _Header:
    if not _is_header(block):
        raise AudioError("is damaged: no header of a member is there")
    kind, start = block[156:157], place + _BLOCK
    size = _number(block[124:136])
    if kind in (b"x", b"g", b"L", b"K"):
        if size > LARGEST_TEXT:
            raise AudioError(f"is damaged: an extended header announces {size} bytes")
        data = exactly(source, start, size)
        if kind == b"L":
            extended.of_next["path"] = _text(data)
        elif kind != b"K":
            (extended.of_all if kind == b"g" else extended.of_next).update(_pax(data))
        return _Header(start + size + -size % _BLOCK, is_extension=True)
    if kind in _EMPTY:
        return _Header(start)
    if kind in _SILENT:
        return _Header(start + size + -size % _BLOCK)
    name = extended.get("GNU.sparse.name") or extended.get("path") or _name(block)
    if kind in (b"1", b"2"):
        target = extended.get("linkpath") or _text(block[157:257])
        return _Header(start, Member(name, start, problem=f"is a link to {target} within the archive; unpack it"))
    size = _number((extended.get("size") or f"{size}").encode(), base=10)
    end = start + size + -size % _BLOCK
    if kind == b"S" or any(key.startswith("GNU.sparse") for key in extended.of_next):
        if kind == b"S":
            end = _behind_sparse(source, block, place, size)
        return _Header(end, Member(name, start, problem="is stored as a sparse file; write the tar without --sparse"))
    if kind not in _FILES:
        return _Header(end, Member(name, start, problem=f"is of a kind that tar does not know ({kind!r})"))
    if name.endswith("/"):  # a folder, as old tars have it
        return _Header(end)
    return _Header(end, Member(name, start, size))


def _behind_sparse(source: Source, block: bytes, place: int, size: int) -> int:
    """Return where GNU's old sparse member ends: maps of its holes may follow its header."""
    start, more = place + _BLOCK, block[482]
    while more:
        more = exactly(source, start, _BLOCK)[504]
        start += _BLOCK
    return start + size + -size % _BLOCK


def _is_header(block: bytes) -> bool:
    """Whether a block has the checksum of a header: the sum of its bytes, the checksum itself taken as blanks."""
    if len(block) < _BLOCK:
        return False
    try:
        announced = _number(block[148:156])
    except AudioError:
        return False
    return announced == sum(block) - sum(block[148:156]) + 8 * 32


def _next_header(source: Source, place: int) -> int | None:
    """Return where the next header begins behind a place that is none; None: there is none."""
    place += _BLOCK
    while data := source.at(place, _STEP):
        for offset in range(0, len(data) - _BLOCK + 1, _BLOCK):
            block = data[offset : offset + _BLOCK]
            if block[257:262] == b"ustar" and _is_header(block):
                return place + offset
        place += len(data) - len(data) % _BLOCK or len(data)
    return None


def _behind_zeros(source: Source, place: int) -> int:
    while data := source.at(place, _STEP):
        left = data.lstrip(b"\0")
        if left:
            return place + (len(data) - len(left)) // _BLOCK * _BLOCK
        place += len(data)
    return place


def _number(digits: bytes, base: int = 8) -> int:
    """Return a number in octal digits, or in GNU's base 256."""
    if digits[:1] == b"\x80":
        return int.from_bytes(digits[1:])
    text = digits.split(b"\0")[0].strip()
    try:
        return int(text or b"0", base)
    except ValueError:
        raise AudioError(f"is damaged: {digits!r} is no number") from None


def _name(block: bytes) -> str:
    name, prefix = _text(block[:100]), _text(block[345:500])
    return f"{prefix}/{name}" if block[257:263] == b"ustar\0" and prefix else name


def _text(data: bytes) -> str:
    return data.split(b"\0")[0].decode(errors="surrogateescape")


def _pax(data: bytes) -> dict[str, str]:
    """Return the records of a pax header, each "length key=value" and a newline."""
    return dict(_records(data))


def _records(data: bytes) -> Iterator[tuple[str, str]]:
    while data:
        digits, _, _ = data.partition(b" ")
        length = int(digits) if digits.isdigit() else 0
        key, equals, value = data[len(digits) + 1 : length - 1].partition(b"=")
        if not equals or length > len(data):
            raise AudioError("is damaged: an extended header cannot be read")
        yield key.decode(errors="replace"), value.decode(errors="surrogateescape")
        data = data[length:]
