"""Sizes that headers announce, held against those that are there.

Who writes to a pipe cannot come back to fill in a size: he writes 0, the largest number, or one near 2 GiB (SoX
0x7FFFF000, AIFF 0x7F000000, recorders 0x7FFFFFFF or 0x80000000 less a header). Such a number says that the length was
not known, and the audio lasts to the end of the file; any other that goes beyond the end says that the file was cut.
"""

from reseed.stages.audio.containers.layout import Source, cut_short
from reseed.store import AudioError

FEW_BYTES = 64  # what careless writers are off by: the length of a header, its own size, padding
_NEAR_2_GIB = range(0x7EFF_0000, 0x8001_0000)
_NEAR_4_GIB = range(0xFFFF_0000, 0x1_0001_0000)
_NEAR_2_63 = 0x7FFF_FFFF_0000_0000
TAGS = (b"TAG", b"APETAGEX", b"LYRICSBEGIN", b"ID3", b"3DI")
_PROBES = 16


def is_placeholder(announced: int) -> bool:
    """Return whether a size stands for one that was not known when it was written."""
    return announced <= 0 or announced in _NEAR_2_GIB or announced in _NEAR_4_GIB or announced >= _NEAR_2_63


def actual_size(announced: int, available: int) -> int:
    """Return how many bytes of audio there are, of those that lie between its beginning and the end of the file.

    Raises:
        AudioError: it is cut short.
    """
    if 0 < announced <= available:
        return announced
    if is_placeholder(announced) or announced <= available + FEW_BYTES:
        return available
    raise cut_short(available, announced)


def with_rest(source: Source, start: int, size: int, block: int = 1) -> int:
    """Return the size of audio that is followed by nothing but the end of the file, or by tags or zeros.

    Args:
        block: bytes that only together are audio.

    Raises:
        AudioError: something else follows, which may be audio that the header leaves out.
    """
    rest = source.size - start - size
    if size % block and rest <= FEW_BYTES:
        return size + rest
    if rest == 0 or source.at(start + size, 16).startswith(TAGS) or _is_zero(source, start + size):
        return size
    if rest <= FEW_BYTES:
        return size + rest
    raise AudioError(
        f"announces {size} bytes of audio, after which {rest} more follow that are none of its chunks; "
        "mend its header, or take apart what was joined"
    )


def _is_zero(source: Source, start: int) -> bool:
    step = max(4096, (source.size - start) // _PROBES)
    return not any(source.at(place, 4096).strip(b"\0") for place in range(start, source.size, step))
