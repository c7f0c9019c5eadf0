import json
import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from store import Declaration, EmbeddingStore, Reject, StoreError, begin_store, finalise, read_rejects, write_shard

VIEWS = {"clean": {}, "noise": {"noise": [0, 15]}, "reverb": {"reverb": True}}
ODD_IDS = ["a/b c", "quo'te\"d", "日本語/ünï", "x" * 10_000]


def declare(**changes) -> Declaration:
    return Declaration(
        **{"dim": 4, "dtype": "float32", "views": VIEWS, "crops": 2, "space": "toy:1", "inputs": {}, **changes}
    )


def vectors_of(utterances: list[str], dim: int = 4) -> np.ndarray:
    """Each vector says which row it is."""
    rows = len(utterances) * 2 * len(VIEWS)
    return np.arange(rows * dim, dtype=np.float32).reshape(rows, dim)


def catalogue_of(utterances: list[str]) -> pa.Table:
    rows = [(u, crop, view) for u in utterances for crop in range(2) for view in VIEWS]
    ids, crops, views = zip(*rows, strict=True)
    return pa.table({"utterance_id": ids, "view": views, "crop": pa.array(crops, pa.int32())})


def write(path: Path, shards=(("u0", "u1"), ("u2",)), **changes) -> Declaration:
    declaration = declare(**changes)
    begin_store(path)
    for index, utterances in enumerate(shards):
        write_shard(path, index, vectors_of(list(utterances)), catalogue_of(list(utterances)), declaration)
    finalise(path, declaration, len(shards), sum(len(u) for u in shards))
    return declaration


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_vectors_come_back_as_they_were_written(tmp_path, dtype):
    write(tmp_path, dtype=dtype)
    store = EmbeddingStore(tmp_path)
    assert store.dim == 4
    assert store.views == ["clean", "noise", "reverb"]
    assert len(store) == 18
    np.testing.assert_array_equal(store.vectors()[:12], vectors_of(["u0", "u1"]).astype(dtype))
    assert store.vectors("noise").shape == (6, 4)


def test_pairs_are_strided_views_of_the_map_inside_one_shard(tmp_path):
    write(tmp_path, shards=[("u0", "u1", "u2")])
    clean, noisy = EmbeddingStore(tmp_path).pairs("clean", "noise")
    assert np.shares_memory(clean, clean.base)
    assert isinstance(noisy, np.memmap)
    np.testing.assert_array_equal(noisy - clean, np.full((6, 4), 4.0))


def test_get_finds_odd_ids_in_any_script(tmp_path):
    write(tmp_path, shards=[ODD_IDS[:2], ODD_IDS[2:]])
    store = EmbeddingStore(tmp_path)
    for utterance_id in ODD_IDS:
        row = store.rows(["utterance_id"])["utterance_id"].to_pylist().index(utterance_id)
        np.testing.assert_array_equal(store.get(utterance_id, view="reverb", crop=1), store.vectors()[row + 5])


def test_unknown_utterance_view_and_crop_are_named(tmp_path):
    write(tmp_path)
    store = EmbeddingStore(tmp_path)
    with pytest.raises(StoreError, match="no utterance 'u9' among 3 stored"):
        store.get("u9", view="clean")
    with pytest.raises(StoreError, match="no view 'hum'; there are clean, noise, reverb"):
        store.vectors("hum")
    with pytest.raises(StoreError, match="no crop 2; there are 2"):
        store.get("u0", view="clean", crop=2)


def test_the_same_input_gives_the_same_bytes(tmp_path):
    for name in ("a", "b"):
        write(tmp_path / name)
    assert_same_files(tmp_path / "a", tmp_path / "b")


def assert_same_files(first: Path, second: Path) -> None:
    files = sorted(path.relative_to(first) for path in first.rglob("*") if path.is_file())
    assert files == sorted(path.relative_to(second) for path in second.rglob("*") if path.is_file())
    for name in files:
        assert (first / name).read_bytes() == (second / name).read_bytes(), name


def test_a_directory_without_header_is_no_store(tmp_path):
    with pytest.raises(StoreError, match=r"not a finished store: it has no store\.json"):
        EmbeddingStore(tmp_path)


def test_a_newer_version_is_refused(tmp_path):
    write(tmp_path)
    header = json.loads((tmp_path / "store.json").read_text())
    (tmp_path / "store.json").write_text(json.dumps({**header, "version": 2}))
    with pytest.raises(StoreError, match="format version 2; this reseed reads 1"):
        EmbeddingStore(tmp_path)


def test_an_altered_header_is_refused(tmp_path):
    write(tmp_path)
    text = (tmp_path / "store.json").read_text()
    (tmp_path / "store.json").write_text(text.replace("toy:1", "toy:2"))
    with pytest.raises(StoreError, match="fingerprint"):
        EmbeddingStore(tmp_path)


