"""Runs that share their stores: extracted once, whatever is killed, and each left alone by what the others do."""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time

from tests.runs import VIEWS, reseed
from tests.store.stores import assert_same_files

STORE = "stores/ge2e/dev"
RESEED = [sys.executable, "-m", "reseed.cli"]


def test_runs_share_a_store_though_one_is_killed_and_go_apart_with_their_settings(folder, copied, tmp_path):
    runs, pool = copied, tmp_path / "pool"
    for name in ("a", "b"):
        shutil.copytree(runs / "toy", runs / name)
        shutil.rmtree(runs / name / STORE)
        shutil.rmtree(runs / name / f"{STORE}.jobs")
        (runs / name / "report" / "index.html").unlink()
    command = ["run", folder / "toy.yaml", "--runs", runs, "--stores", pool]
    target = f"{STORE}/store.json"

    first = subprocess.Popen([*RESEED, *map(str, command), "--set", "name=a", target], start_new_session=True)
    while not list(pool.glob("*/shards/*.parquet")):
        assert first.poll() is None
        time.sleep(0.01)
    os.killpg(first.pid, signal.SIGKILL)
    first.wait()
    for name in ("b", "a"):
        reseed(*command, "--set", f"name={name}", target)
    assert ": nothing to do" in (runs / "a" / "logs" / "extract.ge2e.dev.0.log").read_text()
    (shared,) = pool.iterdir()
    assert_same_files(runs / "a" / STORE, runs / "b" / STORE)
    assert "all as sealed" in reseed("verify", shared)

    views = {**VIEWS, "noise": {"noise": 3}}
    reseed(*command, "--set", "name=b", "--set", f"extract.evaluation.views={json.dumps(views)}", target)
    assert "all as sealed" in reseed("verify", runs / "a" / STORE)
    assert "all as sealed" in reseed("verify", shared)
    replayed = json.loads(
        reseed(
            "replay", runs / "b" / STORE, "toy/s10/s10-0", "--view", "noise", "--recordings", folder / "audio", "--json"
        )
    )
    assert replayed["cosine"] > 0.9999
    listed = json.loads(reseed("runs", "--runs", runs, "--stores", pool, "--json"))["stores"]
    assert {tuple(store["runs"]) for store in listed} == {("a",), ("b",)}
    shutil.rmtree(runs / "b")
    assert ": used by no run; " in reseed("runs", "--runs", runs, "--stores", pool)


def test_shared_stores_on_another_disk_are_refused_before_any_step(folder, copied):
    with tempfile.TemporaryDirectory(dir="/dev/shm") as elsewhere:
        said = reseed("run", folder / "toy.yaml", "--runs", copied, "--stores", elsewhere, ok=False)
    assert "keep shared stores on the disk of the runs" in said
    assert len(said.splitlines()) == 1
