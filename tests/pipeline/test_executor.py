"""Extraction over a real Dask cluster of processes, one of which is killed."""

import json
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from dask.distributed import Client, LocalCluster

from reseed.pipeline.executor import checked, executor
from reseed.stages.audio.recipe import CropSettings, ExtractSettings, View
from reseed.stages.extract import extract
from reseed.stages.extraction.order import ExtractOrder
from reseed.store import ConfigError, EmbeddingStore
from tests.corpus import prepared, write_corpus
from tests.store.stores import assert_same_files

ROOT = Path(__file__).resolve().parents[2]
SETTINGS = ExtractSettings(
    views={"clean": View(), "noise": View(noise=(0, 15)), "reverb": View(reverb=True)},
    crops=CropSettings(count=2, duration_s=1.6),
    batch=4,
)


@pytest.fixture(autouse=True)
def patient(monkeypatch):
    """A scheduler on a busy machine may take its time to answer."""
    monkeypatch.setattr("reseed.pipeline.executor._CONNECT_S", 3600)


@pytest.fixture(scope="module")
def order(tmp_path_factory) -> ExtractOrder:
    folder = tmp_path_factory.mktemp("corpus")
    corpus = write_corpus(folder / "audio", splits=("train",), speakers=8, takes=4)
    manifests = prepared(corpus, folder, ("speech", "noise", "rir"))
    return ExtractOrder(
        utterances=manifests.pop("speech"), sources=manifests, backbone="ge2e", settings=SETTINGS, seed=1
    )


@pytest.fixture
def one_thread(monkeypatch):
    """This process computes in one thread, as the command line does; what it starts is told another number."""
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def kill_a_worker_in_mid_run(address: str, store: Path) -> int:
    """Wait for the first sealed shard, then kill the process of a worker that is at work; returns its number."""
    with Client(address, set_as_default=False) as client:
        processes = client.run(os.getpid)
        while not list(store.glob("shards/*.parquet")):
            time.sleep(0.01)
        while not (busy := [worker for worker, tasks in client.processing().items() if tasks]):
            assert not (store / "store.json").exists()
        os.kill(processes[busy[0]], signal.SIGKILL)
        return processes[busy[0]]


def test_dask_workers_one_of_them_killed_give_the_bytes_of_one_process(order, one_thread, tmp_path):
    extract(order=order, store=tmp_path / "alone", shards=16)
    with (
        LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=":0", memory_limit=0) as cluster,
        ThreadPoolExecutor() as beside,
    ):
        address = cluster.scheduler_address
        killed = beside.submit(kill_a_worker_in_mid_run, address, tmp_path / "dask")
        with executor(address) as execute:
            message = extract(order=order, store=tmp_path / "dask", shards=16, execute=execute)
        assert killed.result()
    assert "32 utterances stored, 0 rejected, 16 shards written" in message
    EmbeddingStore(tmp_path / "dask").verify()
    assert_same_files(tmp_path / "dask", tmp_path / "alone")


def test_relative_paths_reach_a_scheduler_and_worker_in_another_folder(order, one_thread, tmp_path, monkeypatch):
    """The scheduler is a process of its own, which builds nothing: it may lack the files and the GPU."""
    log = (tmp_path / "dask.log").open("w")
    monkeypatch.chdir(tmp_path)
    said = ["--port", "0", "--no-dashboard", "--scheduler-file", "s"]
    scheduler = subprocess.Popen(
        [sys.executable, "-m", "distributed.cli.dask_scheduler", *said],
        stdout=log, stderr=log, cwd=tmp_path,
    )  # fmt: skip
    while not (tmp_path / "s").exists():
        assert scheduler.poll() is None
        time.sleep(0.05)
    address = json.loads((tmp_path / "s").read_text())["address"]
    worker = subprocess.Popen(
        [sys.executable, "-m", "distributed.cli.dask_worker", address, "--nthreads", "1", "--no-dashboard"],
        stdout=log, stderr=log, cwd="/",
    )  # fmt: skip
    try:
        monkeypatch.chdir(order.utterances.parent)
        sources = {role: Path(path.name) for role, path in order.sources.items()}
        relative = replace(order, utterances=Path(order.utterances.name), sources=sources)
        with executor(address) as execute:
            extract(order=relative, store=tmp_path / "s1", shards=2, execute=execute)
        with executor("local") as execute:  # there is nothing to do, so no cluster is started
            assert "nothing to do" in extract(order=relative, store=tmp_path / "s1", execute=execute)
    finally:
        for process in (worker, scheduler):
            process.terminate()
            process.wait()
        log.close()
    assert EmbeddingStore(tmp_path / "s1").header.stored == 32


@pytest.mark.parametrize("text", ["local:0", "local:x", "nonsense"])
def test_a_mistyped_cluster_is_refused(text):
    with pytest.raises(ConfigError, match="is neither local, local:4"):
        checked(text)


def test_a_scheduler_that_is_not_there_is_named(monkeypatch):
    monkeypatch.setattr("reseed.pipeline.executor._CONNECT_S", 1)
    with (
        executor("tcp://127.0.0.1:9") as execute,
        pytest.raises(ConfigError, match=r"no Dask scheduler answers at tcp://127\.0\.0\.1:9"),
    ):
        list(execute(str, [0]))
