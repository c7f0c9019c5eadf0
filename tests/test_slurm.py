"""Whole runs on a real Slurm, with or without accounting: the one that RESEED_SLURM=1 says may be sent jobs from here.

It needs two nodes, or more, of 2 cores and 5000 MB that see this machine's files.
"""

import json
import os
import re
import subprocess
import sys
import time

import pytest

from reseed.pipeline.slurm import ask
from reseed.store import EmbeddingStore
from tests.runs import write_toy

pytestmark = pytest.mark.skipif(
    "RESEED_SLURM" not in os.environ,
    reason="RESEED_SLURM is not set: it says that jobs may be sent by sbatch from here",
)
STORE = "stores/ge2e/train/store.json"
RUN = [sys.executable, "-m", "reseed.cli", "run", "--verbose"]
SMALL = ["--profile", "slurm", "--cores", "2", "--resources=mem_mb=2500", "--set", "extract.jobs=2"]


@pytest.fixture
def toy(tmp_path):
    """A configuration of a small run, and where runs go: on a disk that the nodes see."""
    write_toy(tmp_path)
    return [str(tmp_path / "toy.yaml"), "--runs", str(tmp_path / "runs")]


def slurm(*command):
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def test_a_run_ends_in_its_report_by_few_jobs(toy, tmp_path):
    done = subprocess.run([*RUN, *toy, *SMALL], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads((tmp_path / "runs" / "toy" / "report" / "metrics.json").read_text())
    sent = re.findall(r"has been submitted with SLURM jobid|Submitted array job", done.stderr)
    assert len(sent) <= 7  # corpus, extraction as an array for each split or for both, two seals, systems, report


def test_jobs_that_are_cancelled_in_extraction_are_noticed_and_sent_once_more(toy, tmp_path):
    process = subprocess.Popen([*RUN, *toy, *SMALL, STORE], stderr=subprocess.PIPE, text=True)
    while not list(tmp_path.glob("runs/toy/logs/extract.*.log")):
        assert process.poll() is None
        time.sleep(1)
    (name,) = {*slurm("squeue", "--me", "--noheader", "--format=%j").splitlines()}
    slurm("scancel", f"--name={name}")
    said = process.communicate()[1]
    assert process.returncode == 0, said
    assert re.search(r"SLURM-job '\d+(_\d+)?' failed, SLURM status is: 'CANCELLED'", said)
    assert "Trying to restart job" in said
    EmbeddingStore(tmp_path / "runs" / "toy" / "stores" / "ge2e" / "train").verify()


def test_what_no_node_holds_is_refused_by_name_and_nothing_is_sent(toy, tmp_path):
    too_much = str(2 * max(each.cpus for each in ask().nodes))
    wanted = ["--profile", "slurm", "--cores", too_much, "--check", "--set-threads", f"extract={too_much}"]
    done = subprocess.run([*RUN, *toy, *wanted], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert re.search(r"reseed: no node of \S+ has what extract asks for", done.stderr)
