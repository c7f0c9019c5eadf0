"""What lies below a folder of a store: page by page, in the order of the names, kept in a file if wished."""

import fsspec
import pytest

from reseed.stages.audio.remote_listing import files_below
from reseed.store import ManifestError
from reseed.store.remote import PACKAGES
from reseed.store.url import Url
from tests.object_server import EITHER, answers, needs_s3, served, server

__all__ = ["served", "server"]

FILES = ["a b.wav", "x#2/b%.wav", "x#2/é&<1>.wav", "x#2/deep/c.wav", "y/d.flac", "y/e.txt"]


@pytest.fixture
def bucket(served):
    served.page = 2
    for name in [*(f"bucket/sp/{name}" for name in FILES), "bucket/spx/other.wav", "bucket/none.wav"]:
        (served.root / name).parent.mkdir(parents=True, exist_ok=True)
        (served.root / name).write_bytes(name.encode())
    return served


def names(place, base, kept=None):
    return [base.relative(entry.url) for entry in files_below(place, kept)]


@pytest.mark.parametrize("protocol", EITHER)
@pytest.mark.parametrize("end", ["", "/"])
def test_all_files_below_a_folder_are_listed_whatever_their_names(bucket, protocol, end):
    base = bucket.place(protocol, "bucket/sp")
    listed = names(Url(str(base) + end), base)
    assert sorted(listed) == sorted(FILES)
    assert listed == names(base, base)
    for name, entry in zip(listed, files_below(base), strict=True):
        assert Url(entry.url).open().read() == f"bucket/sp/{name}".encode()


@pytest.mark.parametrize("protocol", EITHER)
@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("/*.wav", ["a b.wav"]),
        ("/*/*.wav", ["x#2/b%.wav", "x#2/é&<1>.wav"]),
        ("/**/*.wav", ["a b.wav", "x#2/b%.wav", "x#2/deep/c.wav", "x#2/é&<1>.wav"]),
        ("/y/*", ["y/d.flac", "y/e.txt"]),
        ("/z*", []),
    ],
)
def test_a_pattern_lists_what_fits(bucket, protocol, pattern, expected):
    base = bucket.place(protocol, "bucket/sp")
    assert sorted(names(Url(str(base) + pattern), base)) == expected


def test_of_other_stores_folders_are_walked(bucket, monkeypatch):
    monkeypatch.setitem(PACKAGES, "memory", "")
    memory = fsspec.filesystem("memory")
    for name in FILES:
        memory.pipe_file(f"/bucket/sp/{name}", name.encode())
    base = Url("memory://bucket/sp")
    assert sorted(names(base, base)) == sorted(FILES)
    assert names(Url("memory://bucket/sp/*/*.flac"), base) == ["y/d.flac"]
    assert [Url(entry.url).open().read().decode() for entry in files_below(base)] == names(base, base)
    memory.rm("/bucket", recursive=True)


@needs_s3
def test_objects_come_in_pages_and_are_not_listed_again_from_a_file(bucket, tmp_path):
    base, kept = bucket.place("s3", "bucket/sp"), tmp_path / "listing.parquet"
    first = list(files_below(base, kept))
    assert len([request for request in bucket.requests if "list-type=2" in request]) == 3
    bucket.requests.clear()
    (bucket.root / "bucket/sp/new.wav").write_bytes(b"new")
    assert list(files_below(base, kept)) == first
    assert bucket.requests == []
    assert all(entry.version and entry.size for entry in first)
    assert len(list(files_below(bucket.place("s3", "bucket/spx"), kept))) == 1  # of another place: written anew


@needs_s3
def test_a_page_that_fails_in_passing_is_asked_for_again_and_one_that_fails_says_why(bucket):
    bucket.listing_faults += [answers(503, "SlowDown")] * 2
    base = bucket.place("s3", "bucket/sp")
    assert sorted(names(base, base)) == sorted(FILES)
    bucket.listing_faults += [answers(403, "AccessDenied")]
    with pytest.raises(ManifestError, match=r"s3://bucket/sp cannot be listed: access is denied \(HTTP 403\)"):
        names(base, base)
