"""Dask clusters of processes that go wrong: one line says which worker, or that the scheduler is gone."""

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import dask
import pytest
from dask.distributed import Client, LocalCluster

from reseed.pipeline.executor import executor
from reseed.pipeline.workers import check_workers
from reseed.store import ConfigError, ReseedError

ROOT = Path(__file__).resolve().parents[2]
WORKER = "import sys; {first}; from distributed.cli.dask_worker import main; main()"


@pytest.fixture(autouse=True)
def patient(monkeypatch):
    """A scheduler on a busy machine may take its time to answer."""
    monkeypatch.setattr("reseed.pipeline.executor._CONNECT_S", 3600)


@contextmanager
def process(*command: str, log: Path) -> Iterator[subprocess.Popen]:
    """Run a process until it ends or is no longer needed."""
    with log.open("a") as file, subprocess.Popen([sys.executable, *command], stdout=file, stderr=file) as started:
        yield started
        started.kill()


@contextmanager
def cluster(folder: Path, first: str = "pass") -> Iterator[tuple[str, subprocess.Popen]]:
    """Start a scheduler and a worker, each a process; the worker does something first.

    Yields:
        The address of the scheduler, and its process.
    """
    said = ["--port", "0", "--no-dashboard", "--scheduler-file", str(folder / "s")]
    with process("-m", "distributed.cli.dask_scheduler", *said, log=folder / "log") as scheduler:
        while not (folder / "s").exists():
            assert scheduler.poll() is None
            time.sleep(0.05)
        address = json.loads((folder / "s").read_text())["address"]
        given = (address, "--no-nanny", "--nthreads", "1", "--no-dashboard", "--local-directory", str(folder))
        with process("-c", WORKER.format(first=first), *given, log=folder / "log"):
            yield address, scheduler


def test_a_worker_without_the_package_is_named_with_its_host(tmp_path):
    with (
        cluster(tmp_path, "sys.modules['reseed'] = None") as (address, _),
        executor(address) as execute,
        pytest.raises(ConfigError, match=r"the Dask worker tcp://\S+ on \S+ cannot take part: it cannot import reseed"),
    ):
        list(execute(str, [0]))


def test_a_worker_with_another_version_is_named(tmp_path):
    ours = shutil.ignore_patterns(".*", "runs", "tests", "docs", "benchmarks", "__pycache__")
    shutil.copytree(ROOT, tmp_path / "reseed", ignore=ours)
    with (tmp_path / "reseed" / "stages" / "extract.py").open("a") as file:
        file.write("# changed\n")
    with (
        cluster(tmp_path, f"sys.path.insert(0, {str(tmp_path)!r})") as (address, _),
        executor(address) as execute,
        pytest.raises(ConfigError, match=rf"the reseed in {tmp_path / 'reseed'} is another version; install the same"),
    ):
        list(execute(str, [0]))


def test_a_worker_that_does_not_see_the_output_is_named(tmp_path):
    def run(look, digest, marker, wait_s):
        return {"tcp://a:1": look(digest, marker, wait_s), "tcp://b:2": look(digest, "/not/mounted/there", 0.0)}

    with pytest.raises(ConfigError, match=r"worker tcp://b:2 on \S+ cannot take part: it does not see /not/mounted;"):
        check_workers(run, tmp_path / "stores" / "new")
    assert list(tmp_path.iterdir()) == []


def test_a_scheduler_that_is_killed_is_said_to_be_gone(tmp_path, monkeypatch):
    with cluster(tmp_path) as (address, scheduler), executor(address, sees=tmp_path) as execute:
        results = execute(abs, range(1000))
        assert next(results) in range(1000)
        scheduler.kill()
        with (
            dask.config.set({"distributed.comm.timeouts.connect": "1 s"}),
            pytest.raises(ReseedError, match=rf"^the Dask scheduler {address} is gone; what is written is kept"),
        ):
            list(results)


def test_no_more_parts_are_with_the_cluster_than_keep_it_busy():
    with (
        LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address=":0", memory_limit=0) as local,
        Client(local, set_as_default=False) as beside,
        executor(local.scheduler_address) as execute,
    ):
        most = 0
        results = []
        for result in execute(abs, range(200)):
            results.append(result)
            most = max(most, beside.run_on_scheduler(lambda dask_scheduler: len(dask_scheduler.tasks)))
        assert sorted(results) == [*range(200)]
        assert most <= 9  # eight, and the one that is just forgotten
