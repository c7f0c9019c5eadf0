"""What tests of several folders share: one finished run, and patience with a busy machine."""

import fcntl
import os
import shutil
import signal
from contextlib import contextmanager

import pytest

from tests import runs

for limit in ("CONNECT", "TCP"):  # of Dask, in seconds by default; it reads the environment when it is imported
    os.environ[f"DASK_DISTRIBUTED__COMM__TIMEOUTS__{limit}"] = "1 h"

# Tests that are started in the background of a script, or under nohup, ignore these; what they start must hear them.
for _number in (signal.SIGINT, signal.SIGHUP):
    if signal.getsignal(_number) is signal.SIG_IGN:
        signal.signal(_number, signal.default_int_handler if _number == signal.SIGINT else signal.SIG_DFL)


def pytest_collection_modifyitems(items):
    """Begin with what lies at the top, whole runs and kills: a long file that begins last has one process alone."""
    items.sort(key=lambda item: len(item.path.parts))


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    """A folder with recordings, toy.yaml and, where `finished` is asked for, the run runs/toy."""
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base  # processes that share the tests share it
    with _once(shared / "run") as folder:
        if not (folder / "toy.yaml").exists():
            runs.write_toy(folder)
    return folder


@pytest.fixture(scope="session")
def finished(folder):
    """A finished run. Tests look at it; those that change something work on a copy."""
    with _once(folder):
        if not (folder / "runs").exists():
            runs.reseed("run", folder / "toy.yaml", "--runs", folder / "runs")
    return folder / "runs" / "toy"


@pytest.fixture
def copied(finished, tmp_path):
    """A folder of runs that holds a copy of the finished one."""
    shutil.copytree(finished, tmp_path / "runs" / "toy")
    return tmp_path / "runs"


@contextmanager
def _once(folder):
    """Make sure of a folder, and that no other process of these tests is at it."""
    folder.mkdir(exist_ok=True)
    with (folder / ".making").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield folder
