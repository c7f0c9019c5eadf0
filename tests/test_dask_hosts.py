"""Extraction by Dask workers on hosts of their own: network namespaces that a bridge joins, as cables and a switch do.

They need root and `ip netns`; RESEED_NETNS=1 says that namespaces may be made here. Each host has an address, a host
name and, where a test says so, a disk of its own.
"""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import yaml

from reseed.store import EmbeddingStore
from tests.corpus import prepared, write_corpus
from tests.store.stores import assert_same_files

pytestmark = [
    pytest.mark.skipif(
        "RESEED_NETNS" not in os.environ,
        reason="RESEED_NETNS is not set: it says that network namespaces may be made here",
    ),
    pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("ip"), reason="network namespaces need root and `ip`"),
]
ROOT = Path(__file__).resolve().parents[1]
SHARDS = 16
PORT = 8786
SCHEDULER = "from distributed.cli.dask_scheduler import main; main()"
WORKER = "from distributed.cli.dask_worker import main; main()"
HEAD, ONE, TWO = "head", "one", "two"


@dataclass
class Hosts:
    """Three hosts on one network, and what runs on them."""

    folder: Path
    prefix: str = f"reseed{os.getpid()}"
    running: list[subprocess.Popen] = field(default_factory=list)

    def make(self) -> None:
        """Make a switch, in a namespace of its own, and join the hosts to it."""
        ip("netns", "add", f"{self.prefix}-switch")
        self._inside("switch", "ip", "link", "add", "bridge", "type", "bridge")
        self._inside("switch", "ip", "link", "set", "bridge", "up")
        for number, host in enumerate((HEAD, ONE, TWO), start=1):
            ip("netns", "add", f"{self.prefix}-{host}")
            there = ("peer", "name", "eth0", "netns", f"{self.prefix}-{host}")
            self._inside("switch", "ip", "link", "add", host, "type", "veth", *there)
            self._inside("switch", "ip", "link", "set", host, "master", "bridge", "up")
            self._inside(host, "ip", "address", "add", f"10.99.0.{number}/24", "dev", "eth0")
            for device in ("lo", "eth0"):
                self._inside(host, "ip", "link", "set", device, "up")

    def remove(self) -> None:
        """End what runs, and remove the hosts."""
        for process in self.running:
            process.kill()
            process.communicate()
        for host in (HEAD, ONE, TWO, "switch"):
            subprocess.run(["ip", "netns", "del", f"{self.prefix}-{host}"], check=False)

    def start(self, host: str, code: str, *arguments: str, first: str = "") -> subprocess.Popen:
        """Start Python on a host; `first` is done in its shell before."""
        shell = f'hostname {host}; {first} exec "$@"'
        command = ["ip", "netns", "exec", f"{self.prefix}-{host}", "unshare", "--uts", "--mount", "sh", "-c", shell]
        python = [sys.executable, "-c", code, *arguments]
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        with (self.folder / f"{host}.log").open("a") as said:
            process = subprocess.Popen([*command, "sh", *python], stdout=said, stderr=said, cwd=ROOT, env=environment)
        self.running.append(process)
        return process

    def worker(self, host: str, code: str = WORKER, first: str = "") -> subprocess.Popen:
        """Start a worker of one process, which nobody starts again."""
        options = ("--no-nanny", "--nthreads", "1", "--no-dashboard", "--local-directory", f"/tmp/{self.prefix}-{host}")
        return self.start(host, code, f"tcp://10.99.0.1:{PORT}", *options, first=first)

    def scheduler(self) -> subprocess.Popen:
        return self.start(HEAD, SCHEDULER, "--host", "10.99.0.1", "--port", str(PORT), "--no-dashboard")

    def extraction(self, store: Path, *more: str) -> subprocess.Popen:
        """Start `reseed extract` on the head."""
        options = [*COMMAND, "--store", str(store), *more]
        line = ["ip", "netns", "exec", f"{self.prefix}-{HEAD}", sys.executable, "-m", "reseed.cli", *options]
        process = subprocess.Popen(line, cwd=self.folder, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.running.append(process)
        return process

    def _inside(self, host: str, *command: str) -> None:
        ip("netns", "exec", f"{self.prefix}-{host}", *command)


COMMAND = ["extract", "--config", "toy.yaml", "--utterances", "speech.parquet", "--noise", "noise.parquet"]
DASK = ("--dask", f"tcp://10.99.0.1:{PORT}")


def ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory) -> Path:
    """A folder with a corpus, its manifests and a configuration, and the store that one process extracts."""
    folder = tmp_path_factory.mktemp("hosts")
    prepared(write_corpus(folder / "audio", splits=("train",), speakers=8, takes=4), folder, ("speech", "noise"))
    recipe = {"crops": {"count": 4, "duration_s": 1.6}, "views": {"clean": {}, "noise": {"noise": [0, 15]}}}
    settings = {
        "name": "toy",
        "corpus": {"root": "audio"},
        "train": {},
        "extract": {"shards": SHARDS, "train": recipe, "evaluation": recipe},
    }
    (folder / "toy.yaml").write_text(yaml.safe_dump(settings))
    command = [sys.executable, "-m", "reseed.cli", *COMMAND, "--store", "alone"]
    subprocess.run(command, cwd=folder, check=True, capture_output=True)
    return folder


