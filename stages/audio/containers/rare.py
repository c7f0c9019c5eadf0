"""Containers that libsndfile reads, of files that were cut as far as they go, and where they say how long they are."""

import struct
from collections.abc import Callable

from reseed.stages.audio.containers.layout import Layout, Source, cut_short
from reseed.stages.audio.containers.sizes import FEW_BYTES, with_rest

_MAT4_WIDTHS = (8, 4, 4, 2, 2, 1)


def _avr(source: Source) -> int:
    is_stereo, bits = struct.unpack(">HH", source.at(12, 4))
    (frames,) = struct.unpack(">I", source.at(26, 4))
    return 128 + frames * (2 if is_stereo else 1) * (bits // 8)


def _mpc(source: Source) -> int:
    (frames,) = struct.unpack("<I", source.at(30, 4))
    return 42 + 2 * frames * (2 if source.at(21, 1) == b"\1" else 1)


def _wve(source: Source) -> int:
    return 32 + struct.unpack(">I", source.at(18, 4))[0]


def _voc(source: Source) -> int:
    (place,) = struct.unpack("<H", source.at(20, 2))
    while (head := source.at(place, 4)) and head[0]:
        place += 4 + int.from_bytes(head[1:], "little")
    return place


def _mat4(source: Source) -> int:
    place = 0
    while len(head := source.at(place, 20)) == 20:
        order = "<" if head[:2] != b"\0\0" or head[:4] == bytes(4) else ">"
        kind, rows, columns, _, name = struct.unpack(order + "5I", head)
        place += 20 + name + rows * columns * _MAT4_WIDTHS[min(5, kind // 10 % 10)]
    return place


def _mat5(source: Source) -> int:
    order, place = "<" if source.at(126, 2) == b"IM" else ">", 128
    while len(head := source.at(place, 8)) == 8:
        place += 8 + struct.unpack(order + "II", head)[1]
    return place


RARE: dict[bytes, tuple[str, Callable[[Source], int]]] = {
    b"2BIT": ("AVR", _avr),
    b"\x01\x04": ("MPC", _mpc),
    b"ALawSoundFile**": ("WVE", _wve),
    b"Creative Voice File\x1a": ("VOC", _voc),
    b"MATLAB 5.0 MAT-file": ("MAT5", _mat5),
    b"\0\0\0\0\1\0\0\0\1\0\0\0\0\0\0\0": ("MAT4", _mat4),
    b"\0\0\x03\xe8\0\0\0\1\0\0\0\1\0\0\0\0": ("MAT4", _mat4),
}


def rare(source: Source, name: str, announced: Callable[[Source], int]) -> Layout:
    """Hold the size that a header announces against the file's.

    Raises:
        AudioError: it is cut short.
    """
    try:
        size = announced(source)
    except struct.error as error:
        raise cut_short(source.size, source.size + 1, "bytes or more of a header") from error
    if size > source.size + FEW_BYTES:
        raise cut_short(source.size, size, "bytes")
    if size >= source.size - FEW_BYTES:
        return Layout(name)
    return Layout(name, recordings=((range(with_rest(source, 0, size)),),))
