"""How far a run is, read from what lies in its folder."""

import json
import os
import re
from datetime import datetime

import pytest
from click.testing import CliRunner

from reseed.cli import main
from reseed.pipeline.loading import dump, load_config
from reseed.pipeline.record import at_work
from reseed.pipeline.status import status
from reseed.store import ConfigError
from tests.runs import write_toy


@pytest.fixture
def run(tmp_path):
    """A run of four shards in two jobs: one job has written both of its shards, 600 s apart, the other said nothing."""
    write_toy(tmp_path)
    run = tmp_path / "runs" / "toy"
    (run / "stores/ge2e/train/shards").mkdir(parents=True)
    (run / "logs").mkdir()
    (run / "config.yaml").write_text(dump(load_config(tmp_path / "toy.yaml", ["extract.jobs=2"])))
    with at_work(run):
        pass
    now = datetime.now().timestamp()
    for index, age_s in enumerate((600, 0)):
        shard = run / f"stores/ge2e/train/shards/0000{index}-abc.parquet"
        shard.touch()
        os.utime(shard, (now + 600 - age_s, now + 600 - age_s))
    said = "stores/ge2e/train: shard 0000{0}-abc written ({1} of 2)\n"
    (run / "logs/extract.ge2e.train.0.log").write_text(said.format(0, 1) + said.format(1, 2))
    return run


def test_what_is_done_and_what_is_to_come_is_told_by_the_logs_of_jobs(run):
    found = status(run)
    train, dev = found.stores
    assert (found.state, found.failures) == ("finished", [])
    assert (train.name, train.shards, train.left, train.is_sealed) == ("ge2e/train", 2, 2, False)
    assert (dev.shards, dev.left, dev.rate_per_h) == (0, None, None)


def test_a_step_that_failed_is_named_with_its_last_line(run):
    (run / "logs/train.quick.log").write_text("epoch 1\nreseed: no speech\n")
    done = CliRunner().invoke(main, ["status", str(run)])
    assert f"failed: no speech ({run / 'logs/train.quick.log'})" in done.output
    assert json.loads(CliRunner().invoke(main, ["status", str(run), "--json"]).output)["stores"][0]["left"] == 2


def test_a_run_that_is_running_says_what_is_at_work(run):
    described = {
        "id": 1,
        "rule": "extract",
        "message": "extract: train by ge2e",
        "log": "logs/extract.ge2e.train.0.log",
    }
    events = [{"event": "begun", "id": 1, "at_s": 0.0}, {"event": "step", "command": "", **described}]
    (run / ".snakemake").mkdir()
    (run / ".snakemake/events.jsonl").write_text("".join(json.dumps(event) + "\n" for event in events))
    assert status(run).at_work == []
    with at_work(run):
        (told,) = status(run).at_work
    assert re.fullmatch(r"extract: train by ge2e \(\d+ h \d+ min\): .* shard 00001-abc written \(2 of 2\)", told)


def test_a_folder_that_is_no_run_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="is no run: it has no config.yaml"):
        status(tmp_path)


def test_a_store_where_a_run_is_wanted_names_its_run(run, tmp_path):
    inside, alone = run / "stores/ge2e/train", tmp_path / "alone"
    alone.mkdir()
    for folder, wanted in {inside: f"its run, {run}", alone: "a run, such as runs/demo"}.items():
        (folder / "store.json").touch()
        with pytest.raises(ConfigError, match=f"^{re.escape(f'{folder} is a store; give {wanted}')}$"):
            status(folder)
