"""Members of tar files that a manifest names: lhotse's Shar, and NeMo's tarred manifests."""

import posixpath
import re
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache

from reseed.stages.audio.archives.member import Member
from reseed.stages.audio.archives.tar import tar_members
from reseed.stages.audio.lists.archived import below
from reseed.stages.audio.lists.places import Place
from reseed.stages.audio.lists.row import Row
from reseed.stages.audio.location import ByteRange, Location
from reseed.stages.audio.opener import whole_file
from reseed.store import AudioError
from reseed.store.url import AnyPath

_TARS = 4  # of NeMo whose names are held: a manifest goes through them one by one
_PART = re.compile(r"-sub\d+$")  # NeMo: another stretch of the recording without it
_NO_DATA, _MANIFESTS = ".nodata", (".json", ".nometa")


class TarNames:
    """Finds members of one tar by name; it is walked as far as they are asked for.

    Args:
        key: from the name of a member to that by which it is asked for; None: it is not.
        is_once: each is asked for once, and forgotten then.
    """

    def __init__(self, path: AnyPath, key: Callable[[str], str | None], is_once: bool) -> None:
        self._archive, self._key, self._is_once = Location(str(path)), key, is_once
        self._seen: dict[str, Member] = {}
        self._fault: str | None = None
        self._members = self._walked()

    def row(self, row: Row, name: str) -> Row:
        """Return a row with the place of its recording, or with the reason why there is none."""
        member, file = self._found(name), self._archive
        if member is None:
            fault = f", which {self._fault}" if self._fault else ""
            return Row(row.place, problem=f"({name}) is not in {file}{fault}")
        if member.problem is not None:
            return Row(row.place, problem=f"({name} in {file}) {member.problem}")
        if member.name.endswith(_NO_DATA):
            return Row(row.place, problem=f"({name}) has no recording: its place in {file} is empty")
        inside = Place(Location(file.file, ByteRange(member.start, member.length)), posixpath.splitext(name)[0])
        return Row(row.place, row.values, inside=inside, is_whole=row.is_whole)

    def _found(self, name: str) -> Member | None:
        if name in self._seen:
            return self._seen.pop(name) if self._is_once else self._seen[name]
        for member in self._members:
            key = self._key(member.name)
            if key is None:
                self._fault = self._fault or (f"{member.problem} (byte {member.start})" if member.problem else None)
                continue
            if key != name or not self._is_once:
                self._seen[key] = member
            if key == name:
                return member
        return None

    def _walked(self) -> Iterator[Member]:
        try:
            yield from tar_members(whole_file(self._archive))
        except (AudioError, OSError) as error:
            self._fault = str(error)


def recordings_of(cuts: AnyPath) -> TarNames:
    """Return the recordings of one shard of lhotse's Shar: `recording.000000.tar` beside `cuts.000000.jsonl.gz`."""
    name = re.sub(r"\.jsonl(?:\.gz)?$", ".tar", cuts.name).replace("cuts", "recording", 1)
    return TarNames(cuts.with_name(name), _cut_of, is_once=True)


def _cut_of(name: str) -> str | None:
    """Return the id of the cut that a member is the recording of; None: it is none, but its manifest."""
    stem, suffix = posixpath.splitext(name)
    return None if suffix in _MANIFESTS or not name else stem


class NemoTars:
    """The tar files that NeMo's manifests are of: as they are given, or `audio_7.tar` beside, or above, for shard 7.

    Args:
        tars: all of them, in the order of their numbers; empty: to be looked for.
    """

    def __init__(self, tars: Sequence[AnyPath]) -> None:
        self._tars = tars
        self._tar = lru_cache(maxsize=_TARS)(self._looked_for)
        self._names = lru_cache(maxsize=_TARS)(
            lambda path: TarNames(path, lambda name: below(name) or None, is_once=False)
        )

    def row(self, source: AnyPath, row: Row) -> Row:
        """Return a row of such a manifest with the place of its recording; other rows are returned as they are."""
        shard, path = row.values.get("shard_id"), row.values.get("audio_filepath")
        if row.problem is not None or shard in (None, -1) or not isinstance(path, str):  # -1: NeMo, of no shard
            return row
        tar = self._tar(source.parent, shard)
        if tar is None:
            where = f"{source.parent / f'audio_{shard}.tar'} does not exist" if not self._tars else "none was given"
            advice = "say with corpus.prepare.tarred_audio_filepaths where the tar files are"
            return Row(row.place, problem=f"is inside a tar file (shard_id {shard}), and {where}: {advice}")
        stem, suffix = posixpath.splitext(path)
        row = Row(row.place, {name: value for name, value in row.values.items() if name != "shard_id"})
        found = self._names(tar).row(row, below(_PART.sub("", stem) + suffix))
        if found.inside is None:
            return found
        return Row(row.place, row.values, inside=Place(found.inside.path, stem))

    def _looked_for(self, folder: AnyPath, shard: object) -> AnyPath | None:
        if not str(shard).isdecimal():
            return None
        if self._tars:
            return self._tars[int(str(shard))] if int(str(shard)) < len(self._tars) else None
        beside = (folder / f"audio_{shard}.tar", folder.parent / f"audio_{shard}.tar")
        return next((path for path in beside if path.is_file()), None)
