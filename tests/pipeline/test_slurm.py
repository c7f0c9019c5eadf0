"""What is asked of a Slurm cluster and how its answers are read; tests/test_slurm.py has a real one."""

import asyncio

import pytest
from click.testing import CliRunner

from reseed.cli import main
from reseed.pipeline.ended import failures, why_it_stopped
from reseed.pipeline.plugins import NodeNames, States
from reseed.pipeline.profiles import Given, Profile, Request
from reseed.pipeline.slurm import Cluster, Nodes

SMALL = Nodes("main", True, 2, cpus=2, memory_mb=6000, gres="(null)", longest="7-00:00:00", state="idle")
LARGE = Nodes(
    "gpu", False, 1, cpus=64, memory_mb=256_000, gres="gpu:a100:4(S:0-1)", longest="1-00:00:00", state="mixed"
)


def told(*answers, command="squeue --states=all"):
    """Return what the plugin is told when Slurm answers so, one query after the other."""
    waiting, asked = list(answers), []

    async def query(command, logger):
        asked.append(command)
        answer = waiting.pop(0)
        return answer, None if answer is None else 0.1

    states = States(query)
    return [asyncio.run(states(command, None))[0] for _ in answers], asked


def test_a_job_that_somebody_cancelled_is_cancelled():
    assert told({"7": "CANCELLED by 1000", "8": "RUNNING"})[0] == [{"7": "CANCELLED", "8": "RUNNING"}]


def test_tasks_of_an_array_are_asked_for_by_their_numbers_in_it():
    assert told({}, command="sacct --format=JobIdRaw,State")[1] == ["sacct --format=JobID,State"]


def test_a_query_that_fails_leaves_what_was_known():
    assert told({"7": "RUNNING"}, None, {"7": "COMPLETED"})[0] == [
        {"7": "RUNNING"},
        {"7": "RUNNING"},
        {"7": "COMPLETED"},
    ]


def test_a_job_that_squeue_has_forgotten_has_ended_and_one_that_waits_in_an_array_has_not():
    answers = told({"7": "RUNNING", "8_[2-3]": "PENDING"}, {"8_2": "RUNNING"}, {"8_2": "RUNNING"})[0]
    assert answers == [
        {"7": "RUNNING", "8_[2-3]": "PENDING"},
        {"7": "UNKNOWN", "8_2": "RUNNING"},
        {"7": "UNKNOWN", "8_2": "RUNNING"},
    ]


def test_the_profile_asks_for_the_same_whatever_machine_it_is_started_on():
    profile = Profile.named("slurm")
    assert profile.sends
    assert profile.request("extract", Given(None), 1) == Request(4, 8000, 240, 1)
    assert profile.request("prepare", Given(None), 0) == Request(1, 4000, 60, 0)


def test_the_command_line_bounds_what_each_job_asks_for():
    given = Given(2, ["--resources", "mem_mb=6000", "gpu=1", "--default-resources=slurm_partition=long"])
    assert Profile.named("slurm").request("train", given, 1) == Request(2, 6000, 60, 1)
    assert given.partition == "long"


@pytest.mark.parametrize(
    ("partition", "request_", "problem"),
    [
        (None, Request(2, 6000, 60, 0), None),
        (None, Request(4, 8000, 60, 0), "no node of main has what extract asks for (4 cores, 8,000 MB, 60 min)"),
        ("gpu", Request(4, 8000, 60, 4), None),
        ("gpu", Request(4, 8000, 60, 8), "the largest 64 cores, 256,000 MB, gpu:a100:4(S:0-1); give --cores 4"),
    ],
)
def test_nodes_that_are_too_small_are_said_with_what_would_fit(partition, request_, problem):
    cluster = Cluster("22.05", [SMALL, LARGE], has_accounting=False, job_age_s=300, accounts=[])
    found = list(cluster.too_small({"extract": request_}, partition))
    assert (problem in found[0]) if problem else found == []


def test_who_tells_what_became_of_jobs_depends_on_accounting():
    assert Cluster("", [SMALL], has_accounting=True, job_age_s=300, accounts=["lab"]).status_command == "sacct"
    without = Cluster("", [SMALL], has_accounting=False, job_age_s=5, accounts=[])
    assert without.status_command == "squeue"
    assert "that is too short to notice every end" in "\n".join(without.lines())


def test_a_run_whose_job_slurm_refused_ends_with_the_reason(tmp_path):
    said = tmp_path / ".snakemake" / "log" / "2026.snakemake.log"
    said.parent.mkdir(parents=True)
    said.write_text(
        "Error in rule extract:\n    message: SLURM sbatch failed. The error message was 'sbatch: error: Memory\n"
        "sbatch: error: Requested node configuration is not available'.\n    sbatch call:\n        sbatch --mem 8000\n"
    )
    assert why_it_stopped(tmp_path, 0) == (
        "Slurm refused a job: Memory; Requested node configuration is not available (docs/clusters.md)"
    )


def test_a_run_whose_job_slurm_ended_says_how_and_where_slurms_own_log_is(tmp_path):
    said = tmp_path / ".snakemake" / "log" / "2026.snakemake.log"
    own = tmp_path / "logs" / "slurm" / "rule_extract" / "7.log"
    for path in (said, own):
        path.parent.mkdir(parents=True)
    said.write_text(
        "    message: SLURM-job '7' failed, SLURM status is: 'TIMEOUT'. Detailed failure reason unavailable\n"
    )
    own.write_text("slurmstepd: error: *** JOB 7 ON n1 CANCELLED AT 2026-01-01 DUE TO TIME LIMIT ***\n")
    line = "Slurm job 7 ended as TIMEOUT: JOB 7 ON n1 CANCELLED AT 2026-01-01 DUE TO TIME LIMIT"
    assert why_it_stopped(tmp_path, 0) == f"{line}; Slurm's own logs: {tmp_path / 'logs' / 'slurm'}"
    assert failures(tmp_path, 0)[0].startswith(line)


def test_a_job_that_steps_share_is_told_of_by_slurms_own_log(tmp_path):
    own = tmp_path / "logs" / "slurm" / "group_systems" / "13.log"
    own.parent.mkdir(parents=True)
    own.write_text("slurmstepd-n1: error: *** STEP 13.2 ON n1 CANCELLED AT 17:01:42 ***\nsrun: error: Terminated\n")
    assert why_it_stopped(tmp_path, 0) == f"Slurm job 13: STEP 13.2 ON n1 CANCELLED AT 17:01:42 ({own})"


def test_a_check_without_slurm_says_what_is_missing(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    done = CliRunner().invoke(main, ["demo", "--runs", str(tmp_path), "--check"])
    assert "reseed: --check asks a Slurm cluster, and the profile local is of none; give --profile slurm" in done.output


def test_a_job_that_waits_is_on_no_node():
    lost = NodeNames({"n1"})
    for said in ("None assigned", "n2", "n[3-4]"):
        lost.add(said)
    assert lost == {"n1", "n2", "n[3-4]"}