@pytest.mark.parametrize("name", ["shards/00001.h5", "shards/00001.parquet"])
def test_missing_cut_and_flipped_files_are_named(tmp_path, name):
    write(tmp_path)
    path = tmp_path / name
    whole = path.read_bytes()
    flipped = bytearray(whole)
    flipped[len(whole) // 2] ^= 1
    path.write_bytes(flipped)
    with pytest.raises(StoreError, match=f"{path.name} is damaged"):
        EmbeddingStore(tmp_path).verify()
    path.write_bytes(whole[:-1])
    with pytest.raises(StoreError, match=rf"{path.name} has \d+ bytes"):
        EmbeddingStore(tmp_path)
    path.unlink()
    with pytest.raises(StoreError, match=f"{path.name} is missing"):
        EmbeddingStore(tmp_path)


def test_finalise_names_missing_shards_and_wrong_counts(tmp_path):
    declaration = declare()
    begin_store(tmp_path)
    write_shard(tmp_path, 0, vectors_of(["u0"]), catalogue_of(["u0"]), declaration)
    with pytest.raises(StoreError, match=r"shards \[1\] of 2 are missing"):
        finalise(tmp_path, declaration, 2, 2)
    with pytest.raises(StoreError, match=r"1 stored \+ 0 rejected utterances are not the 2 asked for"):
        finalise(tmp_path, declaration, 1, 2)


def test_a_shard_of_another_recipe_is_not_sealed_in(tmp_path):
    write(tmp_path)
    other = declare(inputs={"seed": 2})
    begin_store(tmp_path)
    assert not (tmp_path / "store.json").exists(), "a store about to be overwritten must stop being a store"
    with pytest.raises(StoreError, match=r"shards \[0, 1\] of 2 are missing or of another recipe"):
        finalise(tmp_path, other, 2, 3)


@pytest.mark.parametrize(
    ("vectors", "utterances", "message"),
    [
        (np.zeros((6, 5), np.float32), ["u"], r"shape \(6, 5\), the store holds \[rows, 4\]"),
        (np.zeros((5, 4), np.float32), ["u"], "5 vectors but 6 catalogue rows"),
        (np.full((6, 4), np.nan, np.float32), ["u"], "6 vectors are not finite, first utterance u"),
    ],
)
def test_vectors_that_do_not_fit_are_refused(tmp_path, vectors, utterances, message):
    with pytest.raises(StoreError, match=message):
        write_shard(tmp_path, 0, vectors, catalogue_of(utterances), declare())


def test_rejects_are_counted_and_listed(tmp_path):
    declaration, reject = declare(), Reject("u1", "extract", "x.wav is silent")
    begin_store(tmp_path)
    write_shard(tmp_path, 0, vectors_of(["u0"]), catalogue_of(["u0"]), declaration, [reject])
    header = finalise(tmp_path, declaration, 1, 2)
    assert (header.stored, header.rejected) == (1, 1)
    assert read_rejects(tmp_path / "rejects.parquet") == [reject]


def test_the_fingerprint_ignores_where_parents_lie_and_sees_everything_else():
    at = [declare(lineage=[{"role": "utterances", "path": path, "digest": "d"}]).fingerprint for path in ("/a", "/b")]
    assert at[0] == at[1]
    others = [declare(**change).fingerprint for change in ({"crops": 3}, {"dtype": "float16"}, {"inputs": {"seed": 1}})]
    reordered = declare(views=dict(reversed(VIEWS.items()))).fingerprint
    assert len({declare().fingerprint, reordered, *others}) == 5


def test_a_writer_killed_at_any_moment_leaves_no_half_store(tmp_path):
    """Kill real writers, look at what a reader sees, let one finish: the bytes are those of a run left alone."""
    script = textwrap.dedent(
        """
        import sys
        from pathlib import Path
        from tests.store.test_store import write
        write(Path(sys.argv[1]), shards=[(f"u{i}", f"v{i}") for i in range(40)])
        """
    )
    write(tmp_path / "alone", shards=[(f"u{i}", f"v{i}") for i in range(40)])
    victim = tmp_path / "victim"
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[2])}
    for shards_before_kill in (1, 13, 30):
        process = subprocess.Popen([sys.executable, "-c", script, str(victim)], env=environment)
        while len(list(victim.glob("shards/*.parquet"))) < shards_before_kill and process.poll() is None:
            pass
        process.send_signal(signal.SIGKILL)
        process.wait()
        if not (victim / "store.json").exists():
            with pytest.raises(StoreError, match="not a finished store"):
                EmbeddingStore(victim)
    write(victim, shards=[(f"u{i}", f"v{i}") for i in range(40)])
    assert_same_files(victim, tmp_path / "alone")
