"""Recordings inside tar, zip and Kaldi's ark files, as the files lie there: WebDataset, wespeaker's shards, any folder.

What WebDataset calls a sample is what follows one another under one key, the name up to the first dot of its last part:
the recording `spk1/a.flac` has `spk1/a.json` and `spk1/a.spk` beside it. Nothing is unpacked; names are only names.
"""

import posixpath
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import PurePath, PurePosixPath
from typing import Any

from reseed.stages.audio.archives.ark import ark_members
from reseed.stages.audio.archives.member import LARGEST_TEXT, Member, Members
from reseed.stages.audio.archives.tar import tar_members
from reseed.stages.audio.archives.zip import zip_members
from reseed.stages.audio.containers.layout import Source
from reseed.stages.audio.listed import ListedRecording
from reseed.stages.audio.listing import AUDIO_SUFFIXES
from reseed.stages.audio.lists.columns import Interpreter, has_speaker
from reseed.stages.audio.lists.places import Place
from reseed.stages.audio.lists.row import Row
from reseed.stages.audio.location import ByteRange, Location
from reseed.stages.audio.opener import opened_bytes, sha256_of, whole_file
from reseed.stages.common.prose import first_few
from reseed.store import AudioError
from reseed.store.bounded import parse_json
from reseed.store.url import AnyPath

_ARK = ".ark"
ARCHIVES: dict[str, Callable[[Source], Members]] = {".tar": tar_members, ".zip": zip_members, _ARK: ark_members}
_COMPRESSED = (".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz", ".tar.zst")
ENDINGS = frozenset({*ARCHIVES, *(PurePath(f"_{ending}").suffix for ending in _COMPRESSED)})  # that archives may have
_LISTS = (".csv", ".tsv", ".jsonl", ".parquet")
_BESIDE = _SPEAKER, _CLASS, _JSON = ".spk", ".cls", ".json"
_MOST = 1000  # members of one sample


def is_archive(path: AnyPath | PurePath) -> bool:
    """Whether a file is an archive by its name, also one that cannot be read in place."""
    return path.suffix.lower() in ARCHIVES or path.name.lower().endswith(_COMPRESSED)


class ArchiveReader:
    """Lists the recordings of archives, and counts what there is to say about all of them.

    Args:
        interpreter: reads what is written beside a recording.
        speaker_depth: where nothing is, which part of a name is the speaker, counted upwards; 0: none.
    """

    def __init__(self, interpreter: Interpreter, speaker_depth: int, split: str | None) -> None:
        self._interpreter, self._speaker_depth, self._split = interpreter, speaker_depth, split
        self._apart, self._by_class = 0, 0
        self._unread: tuple[dict[str, None], dict[str, None]] = {}, {}  # fields like speakers; lists and archives

    def recordings(self, path: AnyPath) -> Iterator[ListedRecording]:
        """Yield the recordings of one archive, in the order they lie, and what cannot be read of it."""
        archive, is_empty = Location(str(path)), True
        try:
            for row in self._rows(archive):
                is_empty = False
                yield from filter(None, [self._interpreter.recording(row)])
            if is_empty:
                raise AudioError("holds no recordings, by the names of its members")
        except (AudioError, OSError) as error:
            reason = str(error) if isinstance(error, AudioError) else f"cannot be read ({error.strerror})"
            yield ListedRecording(path.name, path, problem=reason)

    def notes(self) -> list[str]:
        """Return what there is to say, one sentence each."""
        found = []
        if self._apart:
            found.append(f"{self._apart:,} .json, .spk and .cls files do not stand beside a recording and are not read")
        if self._by_class:
            found.append(f"the speakers of {self._by_class:,} recordings are those of .cls files")
        fields, files = map(list, self._unread)
        if fields:
            found.append(f"not read within archives, put speakers into .json or .spk: {first_few(fields)}")
        if files:
            found.append(f"not read within archives, unpack them: {first_few(files)}")
        return found

    def _walked(self, archive: Location) -> Members:
        suffix = archive.suffix
        source = whole_file(archive)
        if suffix not in ARCHIVES or source.at(0, 2) == b"\x1f\x8b":
            raise AudioError(
                "is compressed as a whole, so that nothing in it is found without unpacking all before it; "
                "decompress it first (gunzip, unxz, unzstd): recordings do not get larger by that"
            )
        return ARCHIVES[suffix](source)

    def _rows(self, archive: Location) -> Iterator[Row]:
        members = self._walked(archive)
        if archive.suffix == _ARK:
            for member in members:
                inside = Place(archive if member.problem else _location(archive, member), member.name)
                yield Row(f"byte {member.start}", {}, member.problem, inside, is_whole=True)
            return
        for sample in _samples(map(self._noted, members)):
            yield from self._of_sample(archive, sample)

    def _noted(self, member: Member) -> Member:
        """Keep in mind what is not read and may be missed."""
        base, field = posixpath.basename(member.name), member.name.removeprefix(_key(member.name))
        suffix = posixpath.splitext(base)[1].lower()
        if suffix in _LISTS or (base and is_archive(PurePosixPath(base))):
            self._unread[1].update({base: None} if len(self._unread[1]) < _MOST else {})
        elif suffix not in (*AUDIO_SUFFIXES, *_BESIDE) and has_speaker({field[1:].removesuffix(".txt"): field}):
            self._unread[0].update({field: None} if len(self._unread[0]) < _MOST else {})
        return member

    def _of_sample(self, archive: Location, sample: "_Sample") -> Iterator[Row]:
        for member in sample.broken:
            yield Row(f"byte {member.start}", problem=member.problem, inside=Place(archive, below(member.name)))
        self._apart += sample.count_apart()
        for member in sample.recordings:
            stem = posixpath.splitext(member.name)[0]
            inside = Place(_location(archive, member), below(sample.name_of(stem)))
            try:
                values = self._values(archive, sample, stem)
            except (AudioError, ValueError) as error:
                yield Row(f"byte {member.start}", problem=f"stands beside what cannot be read: {error}", inside=inside)
                continue
            yield Row(f"byte {member.start}", values, inside=inside, is_whole=True)

    def _values(self, archive: Location, sample: "_Sample", stem: str) -> dict[str, Any]:
        """Return what is written beside a recording, as columns."""
        values: dict[str, Any] = {}
        if self._split is not None:
            values["split"] = self._split
        if json := sample.named(stem, _JSON):
            values |= _columns(parse_json(_text(archive, json)))
        if speaker := sample.named(stem, _SPEAKER):
            values["speaker_id"] = _text(archive, speaker).strip()
        elif not has_speaker(values) and (named := sample.named(stem, _CLASS)):
            values["speaker_id"] = _text(archive, named).strip()
            self._by_class += 1
        elif not has_speaker(values) and self._speaker_depth:
            above = below(stem).split("/")[: -self._speaker_depth]
            values["speaker_id"] = "/".join(above) or None
        return values


