"""Neighbours in a store: exact search is that of the whole matrix, and an index finds nearly the same."""

import json
import shutil

import numpy as np
import pytest

from reseed.stages.all_pairs import all_pairs, nearest_of_all
from reseed.stages.neighbours import neighbours
from reseed.stages.search import index as indexes
from reseed.stages.search import search as searching
from reseed.stages.search.index import place
from reseed.stages.search.search import neighbours as nearest_in
from reseed.stages.search.search import search_in
from reseed.stages.search.vectors import blocks, directions
from reseed.store import ConfigError, EmbeddingStore, StoreError, WriteError
from tests.stages.stores import write_store

COUNT = 2000


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    """A store that is written once."""
    return write_store(tmp_path_factory.mktemp("kept") / "store", utterances=COUNT, shards=3, views=("clean", "noise"))


@pytest.fixture
def store(kept, tmp_path):
    shutil.copytree(kept.path, tmp_path / "store")
    return EmbeddingStore(tmp_path / "store")


@pytest.fixture
def without_faiss(monkeypatch):
    def absent():
        raise ConfigError("an index needs the extra search")

    monkeypatch.setattr(indexes, "faiss", absent)


def unit_vectors(store, view):
    vectors = np.asarray(store.vectors(view), np.float64).reshape(COUNT, store.crops, -1)
    mean = (vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)).mean(axis=1)
    return mean / np.linalg.norm(mean, axis=-1, keepdims=True)


def test_exact_search_finds_what_the_whole_matrix_says_nearest_first(store):
    units = unit_vectors(store, "noise")
    query = units[:40] * 7 + np.random.default_rng(0).normal(size=(40, 16))
    rows, cosines = nearest_in(store, query, 5, view="noise")
    wanted = query / np.linalg.norm(query, axis=1, keepdims=True) @ units.T
    assert (rows == np.argsort(-wanted, axis=1)[:, :5]).all()
    np.testing.assert_allclose(cosines, np.sort(wanted, axis=1)[:, ::-1][:, :5], atol=1e-5)


def test_there_are_no_more_neighbours_than_utterances(tmp_path):
    small = write_store(tmp_path / "small", utterances=3)
    rows, _ = nearest_in(small, np.ones((2, 16)), 10)
    assert rows.shape == (2, 3)


def test_an_index_finds_what_it_says_and_its_cosines_are_exact(store):
    pytest.importorskip("faiss")
    search = search_in(store, "clean", index=True)
    query = unit_vectors(store, "clean")[::7]
    exact, _ = nearest_in(store, query, 10, index=False)
    found, cosines = search.nearest(query, 10)
    share = np.mean([np.isin(one, other).mean() for one, other in zip(exact, found, strict=True)])
    assert search.recall >= 0.99
    assert share >= 0.97
    np.testing.assert_allclose(cosines, np.einsum("qd,qkd->qk", query, unit_vectors(store, "clean")[found]), atol=1e-5)


def test_an_index_is_used_while_the_store_is_what_it_was(store, tmp_path):
    pytest.importorskip("faiss")
    search_in(store, "clean", index=True)
    assert place(store, "clean") == tmp_path / "store.index" / "clean.faiss"
    assert search_in(store, "clean").index is not None
    assert search_in(store, "noise").index is None
    shutil.rmtree(tmp_path / "store")
    assert search_in(write_store(tmp_path / "store", utterances=COUNT, seed=1), "clean").index is None
    assert search_in(store.path, "clean", index=True).index is not None  # made anew in its place


@pytest.mark.parametrize("name", ["clean.faiss", "clean.json"])
def test_a_damaged_index_is_not_used(store, tmp_path, name):
    pytest.importorskip("faiss")
    search_in(store, "clean", index=True)
    file = tmp_path / "store.index" / name
    file.write_bytes(file.read_bytes()[:-9])
    assert search_in(store, "clean").index is None


