"""Listings of large folders that are kept: the same as a fresh one, and only what has changed is listed again."""

import os
import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from reseed.stages.audio import folders
from reseed.stages.audio.folders import below
from reseed.stages.audio.listing import listing_digest
from reseed.stages.audio.lists.table import list_recordings
from reseed.store import ManifestError


@pytest.fixture(autouse=True)
def _three_files_are_many(monkeypatch):
    monkeypatch.setattr(folders, "LARGE", 3)


@pytest.fixture
def settled(monkeypatch):
    """Take every folder for one that has not changed of late."""
    monkeypatch.setattr(folders, "_UNSETTLED_NS", -(10**18))


@pytest.fixture
def listed(monkeypatch) -> list[str]:
    """The names of the folders that are listed from now on."""
    names: list[str] = []
    real = folders._listed
    monkeypatch.setattr(folders, "_listed", lambda path, *rest: names.append(Path(path).name) or real(path, *rest))
    return names


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    for speaker in ("s0", "s1", "s2"):
        (tmp_path / "corpus" / speaker / "v").mkdir(parents=True)
        for take in ("b.wav", "a.wav", "notes.txt"):
            (tmp_path / "corpus" / speaker / "v" / take).write_text(speaker + take)
    return tmp_path / "corpus"


CHANGES = {
    "a file is added": lambda top: (top / "s1" / "v" / "new.wav").touch(),
    "a file is removed": lambda top: (top / "s1" / "v" / "a.wav").unlink(),
    "a file is renamed": lambda top: (top / "s1" / "v" / "a.wav").rename(top / "s1" / "v" / "c.wav"),
    "a file is replaced": lambda top: replace(top / "s1" / "v" / "a.wav"),
    "a folder is added": lambda top: shutil.copytree(top / "s0", top / "s1" / "v" / "s0"),
    "a folder is removed": lambda top: shutil.rmtree(top / "s1"),
    "a folder is renamed": lambda top: (top / "s1").rename(top / "t1"),
    "two folders change places": lambda top: swap(top / "s0", top / "s1"),
    "a folder is linked into itself": lambda top: (top / "s1" / "v" / "loop").symlink_to(top),
    "a link leads nowhere": lambda top: (top / "s1" / "v" / "gone.wav").symlink_to(top / "nothing"),
    "a name is not UTF-8": lambda top: Path(os.fsdecode(os.fsencode(top) + b"/s1/v/\xff.wav")).touch(),
}


def replace(path: Path) -> None:
    path.with_suffix(".new").write_text("another")
    path.with_suffix(".new").replace(path)


def swap(first: Path, second: Path) -> None:
    (second / "v" / "more.wav").touch()
    for source, target in ((first, "x"), (second, first.name), (first.with_name("x"), second.name)):
        source.rename(source.with_name(target))


@pytest.mark.parametrize("change", CHANGES)
def test_a_kept_listing_is_what_a_fresh_one_is_after(change, corpus, tmp_path, settled):
    kept = tmp_path / "kept.parquet"
    assert listing_digest(corpus, kept) == listing_digest(corpus)
    CHANGES[change](corpus)
    assert [*below(corpus, kept).files()] == [*below(corpus).files()]
    assert listing_digest(corpus, kept) == listing_digest(corpus)
    assert [*below(corpus, kept).with_suffix({".wav"})] == [*below(corpus).with_suffix({".wav"})]
    assert [*list_recordings(corpus, 2, None, kept=kept)] == [*list_recordings(corpus, 2, None)]


def test_only_folders_that_have_changed_are_listed_again(corpus, tmp_path, settled, listed):
    kept = tmp_path / "kept.parquet"
    below(corpus, kept)
    assert sorted(listed) == ["corpus", "s0", "s1", "s2", "v", "v", "v"]
    listed.clear()
    before = kept.stat()
    below(corpus, kept)
    assert listed == []
    assert kept.stat().st_ino == before.st_ino  # nor is it written again
    (corpus / "s1" / "new.wav").touch()
    below(corpus, kept)
    assert listed == ["s1"]


def test_a_folder_that_had_just_changed_when_it_was_listed_is_listed_again(corpus, tmp_path, listed):
    kept = tmp_path / "kept.parquet"
    below(corpus, kept)
    listed.clear()
    times = (corpus / "s1" / "v").stat()
    (corpus / "s1" / "v" / "new.wav").touch()
    os.utime(corpus / "s1" / "v", ns=(times.st_atime_ns, times.st_mtime_ns))  # as where times are counted in steps
    assert listing_digest(corpus, kept) == listing_digest(corpus)
    assert len(listed) == 7


def test_what_is_written_over_in_place_is_noticed_once_the_listing_is_removed(corpus, tmp_path, settled):
    kept = tmp_path / "kept.parquet"
    before = listing_digest(corpus, kept)
    (corpus / "s1" / "v" / "a.wav").write_text("longer than it was")
    assert listing_digest(corpus, kept) == before
    kept.unlink()
    assert listing_digest(corpus, kept) == listing_digest(corpus) != before


def test_a_link_that_comes_to_point_to_another_folder_is_followed(corpus, tmp_path, settled):
    kept, link = tmp_path / "kept.parquet", tmp_path / "link"
    for name in ("x", "y"):
        shutil.copytree(corpus / "s0", tmp_path / name / "deep")
    (tmp_path / "y" / "deep" / "more.wav").touch()
    link.symlink_to(tmp_path / "x")
    (corpus / "linked").symlink_to(link / "deep")
    below(corpus, kept)
    link.unlink()
    link.symlink_to(tmp_path / "y")
    assert listing_digest(corpus, kept) == listing_digest(corpus)


def test_of_a_small_folder_nothing_is_kept(corpus, tmp_path, monkeypatch):
    monkeypatch.setattr(folders, "LARGE", 9)
    assert listing_digest(corpus, tmp_path / "kept.parquet") == listing_digest(corpus)
    assert not (tmp_path / "kept.parquet").exists()


def test_a_listing_of_another_folder_is_made_anew_and_another_file_is_left_alone(corpus, tmp_path):
    kept = tmp_path / "kept.parquet"
    below(corpus, kept)
    shutil.copytree(corpus, tmp_path / "other")
    assert [*below(tmp_path / "other", kept).files()] == [*below(tmp_path / "other").files()]
    pq.write_table(pa.table({"mine": [1]}), kept)
    with pytest.raises(ManifestError, match=r"exists and is not a listing of a folder, so it is not replaced"):
        below(corpus, kept)
