import json
import multiprocessing
import os
import pickle
import re
import shutil
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from dask.distributed import Client

from reseed.store import EmbeddingStore, StoreError
from reseed.store.inputs import DeclaredInputs, Parent
from tests.store.stores import ODD_IDS, VIEWS, declare, vectors_of, write

LAYOUTS = pytest.mark.parametrize("vectors", ["hdf5", "parquet"])


@LAYOUTS
@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_vectors_come_back_as_they_were_written(tmp_path, dtype, vectors):
    write(tmp_path, dtype=dtype, vectors=vectors)
    store = EmbeddingStore(tmp_path)
    assert store.dim == 4
    assert store.views == list(VIEWS)
    assert len(store) == 18
    assert store.vectors().dtype == dtype
    np.testing.assert_array_equal(store.vectors(), vectors_of(["u0", "u1", "u2"]).astype(dtype))
    assert store.vectors("noise").shape == (6, 4)
    assert store.rows().column_names[0] == "utterance_id"
    assert "embedding" not in store.rows().column_names


def test_pairs_are_strided_views_of_the_map_inside_one_shard(tmp_path):
    write(tmp_path, shards=[("u0", "u1", "u2")])
    clean, noisy = EmbeddingStore(tmp_path).pairs("clean", "noise")
    assert isinstance(noisy, np.memmap)
    assert not noisy.flags.owndata
    np.testing.assert_array_equal(noisy - clean, np.full((6, 4), 4.0))


@LAYOUTS
def test_get_finds_odd_ids_in_any_script(tmp_path, vectors):
    write(tmp_path, shards=[ODD_IDS[:2], ODD_IDS[2:]], vectors=vectors)
    store = EmbeddingStore(tmp_path)
    assert store.utterance_ids() == ODD_IDS
    for number, utterance_id in enumerate(ODD_IDS):
        np.testing.assert_array_equal(store.get(utterance_id, view="reverb", crop=1), store.vectors()[6 * number + 5])


def test_take_gathers_rows_over_shards_in_the_order_asked_for(tmp_path):
    write(tmp_path)
    store = EmbeddingStore(tmp_path)
    rows = np.array([17, 0, 12, 11, 0])
    np.testing.assert_array_equal(store.take(rows), store.vectors()[rows])
    assert store.take([]).shape == (0, 4)
    with pytest.raises(StoreError, match=r"rows 3\.\.18 asked for, there are 18"):
        store.take([3, 18])


def test_rows_push_columns_and_filters_down(tmp_path):
    write(tmp_path)
    rows = EmbeddingStore(tmp_path).rows(["utterance_id", "crop"], filters=[("view", "==", "noise"), ("crop", "==", 1)])
    assert rows.to_pylist() == [{"utterance_id": f"u{number}", "crop": 1} for number in range(3)]


def test_unknown_utterance_view_and_crop_are_named(tmp_path):
    write(tmp_path)
    store = EmbeddingStore(tmp_path)
    with pytest.raises(StoreError, match="no utterance 'u9' among 3 stored"):
        store.get("u9", view="clean")
    with pytest.raises(StoreError, match="no view 'hum'; there are clean, noise, reverb"):
        store.vectors("hum")
    with pytest.raises(StoreError, match="no crop 2; there are 2"):
        store.get("u0", view="clean", crop=2)


def test_several_stores_are_read_as_one(tmp_path):
    write(tmp_path / "a")
    write(tmp_path / "b", shards=[("v0", "v1")])
    joined = EmbeddingStore.concat([tmp_path / "a", EmbeddingStore(tmp_path / "b")])
    alone = [EmbeddingStore(tmp_path / name) for name in "ab"]
    assert (len(joined), joined.header.stored, len(joined.shards)) == (30, 5, 3)
    np.testing.assert_array_equal(joined.vectors(), np.concatenate([store.vectors() for store in alone]))
    np.testing.assert_array_equal(joined.get("v1", view="clean"), alone[1].get("v1", view="clean"))
    assert joined.utterance_ids() == ["u0", "u1", "u2", "v0", "v1"]
    joined.verify()
    with pytest.raises(StoreError, match="row numbers, not a mask"):
        joined.take(np.ones(30, bool))
    assert joined.fingerprint not in [store.fingerprint for store in alone]


@pytest.mark.parametrize("change", [{"space": "toy:2"}, {"dim": 5}, {"dtype": "float16"}])
def test_stores_of_different_kinds_are_not_read_as_one(tmp_path, change):
    write(tmp_path / "a")
    write(tmp_path / "b", **change)
    with pytest.raises(StoreError, match=f"a and .*b cannot be read as one: {next(iter(change))}"):
        EmbeddingStore.concat([tmp_path / "a", tmp_path / "b"])
    with pytest.raises(StoreError, match="no store to open"):
        EmbeddingStore.concat([])


