"""Stores that lie elsewhere: as if they were here, each file fetched once, whatever the server does on the way."""

import os
import shutil
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from reseed.store import ConfigError, EmbeddingStore, StoreChangedError, StoreError, WriteError, cache, drop
from reseed.store.copying import copy_store, landing
from reseed.store.url import Url
from tests.object_server import EITHER, answers, breaks_off, forget, needs_http, needs_s3, served, server
from tests.store.stores import assert_same_files, write

__all__ = ["served", "server"]

FAR = "s3://bucket/far"
VECTORS = "00000-483ff0a4.h5"


@pytest.fixture
def near(tmp_path):
    write(tmp_path / "near")
    return tmp_path / "near"


@pytest.fixture
def bucket(served, near):
    """The same store in a bucket."""
    shutil.copytree(near, served.root / "bucket" / "far")
    return served.root / "bucket" / "far"


def fetched(server):
    """The files whose contents were asked for."""
    return [request.split()[1].rpartition("/")[2] for request in server.contents()]


@pytest.mark.parametrize("protocol", EITHER)
@pytest.mark.parametrize("layout", ["hdf5", "parquet"])
def test_what_is_read_elsewhere_is_what_is_read_here(served, tmp_path, protocol, layout):
    write(tmp_path / "near", vectors=layout)
    shutil.copytree(tmp_path / "near", served.root / "bucket" / "far")
    near = EmbeddingStore(tmp_path / "near")
    far = EmbeddingStore(str(served.place(protocol, "bucket/far")))
    assert np.array_equal(far.vectors(), near.vectors())
    assert all(map(np.array_equal, far.pairs("clean", "noise"), near.pairs("clean", "noise")))
    assert np.array_equal(far.take([17, 0]), near.take([17, 0]))
    assert far.rows().equals(near.rows())
    assert far.to_arrow("noise").equals(near.to_arrow("noise"))
    assert far.rejects() == near.rejects()
    assert far.header == near.header
    far.verify()


@needs_s3
def test_each_file_is_fetched_once_by_whichever_store_and_process_asks(served, near, bucket):
    shutil.copytree(bucket, served.root / "bucket" / "again")
    EmbeddingStore(FAR).vectors()
    forget()
    served.requests.clear()
    assert EmbeddingStore("s3://bucket/again").vectors().shape == (18, 4)
    assert fetched(served) == ["store.json"]


@needs_s3
def test_what_needs_no_vectors_fetches_none(served, bucket):
    store = EmbeddingStore(FAR)
    assert len(store) == 18
    assert fetched(served) == ["store.json"]
    store.rows(["view"])
    store.utterance_ids()
    assert not any(name.endswith(".h5") for name in fetched(served))


@needs_s3
def test_vectors_are_mapped_from_the_cache(served, bucket):
    mapped = EmbeddingStore(FAR).shard(0).vectors()
    assert isinstance(mapped, np.memmap)
    assert cache.cache_folder() in Path(mapped.filename).parents


@needs_s3
def test_a_damaged_file_of_the_cache_is_fetched_again(served, near, bucket):
    store = EmbeddingStore(FAR)
    expected = store.vectors().copy()
    for path in (cache.cache_folder() / "files").rglob("*.h5"):
        data = bytearray(path.read_bytes())
        data[-1] ^= 1
        path.write_bytes(data)
    forget()
    assert np.array_equal(EmbeddingStore(FAR).vectors(), expected)


@pytest.mark.parametrize("protocol", EITHER)
def test_what_fails_in_passing_is_tried_again(served, near, bucket, protocol):
    served.faults[:] = [answers(503), breaks_off, lambda _: False, breaks_off, answers(500)]
    place = str(served.place(protocol, "bucket/far"))
    assert np.array_equal(EmbeddingStore(place).vectors(), EmbeddingStore(near).vectors())


@needs_s3
def test_what_fails_for_good_is_said_in_one_line(served, bucket):
    served.faults[:] = [breaks_off] * 3
    with pytest.raises(StoreError, match=f"{FAR}/store.json cannot be read: .* 3 times") as raised:
        EmbeddingStore(FAR)
    assert "\n" not in str(raised.value)


@needs_s3
def test_a_fetch_that_was_interrupted_goes_on_where_it_was(served, near, bucket, monkeypatch):
    monkeypatch.setattr(cache, "_BLOCK", 400)
    monkeypatch.setattr(cache, "_AT_ONCE", 1)
    store = EmbeddingStore(FAR)
    served.faults[:] = [lambda _: False, lambda _: False, *[answers(500)] * 3]
    with pytest.raises(StoreError, match=rf"{FAR}/shards/{VECTORS} cannot be read: HTTP 500, 3 times"):
        store.shard(0).vectors()
    served.requests.clear()
    assert np.array_equal(store.vectors(), EmbeddingStore(near).vectors())
    parts = [each.split("bytes=")[1].strip() for each in served.contents() if VECTORS in each]
    assert parts == ["800-1199", "1200-1591"]


