"""One member of an archive, as whatever walks the archive hands it on."""

from collections.abc import Iterator
from dataclasses import dataclass

from reseed.stages.audio.containers.layout import Source
from reseed.store import AudioError

LARGEST_TEXT = 1 << 20  # of a name or a sibling of a recording


@dataclass(frozen=True)
class Member:
    """One member of an archive, or a place of it that cannot be read.

    Attributes:
        name: as the archive has it, whatever it is: a name and no path of this machine.
        start, length: its bytes in the archive.
        is_deflated: they are compressed.
        crc32: of what they hold; None: the archive does not say.
        problem: why it cannot be read.
    """

    name: str
    start: int
    length: int = 0
    is_deflated: bool = False
    problem: str | None = None
    crc32: int | None = None


def exactly(source: Source, start: int, count: int) -> bytes:
    """Return `count` bytes from `start` on.

    Raises:
        AudioError: the archive ends before.
    """
    data = source.at(start, count)
    if len(data) < count:
        raise AudioError(f"is cut short: it ends at byte {source.size} of {start + count}")
    return data


Members = Iterator[Member]
