"""Flip bits, cut files, swap shards, kill writers: nothing damaged is ever taken for whole."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest

from reseed.store import EmbeddingStore, StoreError, problems, undamaged
from reseed.store.atomic import _sha256_of
from tests.store.stores import assert_same_files, write

ROOT = Path(__file__).resolve().parents[2]
MANY = [(f"u{2 * i}", f"u{2 * i + 1}") for i in range(40)]
KILLS = int(os.environ.get("RESEED_KILLS", "8"))  # 200 where it matters


def flip(path: Path, generator: random.Random) -> None:
    data = bytearray(path.read_bytes())
    data[generator.randrange(len(data))] ^= 1 << generator.randrange(8)
    path.write_bytes(data)


def read_all(path: Path) -> np.ndarray:
    """Read all that a store holds."""
    store = EmbeddingStore(path)
    store.rows()
    store.rejects()
    return store.vectors()


@pytest.mark.parametrize("layout", ["hdf5", "parquet"])
def test_every_flipped_bit_is_named_by_verify_and_never_read(tmp_path, layout):
    write(tmp_path / "whole", vectors=layout)
    generator = random.Random(layout)
    for trial in range(100):
        shutil.copytree(tmp_path / "whole", tmp_path / "hit")
        victims = sorted(path for path in (tmp_path / "hit").rglob("*") if path.is_file())
        victim = victims[trial % len(victims)]
        flip(victim, generator)
        with pytest.raises(StoreError, match=victim.name):
            EmbeddingStore(tmp_path / "hit").verify()
        with pytest.raises(StoreError, match=victim.name):
            read_all(tmp_path / "hit")
        shutil.rmtree(tmp_path / "hit")


def test_a_file_is_hashed_once_as_long_as_it_is_the_same(tmp_path):
    write(tmp_path)
    before = _sha256_of.cache_info().misses
    for _ in range(3):
        store = EmbeddingStore(tmp_path)
        store.vectors()
        store.get("u0", view=store.views[0])
    vectors = tmp_path / store.shards[0].files[0].name
    assert _sha256_of.cache_info().misses - before <= sum(len(shard.files) for shard in store.shards)
    flip(vectors, random.Random(0))
    with pytest.raises(StoreError, match=vectors.name):
        EmbeddingStore(tmp_path).vectors()


@pytest.mark.parametrize("layout", ["hdf5", "parquet"])
def test_on_slow_disks_the_pass_over_vectors_can_be_left_out(tmp_path, layout, monkeypatch):
    monkeypatch.setenv("RESEED_CHECK_VECTORS", "0")
    write(tmp_path, vectors=layout)
    shard = EmbeddingStore(tmp_path).shards[0]
    before, vectors = _sha256_of.cache_info().misses, tmp_path / shard.files[0].name
    EmbeddingStore(tmp_path).vectors()
    assert _sha256_of.cache_info().misses == before
    if layout == "hdf5":
        flip(tmp_path / shard.files[1].name, random.Random(0))
        with pytest.raises(StoreError, match="is damaged"):
            EmbeddingStore(tmp_path).rows()
    flip(vectors, random.Random(0))
    with pytest.raises(StoreError, match=vectors.name):
        EmbeddingStore(tmp_path).verify()


@pytest.mark.parametrize("suffix", ["h5", "parquet"])
def test_missing_and_cut_files_are_named_at_opening(tmp_path, suffix):
    write(tmp_path)
    path = sorted(tmp_path.glob(f"shards/*.{suffix}"))[1]
    whole = path.read_bytes()
    path.write_bytes(whole[:-1])
    with pytest.raises(StoreError, match=rf"{path.name} has \d+ bytes, store.json says"):
        EmbeddingStore(tmp_path)
    path.unlink()
    with pytest.raises(StoreError, match=f"{path.name} is missing"):
        EmbeddingStore(tmp_path)


def test_a_shard_cut_or_removed_under_an_open_store_is_one_clear_error(tmp_path):
    write(tmp_path)
    store = EmbeddingStore(tmp_path)
    store.vectors()
    path = next(tmp_path.glob("shards/*.h5"))
    os.truncate(path, 100)
    with pytest.raises(StoreError, match=f"{path.name} has been cut or removed since it was opened"):
        store.vectors()
    path.unlink()
    with pytest.raises(StoreError, match=f"{path.name} has been cut or removed since it was opened"):
        store.vectors()


@pytest.mark.parametrize("suffix", ["h5", "parquet"])
def test_swapped_shards_are_found(tmp_path, suffix):
    write(tmp_path, shards=[("u0", "u1"), ("u2", "u3")])
    first, second = sorted(tmp_path.glob(f"shards/*.{suffix}"))
    first.rename(tmp_path / "aside")
    second.rename(first)
    (tmp_path / "aside").rename(second)
    with pytest.raises(StoreError, match=first.name):
        EmbeddingStore(tmp_path).verify()
    with pytest.raises(StoreError, match=first.name):
        read_all(tmp_path)


def test_an_altered_header_is_refused(tmp_path):
    write(tmp_path)
    text = (tmp_path / "store.json").read_text()
    (tmp_path / "store.json").write_text(text.replace("toy:1", "toy:2"))
    with pytest.raises(StoreError, match=r"store\.json was altered: its digest does not match"):
        EmbeddingStore(tmp_path)


def test_verify_tells_every_problem_and_what_the_manifest_lacks(tmp_path):
    write(tmp_path)
    generator = random.Random(1)
    for path in tmp_path.glob("shards/*.h5"):
        flip(path, generator)
    found = list(problems(tmp_path, EmbeddingStore(tmp_path).header, ["u0", "u1", "u2", "u7", "u8"]))
    assert sum("is damaged" in problem for problem in found) == 2
    assert "2 utterances of the manifest are neither stored nor rejected, first u7" in found[-1]


def test_the_digest_of_the_header_can_be_checked_by_hand(tmp_path):
    """As docs/store-format.md says it, without this package's code."""
    import hashlib

    write(tmp_path)
    text = (tmp_path / "store.json").read_text()
    digest = json.loads(text)["digest"]
    assert hashlib.sha256(text.replace(digest, "0" * 64).encode()).hexdigest() == digest


