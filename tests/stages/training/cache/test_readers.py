"""What both readers promise."""

import json
import sys
from itertools import islice
from pathlib import Path
from subprocess import PIPE, Popen

import pytest
import torch

from reseed.stages.training.cache.reader import PairReader
from reseed.stages.training.cache.resident import ResidentPairs
from reseed.store import EmbeddingStore, StoreError
from tests.stages.stores import write_store
from tests.stages.training.cache.readers import KINDS, digests, make_reader, pair_bytes

ENDLESS = """
import json
import sys
import time

from reseed.store import EmbeddingStore
from tests.stages.training.cache.readers import KINDS, digests, make_reader

readers = {kind: make_reader(kind, EmbeddingStore(sys.argv[1])) for kind in KINDS}
for epoch in range(1000):
    for batches in zip(*(reader.batches(epoch) for reader in readers.values()), strict=True):
        rows = zip(readers.items(), batches, strict=True)
        print(json.dumps({k: [digests([pairs])[0], r.state_dict()] for (k, r), pairs in rows}), flush=True)
        time.sleep(0.01)
"""


@pytest.fixture(scope="module")
def store(tmp_path_factory) -> EmbeddingStore:
    return write_store(tmp_path_factory.mktemp("cache") / "store", utterances=11, shards=4)


@pytest.fixture(params=KINDS)
def reader(request, store) -> PairReader:
    return make_reader(request.param, store)


def expected_pairs(store: EmbeddingStore) -> list[tuple[bytes, bytes]]:
    clean = store.vectors("clean")
    return [
        (clean[row].tobytes(), noisy.tobytes()) for view in store.views for row, noisy in enumerate(store.vectors(view))
    ]


def test_an_epoch_holds_every_pair_exactly_once(reader, store):
    assert sorted(pair_bytes(reader.batches(0))) == sorted(expected_pairs(store))


def test_an_epoch_is_shuffled_across_the_store(reader, store):
    stored = expected_pairs(store)
    rows = [stored.index(pair) for pair in pair_bytes(reader.batches(0))]
    assert torch.tensor(rows).diff().abs().float().mean() > len(rows) / 5  # neighbours lie far apart


def test_every_batch_is_full_but_the_last_which_is_kept(reader):
    sizes = [len(pairs.noisy_BD) for pairs in reader.batches(0)]
    assert sizes == [7] * 9 + [3]  # 11 utterances x 2 crops x 3 views = 66 pairs
    assert (reader.rows_per_epoch, reader.batches_per_epoch) == (66, 10)


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_seed_gives_the_same_batches_and_another_seed_others(kind, store):
    first, second, other = (digests(make_reader(kind, store, seed=seed).batches(3)) for seed in (5, 5, 6))
    assert first == second
    assert not set(first) & set(other)


def test_every_epoch_has_an_order_of_its_own_whatever_was_read_before(reader):
    first, second = digests(reader.batches(0)), digests(reader.batches(1))
    assert not set(first) & set(second)
    assert digests(reader.batches(0)) == first


def test_an_epoch_resumed_at_any_batch_goes_on_as_if_never_left(reader):
    whole = digests(reader.batches(2))
    for start in range(reader.batches_per_epoch + 1):
        assert digests(reader.batches(2, start)) == whole[start:]


def test_two_iterators_of_one_reader_do_not_disturb_each_other(reader):
    both = list(zip(reader.batches(0), reader.batches(1), strict=True))
    assert digests(first for first, _ in both) == digests(reader.batches(0))
    assert digests(second for _, second in both) == digests(reader.batches(1))


def test_a_start_beyond_the_epoch_is_refused(reader):
    with pytest.raises(ValueError, match="start is 11, an epoch has 10 batches"):
        next(reader.batches(0, start=11))


def test_state_names_the_batch_that_comes_next_and_turns_over_with_the_epoch(reader):
    places = [(reader.epoch, reader.position) for _ in reader.batches(4)]
    assert places == [(4, given) for given in range(1, 10)] + [(5, 0)]


