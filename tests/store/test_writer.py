import fcntl
import os
import shutil
import subprocess

import numpy as np
import pytest

from reseed.store import EmbeddingStore, Reject, StoreError, WriteError, finalise, read_rejects, write_shard
from reseed.store.format import shard_name
from reseed.store.inputs import DeclaredInputs
from tests.store.stores import assert_same_files, catalogue_of, declare, vectors_of, write, write_shards


def test_the_same_input_gives_the_same_bytes(tmp_path):
    for name in ("a", "b"):
        write(tmp_path / name)
    assert_same_files(tmp_path / "a", tmp_path / "b")


def test_finalise_names_missing_shards_and_wrong_counts(tmp_path):
    declaration = declare()
    (name,) = write_shards(tmp_path, [("u0",)], declaration)
    with pytest.raises(StoreError, match="1 of 2 shards are missing or damaged, first 00001-00000000"):
        finalise(tmp_path, declaration, [name, "00001-00000000"], 2)
    with pytest.raises(StoreError, match=r"1 stored \+ 0 rejected utterances are not the 2 asked for"):
        finalise(tmp_path, declaration, [name], 2)


def test_a_store_of_rejects_alone_is_a_store(tmp_path):
    reject = Reject("u0", "extract", "is silent")
    assert finalise(tmp_path, declare(), [], 1, [reject]).rejected == 1
    assert len(EmbeddingStore(tmp_path)) == 0


def test_the_old_store_stays_readable_until_the_new_one_is_finalised(tmp_path):
    write(tmp_path)
    old = EmbeddingStore(tmp_path).vectors().copy()
    declaration = declare(inputs=DeclaredInputs(further={"seed": 2}))
    names = write_shards(tmp_path, [("u5",)], declaration)
    np.testing.assert_array_equal(EmbeddingStore(tmp_path).vectors(), old)
    finalise(tmp_path, declaration, names, 1)
    assert EmbeddingStore(tmp_path).utterance_ids() == ["u5"]
    assert len(list((tmp_path / "shards").iterdir())) == 2, "the old shards are gone"


@pytest.mark.parametrize(
    ("vectors", "utterances", "message"),
    [
        (np.zeros((6, 5), np.float32), ["u"], r"shape \(6, 5\), the store holds \[rows, 4\]"),
        (np.zeros((5, 4), np.float32), ["u"], "5 vectors but 6 catalogue rows"),
        (np.full((6, 4), np.nan, np.float32), ["u"], "6 vectors are not finite, first utterance u"),
        (np.full((6, 4), 1e6, np.float32), ["u"], "6 vectors are not finite as float16, first utterance u"),
    ],
)
def test_vectors_that_do_not_fit_are_refused(tmp_path, vectors, utterances, message):
    with pytest.raises(StoreError, match=message):
        write_shard(tmp_path, 0, vectors, catalogue_of(utterances), declare(dtype="float16"))


@pytest.mark.parametrize("change", [{"dtype": "float64"}, {"dim": 0}, {"crops": 0}, {"views": {}}, {"vectors": "csv"}])
def test_a_declaration_that_cannot_be_stored_is_refused(change):
    with pytest.raises(StoreError, match="choose one of|a store needs"):
        declare(**change)


def test_rejects_are_counted_and_listed(tmp_path):
    declaration, reject = declare(), Reject("u1", "extract", "x.wav is silent")
    name = write_shard(tmp_path, 0, vectors_of(["u0"]), catalogue_of(["u0"]), declaration, [reject])
    header = finalise(tmp_path, declaration, [name], 2)
    assert (header.stored, header.rejected) == (1, 1)
    assert read_rejects(tmp_path / "rejects.parquet") == [reject]


def test_a_second_writer_on_one_shard_is_refused(tmp_path):
    declaration = declare()
    lock = tmp_path / "shards" / f".{shard_name(0, declaration.fingerprint, '')}.lock"
    lock.parent.mkdir()
    with lock.open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(StoreError, match=r"shard 00000-\w+ is being written by another process"):
            write_shard(tmp_path, 0, vectors_of(["u0"]), catalogue_of(["u0"]), declaration)
    write_shard(tmp_path, 0, vectors_of(["u0"]), catalogue_of(["u0"]), declaration)


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 256 KiB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(disk)]
    if os.geteuid() != 0 or subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("mounting a small file system needs root")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


@pytest.mark.parametrize("vectors", ["hdf5", "parquet"])
def test_a_full_disk_is_one_clear_error_and_nothing_is_lost(small_disk, vectors):
    write(small_disk / "store", vectors=vectors)
    ballast = small_disk / "ballast"
    ballast.write_bytes(b"x" * 100_000)
    wide = declare(dim=4, inputs=DeclaredInputs(further={"seed": 9}), vectors=vectors)
    many = [f"u{number}" for number in range(2_000)]
    noise = np.random.default_rng(0).normal(size=(12_000, 4)).astype(np.float32)
    said = r"(h5|parquet) cannot be written: it needs more than the [\d.]+ MB that are free on the disk; make room"
    with pytest.raises(WriteError, match=said):
        write_shard(small_disk / "store", 0, noise, catalogue_of(many), wide)
    EmbeddingStore(small_disk / "store").verify()
    assert not list((small_disk / "store" / "shards").glob(".*tmp*")), "the half-written file is gone"
    ballast.unlink()
    subprocess.run(["mount", "-o", "remount,size=2m", str(small_disk)], check=True)
    name = write_shard(small_disk / "store", 0, noise, catalogue_of(many), wide)
    finalise(small_disk / "store", wide, [name], 2_000)
    np.testing.assert_array_equal(EmbeddingStore(small_disk / "store").vectors(), noise)


def test_a_directory_that_cannot_be_written_is_named(tmp_path):
    target = tmp_path / "file"
    target.touch()
    with pytest.raises(WriteError, match=r"file/shards/.* cannot be written \(Not a directory\); give a"):
        write_shard(target, 0, vectors_of(["u0"]), catalogue_of(["u0"]), declare())


def test_leftovers_of_killed_writers_are_removed(tmp_path):
    write(tmp_path / "clean")
    (tmp_path / "s" / "shards").mkdir(parents=True)
    (tmp_path / "s" / "shards" / ".00000-aaaaaaaa.h5.tmp-1").write_bytes(b"half")
    (tmp_path / "s" / "shards" / "00009-aaaaaaaa.h5").write_bytes(b"of an older state")
    write(tmp_path / "s")
    assert_same_files(tmp_path / "clean", tmp_path / "s")
    shutil.rmtree(tmp_path / "s")
