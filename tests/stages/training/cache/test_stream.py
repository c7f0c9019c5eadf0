import gc
import json
import math
import os
import sys
from itertools import islice
from pathlib import Path
from subprocess import run
from types import SimpleNamespace

import pytest
import torch

from reseed.stages.training.cache.blocks import Block, cut
from reseed.stages.training.cache.stream import StreamedPairs, plan_windows
from reseed.store import StoreError
from tests.stages.stores import overwrite_vector, write_store
from tests.stages.training.cache.readers import CROP_BYTES, digests, make_reader, workers

WINDOW_BYTES = 4 << 20
PEAK_MEMORY = """
import json
import sys
from pathlib import Path

import torch

from reseed.stages.training.cache.blocks import load_vectors
from reseed.stages.training.cache.resident import ResidentPairs
from reseed.stages.training.cache.stream import StreamedPairs
from reseed.store import EmbeddingStore


def bytes_of(name):
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(1024 * int(line.split()[1]) for line in lines if line.startswith(name))


def growth(work):
    Path("/proc/self/clear_refs").write_text("5")  # VmHWM starts anew
    before = bytes_of("VmRSS")
    work()
    return bytes_of("VmHWM") - before


store = EmbeddingStore(sys.argv[1])
warm = ResidentPairs(torch.randn(512, 2, 2048), clean_view=0, batch=16, seed=0)
sum(pairs.noisy_BD.sum() for pairs in warm.batches(0))
reader = StreamedPairs(store, clean_view=0, batch=16, seed=0, window_bytes=int(sys.argv[2]))
streamed = growth(lambda: sum(pairs.noisy_BD.sum() for pairs in reader.batches(0)))
resident = growth(lambda: load_vectors(store).sum())
left_open = reader.batches(1)
next(left_open)
print(json.dumps({"streamed": streamed, "resident": resident}))
"""


def planned(*crops: int) -> SimpleNamespace:
    """What `cut` needs to know of a store with so many crops in its shards."""
    shards = [SimpleNamespace(rows=3 * n) for n in crops]
    return SimpleNamespace(views=["clean", "noise", "reverb"], crops=1, dim=16, shards=shards)


def test_prefetch_depth_does_not_change_the_batches(tmp_path):
    store = write_store(tmp_path / "store", shards=4)
    order = {"clean_view": 0, "batch": 7, "seed": 0, "window_bytes": 9 * CROP_BYTES}
    shallow, deep = (StreamedPairs(store, **order, prefetch=depth) for depth in (1, 50))
    assert digests(shallow.batches(0)) == digests(deep.batches(0))


def test_shards_are_cut_where_they_are_too_large_and_nowhere_else():
    store = planned(4, 4, 2)
    assert cut(store, 4 * CROP_BYTES) == [Block(0, 0, 4), Block(1, 0, 4), Block(2, 0, 2)]
    assert cut(store, 3 * CROP_BYTES) == [
        Block(0, 0, 3),
        Block(0, 3, 1),
        Block(1, 0, 3),
        Block(1, 3, 1),
        Block(2, 0, 2),
    ]
    assert len(cut(store, 0)) == 10


def test_empty_shards_are_passed_over():
    assert cut(planned(2, 0, 3), 1 << 20) == [Block(0, 0, 2), Block(2, 0, 3)]


def test_windows_hold_every_block_once_and_no_more_than_fits():
    blocks = [Block(shard, 0, crops) for shard, crops in enumerate([3, 1, 4, 1, 5, 2, 5, 3, 5])]
    windows = list(plan_windows(blocks, 7, torch.Generator().manual_seed(0)))
    assert sorted(block for window in windows for block in window) == blocks
    assert all(0 < sum(block.crops for block in window) <= 7 for window in windows)


def test_a_window_mixes_shards_from_the_whole_store():
    blocks = [Block(shard, 0, 10) for shard in range(100)]
    first = next(plan_windows(blocks, 100, torch.Generator().manual_seed(0)))
    shards = [block.shard for block in first]
    assert min(shards) < 30
    assert max(shards) > 70


def test_resuming_reads_nothing_of_the_windows_that_are_done(tmp_path, monkeypatch):
    reader = make_reader("streamed", write_store(tmp_path / "store", shards=4), window_crops=8)
    read = []
    monkeypatch.setattr(
        "reseed.stages.training.cache.stream.read_block", lambda store, block, target: read.append(block.crops)
    )
    list(reader.batches(0, reader.batches_per_epoch - 1))
    assert sum(read) == 8  # the last of three windows


def test_vector_that_goes_bad_in_mid_stream_surfaces_in_the_consumer_and_ends_the_thread(tmp_path):
    store = write_store(tmp_path / "store")
    batches = make_reader("streamed", store).batches(0)
    next(batches)
    for row in range(len(store)):
        overwrite_vector(store, row, math.nan)
    with pytest.raises(
        StoreError, match=r"shard 00000-\w+: 72 vectors are not finite, first .*utt-000.*, view 'clean'"
    ):
        list(batches)
    assert workers() == []


def test_shards_cut_short_in_mid_stream_surface_after_the_batches_before_them(tmp_path):
    store = write_store(tmp_path / "store", utterances=24, shards=24)
    batches = make_reader("streamed", store, window_crops=16).batches(0)
    next(batches)  # the first window is eight shards, 48 pairs; two batches of seven are made ahead
    for file in (store.path / "shards").glob("*.h5"):
        os.truncate(file, 1000)
    received = []
    with pytest.raises(StoreError, match="has 1000 bytes, store.json says"):
        received.extend(batches)
    assert [len(pairs.noisy_BD) for pairs in received] == [7] * 5
    assert workers() == []


def test_closing_early_leaves_no_thread(tmp_path):
    batches = make_reader("streamed", write_store(tmp_path / "store")).batches(0)
    list(islice(batches, 2))
    assert len(workers()) == 1
    batches.close()
    assert workers() == []


def test_forgetting_the_iterator_leaves_no_thread(tmp_path):
    batches = make_reader("streamed", write_store(tmp_path / "store")).batches(0)
    next(batches)
    del batches
    gc.collect()
    assert workers() == []


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    """What a process of its own prints about its memory over a store of 66 MB, and how it ends."""
    path = tmp_path_factory.mktemp("large") / "store"
    write_store(path, utterances=2000, dim=2048, views=("clean", "noise"), shards=8)
    command = [sys.executable, "-c", PEAK_MEMORY, str(path), str(WINDOW_BYTES)]
    root = Path(__file__).parents[4]
    return run(command, capture_output=True, text=True, check=False, cwd=root)


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_memory_of_the_stream_is_bounded_by_its_window_not_by_the_store(measured):
    grown = json.loads(measured.stdout)
    assert grown["resident"] > 60e6  # the measure sees a store that is loaded
    assert grown["streamed"] < 24e6


def test_an_iterator_left_open_does_not_keep_the_interpreter_from_ending(measured):
    assert measured.returncode == 0, measured.stderr
    assert measured.stderr == ""