@pytest.mark.parametrize("kind", KINDS)
def test_readers_that_are_killed_go_on_in_another_process_where_they_were(kind, killed, store):
    lines = [line[kind] for line in killed]
    fresh = make_reader(kind, store)
    fresh.load_state_dict(lines[-1][1])
    resumed = [digest for _ in range(2) for digest in digests(fresh.batches(fresh.epoch, fresh.position))]
    straight = [digest for epoch in range(1 + fresh.epoch) for digest in digests(fresh.batches(epoch))]
    assert [digest for digest, _ in lines] + resumed == straight[: len(lines) + len(resumed)]


@pytest.fixture(scope="module")
def killed(store) -> list[dict]:
    """Digests and states of both readers, as a process printed them before it was killed within its second epoch."""
    command = [sys.executable, "-c", ENDLESS, str(store.path)]
    with Popen(command, stdout=PIPE, text=True, cwd=Path(__file__).parents[4]) as process:
        lines = list(islice(process.stdout, 13))
        process.kill()
    assert process.returncode < 0
    return [json.loads(line) for line in lines]


@pytest.mark.parametrize("kind", KINDS)
def test_the_place_in_another_order_is_refused_naming_what_differs(kind, store):
    state = make_reader(kind, store, batch=8, seed=1).state_dict()
    with pytest.raises(StoreError, match="another order: batch was 8 and is 7, seed was 1 and is 0"):
        make_reader(kind, store).load_state_dict(state)


def test_the_place_in_a_stream_belongs_to_its_window_and_never_to_a_resident_cache(store):
    state = make_reader("streamed", store).state_dict()
    with pytest.raises(StoreError, match="blocks was .* and is"):
        make_reader("streamed", store, window_crops=10).load_state_dict(state)
    with pytest.raises(StoreError, match="kind was 'streamed' and is 'resident'"):
        make_reader("resident", store).load_state_dict(state)


def test_a_reordered_reader_gives_what_one_of_that_order_gives(reader, store):
    other = make_reader(reader.kind, store, batch=5, seed=3)
    assert digests(reader.reordered(batch=5, seed=3).batches(2)) == digests(other.batches(2))


def test_blocks_are_the_whole_cache_in_its_own_order(reader, store):
    blocks = torch.cat(list(reader.blocks()))
    assert torch.equal(blocks.flatten(0, 1), torch.from_numpy(store.vectors().copy()))


@pytest.mark.parametrize("kind", KINDS)
def test_half_precision_is_read_as_float32(kind, tmp_path):
    store = write_store(tmp_path / "store", shards=3, dtype="float16")
    pairs = list(make_reader(kind, store).batches(0))
    assert {pair.noisy_BD.dtype for pair in pairs} == {pair.clean_BD.dtype for pair in pairs} == {torch.float32}
    noisy = torch.cat([pair.noisy_BD for pair in pairs]).sort(dim=0).values
    assert torch.equal(noisy, torch.from_numpy(store.vectors().astype("float32")).sort(dim=0).values)


def test_stream_and_resident_hold_the_same_pairs(store):
    resident, streamed = (pair_bytes(make_reader(kind, store).batches(0)) for kind in KINDS)
    assert sorted(resident) == sorted(streamed)


def test_a_cache_without_vectors_is_refused():
    with pytest.raises(StoreError, match="the cache holds no vectors"):
        ResidentPairs(torch.empty(0, 3, 16), clean_view=0, batch=7, seed=0)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_stream_to_a_gpu_gives_the_batches_of_a_stream_to_the_cpu(store):
    reader = make_reader("streamed", store)
    expected = list(reader.batches(0))
    reader.device = torch.device("cuda")
    for ours, theirs in zip(reader.batches(0), expected, strict=True):
        assert ours.noisy_BD.is_cuda
        assert torch.equal(ours.clean_BD.cpu(), theirs.clean_BD)
        assert torch.equal(ours.noisy_BD.cpu(), theirs.noisy_BD)
