"""Which container a file is, by its first bytes, whatever its name says."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial

from reseed.stages.audio.containers.boxes import adts, amr, asf, flv, matroska, mp4, transport_stream, wavpack
from reseed.stages.audio.containers.flac import flac
from reseed.stages.audio.containers.headed import au, sphere
from reseed.stages.audio.containers.layout import Layout, Seekable, Source, Stitched
from reseed.stages.audio.containers.mpeg import id3_size, mp3
from reseed.stages.audio.containers.ogg import ogg
from reseed.stages.audio.containers.rare import RARE, rare
from reseed.stages.audio.containers.riff import caf, form, riff, wave64
from reseed.store import AudioError

_MAGIC: dict[bytes, Callable[[Source], Layout]] = {
    **dict.fromkeys((b"RIFF", b"RIFX", b"RF64", b"BW64"), riff),
    b"riff\x2e\x91\xcf\x11": wave64,
    b"FORM": form,
    b"caff": caf,
    **dict.fromkeys((b".snd", b"dns."), au),
    b"NIST_1A": sphere,
    b"\x1a\x45\xdf\xa3": matroska,
    b"\x30\x26\xb2\x75\x8e\x66\xcf\x11": asf,
    b"#!AMR": amr,
    b"FLV\x01": flv,
    b"wvpk": wavpack,
    **{magic: partial(rare, name=name, announced=announced) for magic, (name, announced) in RARE.items()},
}
_NO_AUDIO = {
    b"version https://git-lfs": "a pointer of Git LFS: fetch the file itself (git lfs pull)",
    b"<!doctype": "a web page: download the file again",
    b"<html": "a web page: download the file again",
    b"\x1f\x8b": "compressed by gzip: unpack it first",
    b"pk\3\4": "a zip archive: unpack it first",
}
_BOXES = (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip")


def layout_of(file: Seekable, is_thorough: bool) -> Layout:
    """Return how a file is to be decoded.

    Args:
        is_thorough: check also what decides nothing but whether the file is sound; `prepare` does.

    Raises:
        AudioError: it is cut short or damaged.
    """
    source = Source.of(file)
    start = _behind_tags(source)
    inner = behind(source, start)
    head = inner.at(0, 24)
    if head[:1] == b"\xff" and head[1:2] and head[1] & 0xF6 == 0xF0:
        return adts(inner)
    found = _walked(inner, head, is_thorough) or mp3(inner) or _of_no_container(inner.at(0, 64))
    if start and not found.recordings:
        found = replace(found, recordings=((range(inner.size),),))
    return replace(found, offset=start)


def _of_no_container(head: bytes) -> Layout:
    """Return what is known of any other file.

    Raises:
        AudioError: it is what is often found in the place of a recording.
    """
    for magic, what in _NO_AUDIO.items():
        if head.lstrip().lower().startswith(magic):
            raise AudioError(f"is no audio, but {what}")
    return Layout("unknown")


def behind(source: Source, start: int) -> Source:
    """Return a file from a place on."""
    return Source(Stitched(source.file, (range(start, source.size),)), source.size - start) if start else source


def _behind_tags(source: Source) -> int:
    """Return where ID3 tags before a container end."""
    start = 0
    while (head := source.at(start, 10))[:3] == b"ID3" and len(head) == 10:
        start += id3_size(head)
    return start


def _walked(source: Source, head: bytes, is_thorough: bool) -> Layout | None:
    if head[:4] == b"fLaC":
        return flac(source, is_thorough)
    if head[:4] == b"OggS":
        return ogg(source, is_thorough)
    if head[4:8] in _BOXES:
        return mp4(source)
    for magic, walk in _MAGIC.items():
        if head.startswith(magic):
            return walk(source)
    if head[:1] == b"G" and source.at(188, 1) == source.at(376, 1) == b"G":
        return transport_stream(source)
    return None