@needs_s3
def test_a_fetch_that_goes_on_in_another_file_begins_anew(served, near, bucket, monkeypatch):
    monkeypatch.setattr(cache, "_BLOCK", 400)
    monkeypatch.setattr(cache, "_AT_ONCE", 1)
    sound = (bucket / "shards" / VECTORS).read_bytes()
    (bucket / "shards" / VECTORS).write_bytes(bytes(len(sound)))
    served.faults[:] = [lambda _: False, *[answers(500)] * 3]
    with pytest.raises(StoreError, match="HTTP 500"):
        EmbeddingStore(FAR).shard(0).vectors()
    (bucket / "shards" / VECTORS).write_bytes(sound)
    assert np.array_equal(EmbeddingStore(FAR).vectors(), EmbeddingStore(near).vectors())


@needs_s3
def test_several_who_want_a_file_fetch_it_once(served, bucket):
    served.delay_s = 0.02
    try:
        threads = [threading.Thread(target=lambda: EmbeddingStore(FAR).shard(0).vectors()) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        served.delay_s = 0.0
    assert fetched(served).count(VECTORS) == 1


@needs_s3
@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda path: path.unlink(), "is missing; copy the store there again"),
        (lambda path: path.write_bytes(b"cut"), "has 3 bytes, store.json says 1592; copy"),
        (
            lambda path: path.write_bytes(bytes(1592)),
            "is damaged: its SHA-256 is another; copy",
        ),
    ],
)
def test_a_shard_that_is_missing_cut_or_replaced_is_named_and_nothing_of_it_kept(served, bucket, change, said):
    store = EmbeddingStore(FAR)
    change(bucket / "shards" / VECTORS)
    with pytest.raises(StoreError, match=f"{FAR}/shards/{VECTORS} {said}") as raised:
        store.shard(0).vectors()
    assert not isinstance(raised.value, StoreChangedError)
    assert not [*cache.cache_folder().rglob("*.h5")]


@needs_s3
def test_a_store_that_was_changed_under_way_is_told_from_a_damaged_one(served, near, bucket):
    store = EmbeddingStore(FAR)
    drop(near, utterances=["u0"])
    copy_store(near, Url(FAR))
    with pytest.raises(StoreChangedError, match=f"{FAR} was changed since it was opened; open it again"):
        store.vectors()
    assert EmbeddingStore(FAR).utterance_ids() == ["u1", "u2"]


@needs_s3
def test_verify_finds_a_flipped_byte_there_though_a_sound_file_is_kept_here(served, bucket):
    store = EmbeddingStore(FAR)
    store.vectors()
    data = bytearray((bucket / "shards" / VECTORS).read_bytes())
    data[-1] ^= 1
    (bucket / "shards" / VECTORS).write_bytes(data)
    with pytest.raises(StoreError, match=rf"{FAR}/shards/{VECTORS} is damaged"):
        store.verify()


@needs_s3
def test_the_cache_lets_go_of_what_was_not_read_for_longest(served, bucket, monkeypatch):
    store = EmbeddingStore(FAR)
    store.vectors()
    first, second = (store.shard(place).vectors().filename for place in (0, 1))
    for age_s, path in ((7200, first), (3600, second)):
        os.utime(path, (time.time() - age_s,) * 2)
    store.shard(0).vectors()
    monkeypatch.setenv("RESEED_CACHE_GB", "3e-6")
    mapped = store.shard(1).vectors()
    os.utime(second, (time.time() - 3600,) * 2)
    store.rows()
    assert Path(first).exists()
    assert not Path(second).exists()
    assert np.isfinite(mapped).all(), "what is mapped stays readable"
    assert np.array_equal(store.shard(1).vectors(), mapped)
    monkeypatch.setenv("RESEED_CACHE_GB", "much")
    shutil.rmtree(cache.cache_folder())
    with pytest.raises(ConfigError, match="RESEED_CACHE_GB is 'much', not how many gigabytes"):
        store.vectors()


