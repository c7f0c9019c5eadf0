"""MP3 and its kin, frame by frame. ISO/IEC 11172-3, 13818-3; the Xing, Info and VBRI frames are encoders' custom.

Files without such a frame do not say how long they are, and decoders guess from their size; of several that were
joined, the first one's frame speaks for itself alone.
"""

from dataclasses import dataclass
from functools import lru_cache

from reseed.stages.audio.containers.layout import Layout, Piece, Source, cut_short
from reseed.stages.audio.containers.sizes import TAGS
from reseed.store import AudioError

_KBPS = {
    (1, 1): (32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448),
    (1, 2): (32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (1, 3): (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (2, 1): (32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    (2, 2): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
    (2, 3): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
_RATES_HZ = (44_100, 48_000, 32_000)
_STREAM = 0xFFFE0C00  # the bits of a header that stay the same: version, layer, rate
_MOST_PADDING = 4096  # samples that an encoder's frame may take off both ends; its fields would hold 8190
_SEARCHED = 1 << 16  # bytes before the first frame
_CHANGE = 3  # frames of other parameters in a row are no accident
_LONGEST_FREE = 8192
_FEW_VALUES = 4  # of bytes that pad
_ZEROS = 32  # at the end of a frame, and more behind it: the file was not written to its end
_TEXT = bytes((0, 9, 10, 13, *range(32, 127)))


@dataclass(frozen=True)
class _Frame:
    bytes: int  # 0: of free format, which the header does not say
    samples: int
    rate: int
    layer: int
    channels: int
    padding: int
    side_info: int


@lru_cache(maxsize=4096)
def _frame(header: int) -> _Frame | None:
    """Read a header; None: it is none."""
    version, layer = header >> 19 & 3, 4 - (header >> 17 & 3)
    bitrate, rate, padding = header >> 12 & 15, header >> 10 & 3, header >> 9 & 1
    if header >> 21 != 0x7FF or version == 1 or layer == 4 or bitrate == 15 or rate == 3:
        return None
    is_first = version == 3
    rate_hz = _RATES_HZ[rate] >> (0 if is_first else 1 if version == 2 else 2)
    samples = 384 if layer == 1 else 576 if layer == 3 and not is_first else 1152
    slot = 4 if layer == 1 else 1
    kbps = _KBPS[1 if is_first else 2, layer][bitrate - 1] if bitrate else 0
    size = (samples // 8 * 1000 * kbps // rate_hz // slot + padding) * slot if kbps else 0
    channels = 1 if header >> 6 & 3 == 3 else 2
    side_info = (17 if channels == 1 else 32) if is_first else (9 if channels == 1 else 17)
    return _Frame(size, samples, rate_hz, layer, channels, padding * slot, side_info)


class _Walk:
    """The frames of a file, from one to the next."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.free_bytes = 0
        self.pieces: list[range] = []
        self.frames = 0
        self.header = 0
        self.announced: int | None = None  # by the frame of an encoder

    def header_at(self, place: int) -> tuple[int, _Frame, int] | None:
        """Return the header of the frame at a place, what it says, and how long the frame is."""
        header = int.from_bytes(self.source.at(place, 4))
        frame = _frame(header) if header > 0xFFFFFF else None
        if frame is None:
            return None
        size = frame.bytes or (self.free_bytes and self.free_bytes + frame.padding)
        return (header, frame, size) if size else None

    def begin(self) -> bool:
        """Look for three frames in a row, or for fewer that fill the file, and move there."""
        data = self.source.at(0, _SEARCHED)
        at = -1
        while (at := data.find(b"\xff", at + 1)) >= 0:
            header = int.from_bytes(data[at : at + 4])
            frame = _frame(header)
            if frame is None:
                continue
            self.free_bytes = 0 if frame.bytes else self._free_size(at, header, frame)
            if self._runs(at, header, _CHANGE):
                self.place, self.header = at, header
                first = self.header_at(0)
                if at and first is not None and not (first[0] ^ header) & _STREAM:
                    raise AudioError("is damaged: its first frames do not follow one another")
                return True
        return False

    def _free_size(self, place: int, header: int, frame: _Frame) -> int:
        """Return how long frames of free format are without padding: as far as to the next alike."""
        data = self.source.at(place, _LONGEST_FREE)
        at = 3
        while (at := data.find(b"\xff", at + 1)) >= 0:
            other = int.from_bytes(data[at : at + 4])
            if other & (_STREAM | 0xF000) == header & (_STREAM | 0xF000):
                return at - frame.padding
        return 0

    def _runs(self, place: int, header: int, wanted: int) -> bool:
        for _ in range(wanted):
            found = self.header_at(place)
            if found is None or found[0] & _STREAM != header & _STREAM:
                return place == self.source.size
            place += found[2]
        return place <= self.source.size

    def run(self) -> None:
        """Walk to the end.

        Raises:
            AudioError: the file is cut short or damaged, or changes its rate on the way.
        """
        place = self.place
        while place < self.source.size:
            found = self.header_at(place)
            if found is None or (found[0] ^ self.header) & _STREAM or _channels_differ(found[0], self.header):
                place = self._behind_junk(place)
                continue
            _, frame, size = found
            if place + size > self.source.size:
                raise cut_short(self.source.size - place, size, "bytes of its last frame")
            if not self._is_encoders(place, frame, size):
                self.frames += 1
                if self.pieces and self.pieces[-1].stop == place:
                    self.pieces[-1] = range(self.pieces[-1].start, place + size)
                else:
                    self.pieces.append(range(place, place + size))
            place += size

    def _is_encoders(self, place: int, frame: _Frame, size: int) -> bool:
        """Return whether a frame holds an encoder's word on the file in place of sound; take the first one's."""
        is_first = self.frames == 0 and self.announced is None
        content = self.source.at(place + 4, min(size, 4 + frame.side_info + 48) - 4)
        for at in (frame.side_info, frame.side_info + 2):  # 2 more for a CRC
            if content[at : at + 4] in (b"Xing", b"Info"):
                if is_first and content[at + 7] & 1:
                    self.announced = int.from_bytes(content[at + 8 : at + 12])
                return True
        if content[32:36] == b"VBRI":
            if is_first:
                self.announced = int.from_bytes(content[46:50])
            return True
        return False

    def _behind_junk(self, place: int) -> int:
        """Return where frames go on behind what is none, or the end of the file."""
        tag = self.source.at(place, 10)
        if tag[:3] == b"ID3" and len(tag) == 10:
            return place + id3_size(tag)
        at = place
        step = 1 << 16
        while at < self.source.size:
            data = self.source.at(at, step + 3)
            inside = -1
            while 0 <= (inside := data.find(b"\xff", inside + 1)) < step:
                header = int.from_bytes(data[inside : inside + 4])
                if self._goes_on(at + inside, header):
                    self._check_lost(place, at + inside)
                    return at + inside
            at += step
        self._check_lost(place, self.source.size)
        return self.source.size

    def _goes_on(self, place: int, header: int) -> bool:
        frame = _frame(header)
        if frame is None:
            return False
        is_other = bool((header ^ self.header) & _STREAM) or _channels_differ(header, self.header)
        if is_other and frame.bytes and self._runs(place, header, _CHANGE):
            seconds = self.frames * _samples(self.header) / _rate(self.header)
            raise AudioError(f"changes its rate or channels after {seconds:.2f} s; take apart what was joined")
        return not is_other and self._runs(place, header, 2)

    def _check_lost(self, place: int, stop: int) -> None:
        """Raise if what is no frame may have been some.

        Between files that were joined, and behind the last, there may be tags, words and padding; but what is as long
        as a frame, is neither, or begins as zeros within the last frame, was sound.
        """
        if self.source.at(place, 16).startswith(TAGS):
            return
        codes = (self.header & ~0xF200 | code << 12 | padding for code in range(1, 15) for padding in (0, 0x200))
        is_one = stop - place in {frame.bytes for header in codes if (frame := _frame(header))}
        data = self.source.at(place, min(stop - place, _SEARCHED))
        is_padding = len(set(data)) <= _FEW_VALUES or not data.translate(None, _TEXT)
        begins_before = data.startswith(bytes(_ZEROS)) and not self.source.at(place - _ZEROS, _ZEROS).strip(b"\0")
        if (is_one and stop < self.source.size) or not is_padding or begins_before:
            raise AudioError(f"is damaged: the header of its frame {self.frames + 1} cannot be read")


def _channels_differ(header: int, other: int) -> bool:
    return (header >> 6 & 3 == 3) != (other >> 6 & 3 == 3)


def _samples(header: int) -> int:
    frame = _frame(header)
    return frame.samples if frame else 0


def _rate(header: int) -> int:
    frame = _frame(header)
    return frame.rate if frame else 1


def id3_size(head: bytes) -> int:
    """Return the length of an ID3v2 tag that begins with these ten bytes."""
    size = 0
    for byte in head[6:10]:
        size = size << 7 | byte & 0x7F
    return 10 + size + (10 if head[5] & 0x10 else 0)


def mp3(source: Source) -> Layout | None:
    """Walk the frames of MPEG audio; None: there are none.

    Raises:
        AudioError: the file is cut short or damaged, or changes its rate on the way.
    """
    walk = _Walk(source)
    if not walk.begin():
        return None
    walk.run()
    frame = _frame(walk.header)
    assert frame is not None
    if walk.announced is not None and walk.frames < walk.announced:
        raise cut_short(walk.frames, walk.announced, "frames")
    samples = walk.frames * frame.samples
    name = f"MP{frame.layer}"
    pieces: tuple[Piece, ...] = (_frame_of_encoder(walk, frame), *walk.pieces)
    if walk.announced == walk.frames:
        return Layout(name, samples, (pieces,), most_trimmed=_MOST_PADDING)
    if frame.layer != 3:
        return Layout(name, samples, ffmpeg="mp3")
    return Layout(name, samples, (pieces,))


def _frame_of_encoder(walk: _Walk, frame: _Frame) -> bytes:
    """Return a frame that says how many there are, to stand before them."""
    header = walk.header | 0x10000  # without a CRC
    size = walk.free_bytes + frame.padding if not frame.bytes else frame.bytes
    code = header >> 12 & 15
    while frame.bytes and size < 4 + frame.side_info + 120:
        code += 1
        header = header & ~0xF000 | code << 12
        larger = _frame(header)
        assert larger is not None
        size = larger.bytes
    says = b"Info" + (1).to_bytes(4) + walk.frames.to_bytes(4)
    return (header.to_bytes(4) + bytes(frame.side_info) + says).ljust(size, b"\0")[:size]