@pytest.fixture
def hosts(corpus) -> Iterator[Hosts]:
    found = Hosts(corpus)
    try:
        found.make()
        yield found
    finally:
        found.remove()


def wait_for_a_shard(store: Path, *processes: subprocess.Popen) -> None:
    while not list(store.glob("shards/*.parquet")):
        assert all(process.poll() is None for process in processes)
        time.sleep(0.02)


def test_a_worker_that_is_killed_leaves_no_trace_in_the_bytes_of_the_store(hosts, corpus):
    hosts.scheduler()
    killed, _ = hosts.worker(ONE), hosts.worker(TWO)
    extraction = hosts.extraction(corpus / "killed", *DASK)
    wait_for_a_shard(corpus / "killed", extraction, killed)
    killed.send_signal(signal.SIGKILL)
    said = extraction.communicate()
    assert extraction.returncode == 0, said
    assert not (corpus / "killed" / "shards" / ".lock").exists()
    EmbeddingStore(corpus / "killed").verify()
    assert_same_files(corpus / "killed", corpus / "alone")


def test_a_scheduler_that_is_killed_is_one_line_and_what_is_written_is_kept(hosts, corpus):
    scheduler, store = hosts.scheduler(), corpus / "gone"
    workers = [hosts.worker(ONE), hosts.worker(TWO)]
    extraction = hosts.extraction(store, *DASK)
    wait_for_a_shard(store, extraction, scheduler)
    scheduler.send_signal(signal.SIGKILL)
    said = extraction.communicate()[1]
    assert extraction.returncode == 1
    assert lines(said) == [
        f"reseed: the Dask scheduler tcp://10.99.0.1:{PORT} is gone; "
        "what is written is kept: start it and its workers, and run again"
    ]
    for worker in workers:
        worker.kill()
        worker.wait()
    kept = {path: path.stat().st_ino for path in store.glob("shards/*.h5")}
    assert kept
    assert not (store / "store.json").exists()
    hosts.scheduler()
    hosts.worker(TWO)
    again = hosts.extraction(store, *DASK)
    assert (again.communicate(), again.returncode)[1] == 0
    assert all(path.stat().st_ino == number for path, number in kept.items())
    assert_same_files(store, corpus / "alone")


def test_a_worker_without_reseed_is_named_with_its_host(hosts, corpus):
    said = refused(hosts, corpus, lambda: hosts.worker(TWO, f"import sys; sys.modules['reseed'] = None; {WORKER}"))
    assert "10.99.0.3:" in said
    assert "on two cannot take part: it cannot import reseed" in said


def test_a_worker_of_another_version_is_named_with_its_host(hosts, corpus, tmp_path):
    ours = shutil.ignore_patterns(".*", "runs", "tests", "docs", "benchmarks", "__pycache__")
    shutil.copytree(ROOT, tmp_path / "reseed", ignore=ours)
    with (tmp_path / "reseed" / "stages" / "extract.py").open("a") as file:
        file.write("# changed\n")
    said = refused(hosts, corpus, lambda: hosts.worker(TWO, f"import sys; sys.path.insert(0, '{tmp_path}'); {WORKER}"))
    assert f"on two cannot take part: the reseed in {tmp_path / 'reseed'} is another version; install the same" in said


def test_a_worker_that_does_not_see_the_disk_is_named_with_its_host(hosts, corpus):
    said = refused(hosts, corpus, lambda: hosts.worker(TWO, first=f"mount -t tmpfs none {corpus};"))
    assert f"on two cannot take part: it does not see {corpus}; all must share that disk, by one path" in said


def refused(hosts: Hosts, corpus: Path, start_other) -> str:
    """Extract with a sound worker and another one; returns the one line that says why nothing was begun."""
    hosts.scheduler()
    hosts.worker(ONE)
    start_other()
    wait_for_workers(hosts, 2)
    extraction = hosts.extraction(corpus / "refused", *DASK)
    said = lines(extraction.communicate()[1])
    assert extraction.returncode == 1
    assert len(said) == 1
    assert not list((corpus / "refused").glob("shards/*.h5"))
    return said[0]


def wait_for_workers(hosts: Hosts, count: int) -> None:
    code = (
        f"from dask.distributed import Client; Client('tcp://10.99.0.1:{PORT}', timeout=120).wait_for_workers({count})"
    )
    assert hosts.start(HEAD, code).wait() == 0


def lines(said: str) -> list[str]:
    return [line for line in said.splitlines() if line.strip()]