def test_what_is_no_index_is_not_replaced(store, tmp_path):
    pytest.importorskip("faiss")
    (tmp_path / "store.index").mkdir()
    (tmp_path / "store.index" / "clean.faiss").write_text("mine")
    with pytest.raises(ConfigError, match="exists and is not an index, so it is not replaced"):
        search_in(store, "clean", index=True)
    assert (tmp_path / "store.index" / "clean.faiss").read_text() == "mine"


def test_without_faiss_search_is_exact_and_an_index_is_refused_in_a_line(store, without_faiss):
    assert search_in(store, "clean").index is None
    with pytest.raises(ConfigError, match="needs the extra search"):
        search_in(store, "clean", index=True)


def test_a_vector_without_direction_is_near_to_nothing():
    assert (directions(np.array([[[0.0, 0.0]], [[np.nan, 1.0]]], np.float32)) == 0).all()


@pytest.mark.parametrize("by_index", [True, False])
def test_the_nearest_of_all_are_those_of_all_pairs(store, tmp_path, monkeypatch, by_index):
    if by_index:
        pytest.importorskip("faiss")
        monkeypatch.setattr(searching, "LARGE", 1000)
    asked = {"store": store.path, "view": "clean"}
    all_pairs(**asked, top=4, neighbours=tmp_path / "all.parquet")
    found = nearest_of_all(**asked, nearest=4, neighbours=tmp_path / "nearest.parquet")
    assert (found.recall is not None) == by_index
    every, some = (ranks(tmp_path / name) for name in ("all.parquet", "nearest.parquet"))
    assert len(some) == 4 * COUNT
    assert np.mean([some[key][0] == value[0] for key, value in every.items()]) > (0.97 if by_index else 0.999)
    assert json.loads(json.dumps(found.to_json()))["utterances"] == COUNT


def ranks(path):
    import pyarrow.parquet as pq

    rows = pq.read_table(path).to_pylist()
    return {(row["utterance_id"], row["rank"]): (row["neighbour_id"], row["same_speaker"]) for row in rows}


def test_the_command_names_the_nearest_and_says_how_they_were_found(store):
    found = neighbours(store=store.path, utterance="utt-007", view="clean", k=3)
    row = int(np.argsort(-(unit_vectors(store, "clean") @ unit_vectors(store, "clean")[7]))[1])
    assert found.nearest[0].utterance_id == f"utt-{row:03d}"
    assert len(found.nearest) == 3
    assert "nearest to utt-007" in found.summary()
    assert "exact, of every utterance" in found.summary()
    with pytest.raises(StoreError, match="no utterance 'nobody' among 2000 stored"):
        neighbours(store=store.path, utterance="nobody")
    with pytest.raises(StoreError, match="has the views clean, noise, not 'x'; name one of them"):
        neighbours(store=store.path, utterance="utt-007", view="x")


def test_blocks_are_all_utterances_in_order(store):
    whole = np.concatenate(list(blocks(store, "noise")))
    np.testing.assert_allclose(whole, unit_vectors(store, "noise"), atol=1e-6)


@pytest.mark.parametrize("utterances", [1, 2, 12, 700])
def test_small_stores_of_many_dimensions_can_be_indexed_too(tmp_path, utterances):
    pytest.importorskip("faiss")
    small = write_store(tmp_path / "small", utterances=utterances, dim=64, views=("clean",))
    search = search_in(small, "clean", index=True)
    rows, _ = search.nearest(next(search.blocks(1)), 3)
    assert rows[0, 0] == 0
    assert search.recall >= 0.9


def test_an_index_that_cannot_be_kept_is_used_all_the_same(store, monkeypatch, capsys):
    pytest.importorskip("faiss")

    def refuse(*arguments):
        raise WriteError("store.index cannot be written (Read-only file system)")

    monkeypatch.setattr(indexes, "_keep", refuse)
    assert search_in(store, "clean", index=True).recall >= 0.99
    assert "used this once and not kept" in capsys.readouterr().err
    assert not place(store, "clean").exists()