@needs_s3
def test_a_cache_that_cannot_be_written_is_named(served, bucket, tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("RESEED_CACHE", str(tmp_path / "file"))
    with pytest.raises(WriteError, match=str(tmp_path / "file")):
        EmbeddingStore(FAR).vectors()


@needs_http
def test_a_server_that_sends_no_parts_of_files_sends_them_whole(served, near, bucket):
    served.has_ranges = False
    far = EmbeddingStore(str(served.place("http", "bucket/far")))
    assert np.array_equal(far.vectors(), EmbeddingStore(near).vectors())


@needs_s3
@pytest.mark.parametrize(
    ("place", "said"),
    [
        ("s3://bucket/none", "s3://bucket/none is not a finished store: it has no store.json; bring one there"),
        ("what://bucket/a", "what://bucket/a is an address of a kind that is not read"),
        ("s3://key:secret@bucket/a", "s3://...@bucket/a is an address with a password"),
    ],
)
def test_a_place_without_a_store_is_said_to_be_none(served, place, said):
    with pytest.raises(StoreError, match=said) as raised:
        EmbeddingStore(place)
    assert "secret" not in str(raised.value)


@needs_s3
def test_who_may_not_read_a_store_is_told_so(served, bucket):
    served.faults[:] = [answers(403, "AccessDenied")]
    with pytest.raises(StoreError, match=f"{FAR}/store.json cannot be read: access is denied"):
        EmbeddingStore(FAR)


@needs_s3
def test_a_copy_there_and_back_is_the_same_byte_for_byte(served, near, tmp_path):
    assert copy_store(near, Url(FAR)).files == 4
    assert_same_files(near, served.root / "bucket" / "far")
    assert copy_store(Url(FAR), tmp_path / "back").files == 4
    assert_same_files(near, tmp_path / "back")
    assert copy_store(near, tmp_path / "beside").files == 4
    assert_same_files(near, tmp_path / "beside")


@needs_s3
def test_a_copy_elsewhere_ends_with_the_header_and_goes_on_where_it_was(served, near):
    served.put_faults[:] = [answers(503), lambda _: False, lambda _: False, *[answers(500)] * 12]
    with pytest.raises(WriteError, match=rf"{FAR} cannot be written: HTTP 500, 3 times"):
        copy_store(near, Url(FAR))
    with pytest.raises(StoreError, match="is not a finished store"):
        EmbeddingStore(FAR)
    served.put_faults.clear()
    served.requests.clear()
    assert copy_store(near, Url(FAR)).files == 2
    assert [each.split()[1] for each in served.requests if each.startswith("PUT")][-2] == "/bucket/far/store.json"
    served.requests.clear()
    assert copy_store(near, Url(FAR)).files == 0
    assert [each.split()[1] for each in served.requests if each.startswith("PUT")] == ["/bucket/far/store.json"]


@needs_s3
def test_what_was_altered_elsewhere_is_copied_again(served, near):
    copy_store(near, Url(FAR))
    altered = served.root / "bucket" / "far" / "shards" / VECTORS
    altered.write_bytes(bytes(altered.stat().st_size))
    assert copy_store(near, Url(FAR)).files == 1
    assert_same_files(near, served.root / "bucket" / "far")


@needs_s3
def test_what_was_dropped_is_gone_elsewhere_once_the_store_is_copied_again(served, near):
    copy_store(near, Url(FAR))
    drop(near, utterances=["u0"])
    copy_store(near, Url(FAR))
    assert_same_files(near, served.root / "bucket" / "far")


@needs_s3
def test_a_damaged_store_is_not_copied(served, near):
    path = near / "shards" / VECTORS
    path.write_bytes(bytes(path.stat().st_size))
    with pytest.raises(StoreError, match=f"{path} is damaged"):
        copy_store(near, Url(FAR))
    assert not (served.root / "bucket" / "far" / "store.json").exists()


@needs_s3
def test_only_a_store_is_replaced_elsewhere(served, near):
    (served.root / "bucket").mkdir()
    (served.root / "bucket" / "mine.txt").touch()
    with pytest.raises(StoreError, match=r"s3://bucket holds 'mine.txt', which is no part of a store; choose another"):
        copy_store(near, Url("s3://bucket"))
    (served.root / "bucket" / "far").mkdir()
    (served.root / "bucket" / "far" / "store.json").write_text("{}")
    with pytest.raises(StoreError, match=r"far/store.json is not that of a store, so it is not replaced"):
        copy_store(near, Url(FAR))
    with pytest.raises(StoreError, match="is on a web server, where nothing can be written"):
        copy_store(near, served.place("http", "bucket/new"))
    with pytest.raises(StoreError, match=f"{FAR} is {FAR}, which is to be read"):
        copy_store(Url(FAR), Url(FAR))


@needs_s3
def test_a_damaged_store_elsewhere_is_made_anew(served, bucket, near):
    (bucket / "shards" / VECTORS).unlink()
    with landing(Url(FAR)) as folder:
        write(folder)
    assert_same_files(near, bucket)


@needs_s3
def test_a_store_that_is_made_for_another_place_goes_there_once_it_is_finished(served, tmp_path):
    def make(fails=False):
        with landing(Url(FAR)) as folder:
            write(folder)
            if fails:
                raise KeyboardInterrupt
            return sorted(path.stat().st_mtime_ns for path in folder.rglob("*.h5"))

    with pytest.raises(KeyboardInterrupt):
        make(fails=True)
    with pytest.raises(StoreError, match="is not a finished store"):
        EmbeddingStore(FAR)
    make()
    EmbeddingStore(FAR).verify()
    assert not [*(cache.cache_folder() / "outgoing").iterdir()]
    with landing(Url(FAR)) as folder:  # what is there is not made again
        assert EmbeddingStore(folder).header == EmbeddingStore(FAR).header
    with pytest.raises(StoreError, match="which is to be read"), landing(Url(FAR), Url(FAR)):
        pass
