"""Whole runs on a real Slurm, with or without accounting: the one that RESEED_SLURM=1 says may be sent jobs from here.

It needs two nodes, or more, of 2 cores and 5000 MB that see this machine's files.
"""

import json
import os
import re
import subprocess
import sys
import time

import psutil
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


class Extraction:
    """A run up to the first store, until one extraction alone is at work, which is halted: it cannot end by itself.

    Its nodes are on this machine.
    """

    def __init__(self, toy, folder, *more, halted=True):
        self.store = folder / "runs" / "toy" / "stores" / "ge2e" / "train"
        self.process = subprocess.Popen([*RUN, *toy, *SMALL, *more, STORE], stderr=subprocess.PIPE, text=True)
        while halted and not self._halt():
            assert self.process.poll() is None, self.process.stderr.read()
            time.sleep(0.1)
        while halted and len(self.jobs()) != 1:  # the other one ends
            time.sleep(0.1)

    def _halt(self):
        for process in psutil.process_iter(["cmdline", "cwd"]):
            words = process.info["cmdline"] or []
            if "extract" in words and process.info["cwd"] == str(self.store.parents[2]):
                process.suspend()
                return True
        return False

    def jobs(self, what="%A"):
        """What squeue says of those that run, as it is asked: ids, names (%j), nodes (%N)."""
        return list(dict.fromkeys(slurm("squeue", "--me", "--noheader", "--states=R", f"--format={what}").split()))

    def end(self):
        """Wait for the run; returns its exit status and what it said."""
        said = self.process.communicate()[1]
        return self.process.returncode, said


def test_jobs_that_are_cancelled_in_extraction_are_noticed_and_sent_once_more(toy, tmp_path):
    run = Extraction(toy, tmp_path)
    (name,) = run.jobs("%j")
    slurm("scancel", f"--name={name}")
    status, said = run.end()
    assert status == 0, said
    assert re.search(r"SLURM-job '\d+(_\d+)?' failed, SLURM status is: 'CANCELLED'", said)
    assert "Trying to restart job" in said
    EmbeddingStore(run.store).verify()


def test_jobs_whose_time_is_up_are_noticed_and_sent_once_more(toy, tmp_path):
    run = Extraction(toy, tmp_path)
    for job in run.jobs():
        slurm("scontrol", "update", f"JobId={job}", "TimeLimit=00:00:01")
    status, said = run.end()
    assert status == 0, said
    assert re.search(r"SLURM-job '\d+(_\d+)?' failed, SLURM status is: 'TIMEOUT'", said)
    EmbeddingStore(run.store).verify()


def test_a_job_that_takes_more_memory_than_it_asked_for_is_named(toy, tmp_path):
    run = Extraction(toy, tmp_path, "--set-resources=extract:mem_mb=150", halted=False)
    status, said = run.end()
    assert status == 1
    assert re.search(r"reseed: the run stopped: Slurm job .*(memory|OUT_OF_MEMORY|oom)", said, re.IGNORECASE), said


def test_jobs_that_slurm_requeues_end_in_the_same_store(toy, tmp_path):
    run = Extraction(toy, tmp_path)
    slurm("scontrol", "requeue", run.jobs("%F")[0])  # all tasks of the array
    status, said = run.end()
    assert status == 0, said
    EmbeddingStore(run.store).verify()


def test_a_node_that_goes_down_costs_no_more_than_its_shard(toy, tmp_path):
    run = Extraction(toy, tmp_path)
    node = run.jobs("%N")[0]
    slurm("scontrol", "update", f"NodeName={node}", "State=DOWN", "Reason=test")
    try:
        status, said = run.end()
    finally:
        subprocess.run(["scontrol", "update", f"NodeName={node}", "State=RESUME"], check=False)  # it may be back
    assert status == 0, said
    EmbeddingStore(run.store).verify()


def test_what_no_node_holds_is_refused_by_name_and_nothing_is_sent(toy, tmp_path):
    too_much = str(2 * max(each.cpus for each in ask().nodes))
    wanted = ["--profile", "slurm", "--cores", too_much, "--check", "--set-threads", f"extract={too_much}"]
    done = subprocess.run([*RUN, *toy, *wanted], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert re.search(r"reseed: no node of \S+ has what extract asks for", done.stderr)
