"""What tests of several folders share: one finished run, which takes half a minute to make."""

import shutil

import pytest

from tests import runs


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    """A folder with recordings, toy.yaml and, where `finished` is asked for, the run runs/toy."""
    folder = tmp_path_factory.mktemp("run")
    runs.write_toy(folder)
    return folder


@pytest.fixture(scope="session")
def finished(folder):
    """A finished run. Tests look at it; those that change something work on a copy."""
    runs.reseed("run", folder / "toy.yaml", "--runs", folder / "runs")
    return folder / "runs" / "toy"


@pytest.fixture
def copied(finished, tmp_path):
    """A folder of runs that holds a copy of the finished one."""
    shutil.copytree(finished, tmp_path / "runs" / "toy")
    return tmp_path / "runs"