@dataclass
class _Sample:
    """Members that follow one another under one key."""

    key: str
    recordings: list[Member] = field(default_factory=list)
    beside: dict[str, Member] = field(default_factory=dict)
    broken: list[Member] = field(default_factory=list)

    def name_of(self, stem: str) -> str:
        """Return the name of a recording: the key where it is the only one and what stands beside it has no other."""
        has_own = any(stem + suffix in self.beside for suffix in _BESIDE)
        is_key = len(self.recordings) == 1 and not has_own and any(self.named(stem, suffix) for suffix in _BESIDE)
        return self.key if is_key else stem

    def named(self, stem: str, suffix: str) -> Member | None:
        """Return what is written beside a recording: under its name, the key, or as the only field of that key."""
        found = self.beside.get(stem + suffix) or self.beside.get(self.key + suffix)
        if found or len(self.recordings) > 1 or not (stem == self.key or self._is_field(stem)):
            return found
        fields = [name for name in self.beside if name.endswith(suffix) and self._is_field(name.removesuffix(suffix))]
        return self.beside[fields[0]] if len(fields) == 1 else None

    def _is_field(self, stem: str) -> bool:
        """Whether a name is that of a field, `KEY.metadata`, and not of another recording, `KEY.007`."""
        return stem.removeprefix(self.key + ".").isidentifier()

    def count_apart(self) -> int:
        """Return how many stand beside no recording."""
        stems = [posixpath.splitext(member.name)[0] for member in self.recordings]
        return len(self.beside) - len({self.named(stem, suffix) for stem in stems for suffix in _BESIDE} - {None})


def _samples(members: Members) -> Iterator[_Sample]:
    sample, last = _Sample(""), ""
    for member in members:
        key, (stem, suffix) = _key(member.name), posixpath.splitext(member.name)
        is_full = len(sample.recordings) + len(sample.broken) >= _MOST and (stem != last or not stem)
        if key != sample.key or is_full:
            yield sample
            sample = _Sample(key)
        suffix, last = suffix.lower(), stem
        is_hidden = posixpath.basename(member.name).startswith(".") or member.name.startswith("__MACOSX/")
        if suffix in AUDIO_SUFFIXES and is_hidden:
            continue
        if member.problem is not None and (suffix in AUDIO_SUFFIXES or not member.name):
            sample.broken.append(member)
        elif suffix in AUDIO_SUFFIXES:
            sample.recordings.append(member)
        elif suffix in _BESIDE and member.problem is None and len(sample.beside) < _MOST:
            sample.beside[stem + suffix] = member
    yield sample


def _key(name: str) -> str:
    folder, base = posixpath.split(name)
    return posixpath.join(folder, base.split(".")[0])


def _location(archive: Location, member: Member) -> Location:
    return Location(archive.file, ByteRange(member.start, member.length, member.is_deflated, member.crc32))


def below(name: str) -> str:
    """Return a name without what would lead out of a folder."""
    return posixpath.normpath("/" + name).lstrip("/")


def _text(archive: Location, member: Member) -> str:
    if member.length > LARGEST_TEXT:
        raise ValueError(f"{member.name} has {member.length} bytes")
    if not member.length:
        return ""
    location = _location(archive, member)
    sha256_of(location)  # which checks what the archive says of it
    with opened_bytes(location) as file:
        return file.read(LARGEST_TEXT).decode("utf-8-sig")


def _columns(value: Any) -> Mapping[str, Any]:
    """Return the fields of a JSON that are columns; that of a recording in lhotse's Shar names what it was cut from."""
    if not isinstance(value, dict):
        raise ValueError("its .json is no object")
    return {} if isinstance(value.get("sources"), list) else {str(name): each for name, each in value.items()}
