import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from reseed import StoreDataset
from reseed.store import EmbeddingStore, StoreError
from tests.stages.stores import write_store
from tests.store.stores import write


@pytest.mark.parametrize("shards", [1, 3])
def test_items_are_the_pairs_of_the_store_in_its_order(tmp_path, shards):
    store = write_store(tmp_path, shards=shards, dtype="float16")
    data = StoreDataset(store, ("noise", "clean"), speakers=True)
    noisy_ND, clean_ND = store.pairs("noise", "clean")
    assert len(data) == len(clean_ND) == 24
    items = [data[index] for index in range(len(data))]
    np.testing.assert_array_equal(torch.stack([item[0] for item in items]), noisy_ND.astype(np.float32))
    np.testing.assert_array_equal(torch.stack([item[1] for item in items]), clean_ND.astype(np.float32))
    speaker_N = np.repeat(store.speaker_ids(), store.crops)
    assert [data.speakers[item[2]] for item in items] == speaker_N.tolist()
    assert torch.equal(data[-1][0], items[-1][0])
    with pytest.raises(IndexError, match="has 24 crops; there is no number 24"):
        data[24]


@pytest.mark.parametrize("start", [None, "fork", "spawn"])
def test_loaders_with_and_without_workers_give_the_same_batches(tmp_path, start):
    store = write_store(tmp_path, shards=2)
    data = StoreDataset(store, ("clean", "noise"))
    loader = DataLoader(data, batch_size=7, num_workers=1 if start else 0, multiprocessing_context=start)
    clean_ND, noisy_ND = map(torch.cat, zip(*loader, strict=True))
    for found, expected in zip((clean_ND, noisy_ND), store.pairs("clean", "noise"), strict=True):
        np.testing.assert_array_equal(found, expected)


def test_a_batch_may_be_changed_without_the_store(tmp_path):
    store = write_store(tmp_path)
    (first_D,) = StoreDataset(store)[0]
    first_D.zero_()
    assert store.vectors("clean")[0].any()


def test_what_cannot_be_given_is_refused(tmp_path):
    write(tmp_path, shards=[["u0", "nobody"]])
    store = EmbeddingStore(tmp_path)
    with pytest.raises(StoreError, match=r"views are names in a list, e.g. \('clean', 'noise'\); got 'clean'"):
        StoreDataset(store, "clean")
    with pytest.raises(StoreError, match="no view 'dirty'; there are clean, noise, reverb"):
        StoreDataset(store, ("clean", "dirty"))
    with pytest.raises(StoreError, match="does not say who speaks in 1 of its 2 utterances; leave speakers out"):
        StoreDataset(store, speakers=True)
