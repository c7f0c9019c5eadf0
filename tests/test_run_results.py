"""Results of a run that others take the place of: said, kept, and listed."""

import fcntl
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from reseed.pipeline.results import results_digest
from reseed.pipeline.run import files_of
from tests.runs import reseed

RESEED = [sys.executable, "-m", "reseed.cli"]
ROUNDS = int(os.environ.get("RESEED_KILLS", "1"))
OTHER = ("--set", "report.bootstrap_replicates=21")


def results(report: Path) -> dict[str, bytes]:
    return {str(path.relative_to(report)): path.read_bytes() for path in report.rglob("*") if path.is_file()}


def kept(run: Path) -> list[Path]:
    return sorted((run / "superseded").glob("*"))


def test_results_that_others_take_the_place_of_are_announced_and_kept_whole(folder, copied):
    run, command = copied / "toy", ("run", folder / "toy.yaml", "--runs", copied)
    before = results(run / "report")
    said = reseed(*command, *OTHER).splitlines()
    assert said[:2] == [
        f"reseed: {run} has results of other settings:",
        "  report.bootstrap_replicates was 20, is 21",
    ]
    (superseded,) = kept(run)
    assert results(superseded) == before
    assert "bootstrap_replicates: 20" in (superseded / "config.yaml").read_text()
    assert results_digest(superseded) == superseded.name
    assert any(line.startswith("reseed: the results of ") and str(superseded) in line for line in said)
    listed = json.loads(reseed("runs", "--runs", copied, "--json"))["runs"]
    assert [(row["name"], row["state"], row["superseded"]) for row in listed] == [
        ("toy", "finished", [superseded.name])
    ]

    reseed(*command)  # back: what was kept is the report again
    (other,) = kept(run)
    assert other.name != superseded.name
    assert "bootstrap_replicates: 21" in (other / "config.yaml").read_text()


def test_results_survive_a_run_that_is_killed_wherever_it_is(folder, finished, tmp_path):
    moments = random.Random(0)
    for number in range(ROUNDS):
        run = tmp_path / str(number) / "toy"
        shutil.copytree(finished, run)
        before = results(run / "report")
        command = [
            sys.executable,
            "-m",
            "reseed.cli",
            "run",
            str(folder / "toy.yaml"),
            "--runs",
            str(run.parent),
            *OTHER,
        ]
        process = subprocess.Popen(command, start_new_session=True, stderr=subprocess.DEVNULL)
        while (run / "report" / "index.html").exists() and process.poll() is None:
            time.sleep(0.005)
        time.sleep(moments.random() * 2 if number else 0)
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        with (run / ".lock").open() as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # free once the last of the killed processes is gone
        (superseded,) = kept(run)
        assert results(superseded) == before
        if number == 0:
            (listed,) = json.loads(reseed("runs", "--runs", run.parent, "--json"))["runs"]
            assert listed["state"] == "unfinished"
        reseed("run", folder / "toy.yaml", "--runs", run.parent)
        assert results_digest(run / "report") == superseded.name
        assert superseded not in kept(run)


@pytest.fixture
def several(finished, tmp_path):
    """A folder of runs in every state, with what is no run among them; of a run only what is listed is there."""
    for name in ("done", "stale", "failed", "running", "killed", "cut"):
        shutil.copytree(finished / "report", tmp_path / name / "report")
        shutil.copy(finished / "config.yaml", tmp_path / name)
    record = json.loads((finished / ".lock").read_text())
    stopped = {"failed": {"outcome": "failed", "error": "no \x1b[31mspace"}, "killed": {"ended": None, "outcome": None}}
    for name, how in stopped.items():
        (tmp_path / name / ".lock").write_text(json.dumps(record | how))
    config = tmp_path / "stale" / "config.yaml"
    config.write_text(yaml.safe_dump(yaml.safe_load(config.read_text()) | {"seed": 5}))
    (tmp_path / "cut" / "report" / "metrics.json").write_text("[{")
    (tmp_path / "no\x1b[2Jrun").mkdir()
    os.mkfifo(tmp_path / "no\x1b[2Jrun" / "config.yaml")
    (tmp_path / "damaged").mkdir()
    (tmp_path / "damaged" / "config.yaml").write_text("train: [")
    return tmp_path


def test_runs_are_listed_with_their_states_figures_and_differing_settings(several):
    with (several / "running" / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        found = json.loads(reseed("runs", "--runs", several, "--json"))
        shown = reseed("runs", "--runs", several)
    states = {row["name"]: row["state"] for row in found["runs"]}
    assert states == {
        "done": "finished",
        "stale": "stale",
        "failed": "failed",
        "running": "running",
        "killed": "unfinished",
        "cut": "finished",
    }
    assert found["differences"] == {"seed": {name: 5 if name == "stale" else 0 for name in states}}
    rows = {row["name"]: row for row in found["runs"]}
    assert {figure["system"]: figure["conditions"] for figure in rows["done"]["figures"]} == dict.fromkeys(
        ("raw", "centre", "wccn", "quick"), 3
    )
    assert rows["cut"]["figures"] == []
    assert "metrics.json cannot be read" in rows["cut"]["problem"]
    assert rows["stale"]["stale"] == ["seed was 0, is 5"]
    assert [*found["others"]] == ["damaged", "no\x1b[2Jrun"]
    assert "\x1b" not in shown
    assert all(len(line) <= 100 for line in shown.splitlines())
    assert "  seed: 0 (" in shown


def test_a_folder_of_runs_that_is_not_there_is_an_error(tmp_path):
    said = reseed("runs", "--runs", tmp_path / "none", ok=False)
    assert (
        said == f"reseed: {tmp_path / 'none'} is no folder of runs; give the one that `reseed run --runs` was given\n"
    )


def test_a_run_of_before_centring_was_the_default_can_be_read_and_is_not_stale(finished, tmp_path):
    run = tmp_path / "toy"
    shutil.copytree(finished, run, ignore=shutil.ignore_patterns("*centre*"))
    for path in (run / "config.yaml", run / "report" / "config.yaml"):
        config = yaml.safe_load(path.read_text())
        del config["train"]["centre"]
        path.write_text(yaml.safe_dump(config, sort_keys=False))
    assert [path.stem for path in files_of(run).scores] == ["raw", "quick", "wccn"]
    (row,) = json.loads(reseed("runs", "--runs", tmp_path, "--json"))["runs"]
    assert (row["state"], row["stale"]) == ("finished", [])
