import json

import pytest
import torch

from reseed.stages.enhancers.folder import load_model
from reseed.stages.enhancers.regression import MseConfig
from reseed.stages.enhancers.wccn import WccnConfig
from reseed.stages.train import EnhancerOrder, train
from reseed.stages.training.cache.memory import free_bytes, free_host_bytes
from reseed.stages.training.cache.resident import ResidentPairs
from reseed.stages.training.cache.stream import StreamedPairs
from reseed.stages.training.data import open_data
from tests.stages.stores import write_store

CPU = torch.device("cpu")
STORE_BYTES = 12 * 2 * 3 * 16 * 4  # as `write_store` makes it


@pytest.mark.parametrize(("free", "kind"), [(2 * STORE_BYTES, ResidentPairs), (2 * STORE_BYTES - 1, StreamedPairs)])
def test_a_cache_is_resident_where_it_fits_in_half_of_the_free_memory(free, kind, tmp_path, monkeypatch):
    monkeypatch.setattr("reseed.stages.training.data.free_bytes", lambda device: free)
    assert isinstance(open_data(write_store(tmp_path / "store"), 0.0, CPU).pairs, kind)


def test_a_half_precision_cache_counts_as_the_float32_it_becomes(tmp_path):
    store = write_store(tmp_path / "store", dtype="float16")
    limit = STORE_BYTES - 1
    assert isinstance(open_data(store, 0.0, CPU, limit).pairs, StreamedPairs)


@pytest.mark.parametrize("limit", [None, 0])
def test_clean_view_is_found_by_name(tmp_path, limit):
    store = write_store(tmp_path / "store", views=("noise", "clean"))
    assert open_data(store, 0.0, CPU, limit).pairs.clean_view == 1


def test_a_control_group_lowers_the_free_memory_and_its_page_cache_does_not_count(tmp_path):
    job = tmp_path / "sys/fs/cgroup/slurm/job_7"
    (job / "task_0").mkdir(parents=True)
    (tmp_path / "proc/self").mkdir(parents=True)
    (tmp_path / "proc/meminfo").write_text("MemTotal: 9000 kB\nMemAvailable: 8000 kB\n")
    (tmp_path / "proc/self/cgroup").write_text("4:memory:/elsewhere\n0::/slurm/job_7/task_0\n")
    assert free_host_bytes(tmp_path) == 8000 * 1024
    (job / "task_0/memory.max").write_text("max\n")
    (job / "memory.max").write_text("1000000\n")
    (job / "memory.current").write_text("700000\n")
    (job / "memory.stat").write_text("anon 400000\ninactive_file 200000\nactive_file 100000\n")
    assert free_host_bytes(tmp_path) == 600_000


def test_free_memory_of_this_machine_is_a_plausible_number(tmp_path):
    assert 1 << 20 < free_bytes("cpu") < 1 << 50
    assert 1 << 20 < free_host_bytes(tmp_path) < 1 << 50  # where nothing tells, all physical memory


@pytest.fixture
def one_thread():
    """Compute on one thread: on a busy machine two that wait for each other take many times as long."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def trained(tmp_path, name, enhancer, settings, limit):
    model = tmp_path / name
    train(
        EnhancerOrder(
            store=tmp_path / "store",
            model=model,
            enhancer=enhancer,
            settings=settings,
            seed=0,
            resident_limit_bytes=limit,
        )
    )
    rows = [json.loads(line) for line in (model / "train.jsonl").read_text().splitlines()]
    return load_model(model)[0].state_dict(), rows


def test_training_by_stream_is_deterministic_and_the_loss_falls(tmp_path, one_thread, capsys):
    write_store(tmp_path / "store", shards=4)
    settings = MseConfig(epochs=8, batch=40, lr=4e-3)
    first, rows = trained(tmp_path, "first", "mse", settings, limit=0)
    second, _ = trained(tmp_path, "second", "mse", settings, limit=0)
    torch.testing.assert_close(first, second, rtol=0, atol=0)
    assert rows[-1]["loss"] < 0.7 * rows[0]["loss"]
    assert "store, streamed: 12 of 12 utterances" in capsys.readouterr().err


def test_closed_form_from_a_stream_is_that_from_the_whole_cache(tmp_path, one_thread):
    write_store(tmp_path / "store", shards=4)
    whole, _ = trained(tmp_path, "whole", "wccn", WccnConfig(), limit=None)
    streamed, _ = trained(tmp_path, "streamed", "wccn", WccnConfig(), limit=0)
    torch.testing.assert_close(whole, streamed)
