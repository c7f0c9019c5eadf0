"""Recordings that are parts of files are read as the same files by themselves are."""

import hashlib
import tarfile

import pytest

from reseed.stages.audio.decode import inspect, read
from reseed.stages.audio.location import ByteRange, Cell, Location
from reseed.stages.audio.opener import sha256_of
from reseed.store import AudioError
from tests.stages.audio.files import encoded, tone, written

FORMATS = {
    "wav": written(tone(20_000)),
    "flac": written(tone(20_000), format="FLAC"),
    "ogg": written(tone(20_000), format="OGG"),
    "opus": written(tone(20_000), format="OGG", subtype="OPUS"),
    "mp3": written(tone(20_000), format="MP3"),
    "m4a": encoded(tone(20_000), "aac", "mp4"),
    "piped.wav": written(tone(20_000)).replace((40_000).to_bytes(4, "little"), b"\xff\xff\xff\xff"),
}


@pytest.fixture(scope="module")
def members(tmp_path_factory):
    """Name -> (the file by itself, the same in an archive)."""
    folder = tmp_path_factory.mktemp("members")
    with tarfile.open(folder / "a.tar", "w") as archive:
        for name, data in FORMATS.items():
            (folder / name).write_bytes(data)
            archive.add(folder / name, name)
    with tarfile.open(folder / "a.tar") as archive:
        ranges = {member.name: ByteRange(member.offset_data, member.size) for member in archive}
    return {name: (folder / name, Location(str(folder / "a.tar"), part)) for name, part in ranges.items()}


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("largest", [0, 1 << 20])
def test_a_member_is_read_as_its_file_is(members, name, largest, monkeypatch):
    monkeypatch.setattr("reseed.stages.audio.opener._LARGEST_HELD", largest)
    file, member = members[name]
    assert inspect(member) == inspect(file)
    assert (read(member, 16_000) == read(file, 16_000)).all()
    assert (read(member, 8_000, 0.5, 0.25) == read(file, 8_000, 0.5, 0.25)).all()
    assert sha256_of(member) == sha256_of(Location.of(file)) == hashlib.sha256(FORMATS[name]).hexdigest()


@pytest.mark.parametrize(
    "location",
    [
        Location("/data/a.wav"),
        Location("/data/a b:c.tar", ByteRange(1536, 7)),
        Location("s3://bucket/x.tar", ByteRange(0, 10**12)),
        Location("/data/a.zip", ByteRange(0, 12, is_deflated=True)),
        Location("/data/a.parquet", Cell("audio.bytes", 17)),
        Location("/data/a:1+2", ByteRange(3, 4)),
    ],
)
def test_a_location_is_read_back_from_its_text(location):
    assert Location.parse(str(location)) == location


@pytest.mark.parametrize("name", ["a.tar:0+5", "a.zip:0+5,deflate", "a.parquet:audio[3]", "gone:1+2"])
def test_what_is_a_file_is_that_file_whatever_its_name_looks_like(tmp_path, name):
    path = tmp_path / name
    path.symlink_to("nowhere") if name.startswith("gone") else path.write_bytes(b"x")
    assert Location.parse(str(path)) == Location(str(path))


def test_an_archive_that_was_cut_gone_or_written_anew_is_said_so(members, tmp_path):
    whole, copy = members["wav"][1], tmp_path / "a.tar"
    data = whole.path.read_bytes()
    member = Location(str(copy), whole.part)
    with pytest.raises(AudioError, match="does not exist"):
        inspect(member)
    copy.write_bytes(data)
    before = sha256_of(member)
    copy.unlink()
    copy.write_bytes(data[:512] + data[512:].replace(b"\0\1", b"\1\0"))
    assert sha256_of(member) != before
    copy.write_bytes(data[:2000])
    with pytest.raises(AudioError, match=r"cut short: its file ends at byte 2000 of \d+"):
        inspect(member)