def _sum_in_child(store: EmbeddingStore, queue) -> None:
    queue.put(float(np.sum(store.vectors("noise"))))


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_a_store_opened_before_a_fork_or_pickled_reads_the_same(tmp_path, method):
    write(tmp_path)
    store = EmbeddingStore(tmp_path)
    wanted = float(np.sum(store.vectors("noise")))
    context = multiprocessing.get_context(method)
    queue = context.Queue()
    children = [context.Process(target=_sum_in_child, args=(store, queue)) for _ in range(2)]
    for child in children:
        child.start()
    assert [queue.get(timeout=600) for _ in children] == [wanted, wanted]
    for child in children:
        child.join()
    assert len(pickle.loads(pickle.dumps(store))) == len(store)


def test_threads_may_share_a_store(tmp_path):
    write(tmp_path, shards=[(f"u{n}",) for n in range(20)])
    store = EmbeddingStore(tmp_path)
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda n: store.get(f"u{n % 20}", view="clean")[0], range(200)))
    assert found == [float(24 * (n % 20)) for n in range(200)]


def test_a_dask_cluster_of_processes_reads_an_opened_store(tmp_path):
    write(tmp_path, shards=[(f"u{n}",) for n in range(20)])
    store = EmbeddingStore(tmp_path)
    store.take([0])  # what it keeps must not travel
    with Client(n_workers=2, threads_per_worker=2, dashboard_address=":0") as client:
        futures = client.map(lambda n, store: float(store.get(f"u{n}", view="noise").sum()), range(20), store=store)
        sums = client.gather(futures)
        taken = client.submit(lambda store: store.take([119, 0]), store).result()
    assert sums == [float(store.get(f"u{n}", view="noise").sum()) for n in range(20)]
    np.testing.assert_array_equal(taken, store.vectors()[[119, 0]])


@LAYOUTS
def test_random_access_notices_a_shard_that_was_written_anew_or_cut(tmp_path, vectors):
    write(tmp_path, vectors=vectors)
    store = EmbeddingStore(tmp_path)
    before = store.take([5, 13])
    shutil.copytree(tmp_path, tmp_path / "copy")
    for path in store.path.glob("shards/*"):
        (tmp_path / "copy" / "shards" / path.name).replace(path)
    np.testing.assert_array_equal(store.take([5, 13]), before)
    for path in store.path.glob("shards/*"):
        os.truncate(path, 100)
    with pytest.raises(StoreError, match="cut or removed|cannot be read"):
        store.take([5, 13])


@LAYOUTS
def test_get_reads_no_catalogue_whose_statistics_rule_the_id_out(tmp_path, vectors):
    write(tmp_path, shards=[("u0", "u1"), ("u2", "u3"), ("u4", "u5")], vectors=vectors)
    store = EmbeddingStore(tmp_path)
    np.testing.assert_array_equal(store.get("u5", view="clean"), store.vectors()[30])
    assert ["utterances" in vars(store.shard(position)) for position in range(3)] == [False, False, True]


def test_a_directory_without_header_is_no_store(tmp_path):
    with pytest.raises(StoreError, match=r"not a finished store: it has no store\.json"):
        EmbeddingStore(tmp_path)


def test_a_run_where_a_store_is_wanted_names_its_stores(tmp_path):
    for name in ("ge2e/train", "ge2e/dev"):
        write(tmp_path / "stores" / name)
    (tmp_path / "stores/ge2e/unfinished").mkdir()
    first, second = (tmp_path / "stores/ge2e" / split for split in ("dev", "train"))
    said = f"{tmp_path} is a run; its stores are {first}, {second}: name one of them"
    with pytest.raises(StoreError, match=f"^{re.escape(said)}$"):
        EmbeddingStore(tmp_path)


def test_of_a_run_with_many_stores_only_some_are_named(tmp_path):
    for index in range(14):
        folder = tmp_path / "stores/ge2e" / f"{index:02}"
        folder.mkdir(parents=True)
        (folder / "store.json").touch()
    with pytest.raises(StoreError, match=r"ge2e/11 and 2 more: name one of them$"):
        EmbeddingStore(tmp_path)


def test_a_newer_version_is_refused(tmp_path):
    write(tmp_path)
    header = json.loads((tmp_path / "store.json").read_text())
    (tmp_path / "store.json").write_text(json.dumps({**header, "version": 2}))
    with pytest.raises(StoreError, match="format version 2; this reseed reads 1"):
        EmbeddingStore(tmp_path)


def test_the_fingerprint_ignores_where_parents_lie_and_sees_everything_else():
    at = [declare(lineage=(Parent(role="utterances", path=path, digest="d"),)).fingerprint for path in ("/a", "/b")]
    assert at[0] == at[1]
    seeded = DeclaredInputs(further={"seed": 1})
    others = [declare(**change).fingerprint for change in ({"crops": 3}, {"dtype": "float16"}, {"inputs": seeded})]
    reordered = declare(views=dict(reversed(VIEWS.items()))).fingerprint
    assert len({declare().fingerprint, reordered, *others}) == 5
