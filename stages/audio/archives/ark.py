"""Kaldi's archives: key, blank, and what belongs to it, one after the other without lengths of their own.

Of audio it is a WAV file (wav-copy), or the word AUDIO, how many bytes a length has, the length, and a file of any
container (kaldiio, ESPnet).
"""

from reseed.stages.audio.archives.member import Member, Members, exactly
from reseed.stages.audio.containers.layout import Source
from reseed.stages.audio.containers.sizes import FEW_BYTES, is_placeholder
from reseed.store import AudioError

_LONGEST_KEY = 4096
_MATRIX = b"\0B"


def ark_members(source: Source) -> Members:
    """Yield the recordings of an ark, in the order they lie."""
    place = 0
    while place < source.size:
        key, blank, _ = source.at(place, _LONGEST_KEY).partition(b" ")
        name = key.decode(errors="replace")
        try:
            if not key or not blank or not name.isprintable():
                name = ""
                raise AudioError("is damaged: no key is there, and nothing behind it can be read")
            start, length = ark_entry(source, place + len(key) + 1)
        except AudioError as error:
            yield Member(name, place, problem=str(error))
            return
        yield Member(name, start, length)
        place = start + length


def ark_entry(source: Source, place: int, bound: int | None = None) -> tuple[int, int]:
    """Return where the recording lies that is at a place of an ark: start and length.

    Args:
        bound: where the next key begins, as far as a wav.scp tells.

    Raises:
        AudioError: the ark ends before, or it is no recording whose length can be told.
    """
    head = source.at(place, 16)
    if head.startswith(b"AUDIO") and len(head) > 6 and head[5] in (1, 2, 4, 8):
        start = place + 6 + head[5]
        return _whole(source, start, int.from_bytes(exactly(source, place + 6, head[5]), "little"))
    if head[:4] in (b"RIFF", b"RIFX") and head[8:12] == b"WAVE":
        announced = int.from_bytes(head[4:8], "little" if head[:4] == b"RIFF" else "big")
        if not is_placeholder(announced):
            length = announced + 8
            if bound is not None and abs(bound - place - length) <= FEW_BYTES:
                length = bound - place
            return _whole(source, place, length)
    elif head.startswith(_MATRIX):
        raise AudioError(f"holds matrices or vectors at byte {place}, and no sound")
    if bound is None or head[:4] not in (b"fLaC", b"RIFF", b"RIFX"):
        raise AudioError(f"holds at byte {place} neither WAV nor kaldiio's AUDIO: its end cannot be told")
    return place, bound - place


def _whole(source: Source, start: int, length: int) -> tuple[int, int]:
    if start + length > source.size:
        raise AudioError(f"is cut short: it ends at byte {source.size} of {start + length}")
    return start, length