def test_writers_killed_at_random_moments_and_resumed_end_with_the_bytes_of_one_left_alone(tmp_path):
    """Kill real writers; whatever a reader sees in between is a whole store or none."""
    script = textwrap.dedent(
        """
        import sys
        from pathlib import Path
        from tests.store.test_damage import MANY
        from tests.store.stores import write
        print("ready", flush=True)
        while True:
            write(Path(sys.argv[1]), shards=MANY)
        """
    )
    write(tmp_path / "alone", shards=MANY)
    generator = random.Random(0)
    for trial in range(KILLS):
        victim = tmp_path / f"victim{trial}"
        command = [sys.executable, "-c", script, str(victim)]
        process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
        assert process.stdout.readline() == "ready\n"
        try:
            process.wait(timeout=generator.uniform(0.0, 0.6))
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
        process.communicate()
        assert process.returncode == -signal.SIGKILL
        if (victim / "store.json").exists():
            EmbeddingStore(victim).verify()
        else:
            with pytest.raises(StoreError, match="not a finished store"):
                EmbeddingStore(victim)
        write(victim, shards=MANY)
        assert_same_files(victim, tmp_path / "alone")


@pytest.mark.parametrize("layout", ["hdf5", "parquet"])
def test_the_undamaged_shards_of_a_store_can_still_be_opened(tmp_path, layout):
    write(tmp_path / "whole", vectors=layout)
    names = [shard.name for shard in EmbeddingStore(tmp_path / "whole").shards]
    victim = tmp_path / "whole" / EmbeddingStore(tmp_path / "whole").shards[0].files[-1].name
    flip(victim, random.Random(0))
    with pytest.raises(StoreError):
        EmbeddingStore(tmp_path / "whole").rows()
    found, problems_found = undamaged(tmp_path / "whole")
    assert [shard.name for shard in found.shards] == names[1:]
    assert len(problems_found) == 1
    assert victim.name in problems_found[0]
    opened = EmbeddingStore(tmp_path / "whole", header=found)
    assert len(opened.rows()) == len(opened) == sum(shard.rows for shard in found.shards)
