"""What a run shows: from events as Snakemake's logger has them, and from the logs of steps."""

import io
import json
import logging
import os
import re
import time
from pathlib import Path

import pytest
from rich.console import Console
from rich.live import Live

from reseed.pipeline.events import LogHandler, Reader, events_of
from reseed.pipeline.progress import Progress, duration
from reseed.pipeline.view import Bars, Lines


def told(event: str | None, created: float = 100.0, **said) -> list[dict]:
    """Return what we read off a message of Snakemake's logger."""
    record = logging.makeLogRecord({"msg": "text", "event": event, **said})
    record.created = created
    return list(events_of(record))


def job(number: int, rule: str, message: str, log: str | None = None, command: str = "") -> list[dict]:
    said = {"jobid": number, "rule_name": rule, "rule_msg": message, "log": [log] if log else [], "shellcmd": command}
    return told("job_info", **said)


@pytest.fixture
def events() -> list[dict]:
    """Two steps done, one at work, one that has failed; a training is told before it is described."""
    command = "reseed --usage logs/b.tsv train --config config.yaml --model 'models/a  b' >logs/train.b.log 2>&1"
    return [
        *told("run_info", stats={"prepare": 2, "extract": 1, "train": 1, "all": 1, "total": 5}),
        *told(None),
        *told("job_started", 100.0, jobs=[1, 2]),
        *job(1, "prepare", "prepare: speech of dev", "logs/prepare.log"),
        *job(2, "prepare", "prepare: noise of dev"),
        *told("job_finished", 103.5, job_id=1),
        *told("job_finished", 130.0, job_id=2),
        *told("job_started", time.time() - 60, jobs=[3, 4]),
        *job(3, "extract", "extract: dev by ge2e", "logs/extract.log"),
        *job(4, "train", "train: b", "logs/train.b.log", command),
        *told("job_error", time.time(), jobid=4),
    ]


@pytest.fixture
def run(tmp_path) -> Path:
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs/prepare.log").write_text("WARNING: 3 recordings are \x1b[31mshort\nall read\n")
    said = "stores/ge2e/dev: 4.0 utterances/s, shard 0-ab written (1 of 3)\n"
    (tmp_path / "logs/extract.log").write_text(said)
    return tmp_path


def progress_of(run: Path, events: list[dict]) -> Progress:
    progress = Progress(run)
    for event in events:
        progress.take(event)
    return progress


def test_stages_stand_in_order_with_what_is_done_of_each(run, events):
    progress = progress_of(run, events)
    assert list(progress.stages()) == [("corpus", 2, 2), ("extract", 0, 1), ("train", 0, 1)]
    assert [step.message for step in progress.running] == ["extract: dev by ge2e"]
    assert (len(progress.done), progress.total) == (2, 4)
    assert progress.where_the_time_went() == "2 steps: corpus 34 s"  # 3.5 s and 30 s


def test_what_a_step_says_last_tells_how_long_it_will_take(run, events):
    progress = progress_of(run, events)
    (step,) = progress.running
    now = time.time()
    step.begun_s = now - 60
    os.utime(run / step.log, (now, now))  # a third in a minute: two are left
    assert re.fullmatch(r"(2 min 0|1 min 59) s left; stores/ge2e/dev: 4.0 utterances/s.*", progress.says(step))
    (run / step.log).write_text("epoch 3/3: loss 0.1\n")
    assert progress.says(step) == "epoch 3/3: loss 0.1"
    (run / step.log).unlink()
    assert progress.says(step) == ""


def test_a_step_that_is_begun_again_has_not_failed(run, events):
    again = [*events, *told("job_started", time.time(), jobs=[4]), *told("job_finished", time.time(), job_id=4)]
    progress = progress_of(run, again)
    assert (progress.failed, len(progress.done)) == ([], 3)


def test_without_a_terminal_each_step_that_has_ended_is_a_line(run, events, capsys):
    file = run / "events.jsonl"
    shown = Lines(Progress(run), file)
    shown.update()  # there is no file yet
    text = "".join(json.dumps(event) + "\n" for event in events)
    file.write_text(text[:-30])  # the last line is being written
    shown.update()
    file.write_text(text)
    shown.update()
    assert capsys.readouterr().err.splitlines() == [
        r"WARNING: 3 recordings are \x1b[31mshort",
        "1/4  prepare: speech of dev (3.5 s)",
        "2/4  prepare: noise of dev (30 s)",
    ]
    first, ends, how = shown.failures()
    assert ends == f"  its log, {run / 'logs/train.b.log'}, ends: without a word"
    assert re.fullmatch(r"failed after 1 min \d s: train: b", first)
    assert how == f"  to repeat it alone: (cd {run} && reseed train --config config.yaml --model 'models/a  b')"


def test_a_terminal_has_a_bar_for_each_stage_and_what_is_at_work(run, events):
    file = run / "events.jsonl"
    file.write_text("".join(json.dumps(event) + "\n" for event in events))
    console = Console(file=io.StringIO(), force_terminal=True, width=300, color_system=None)
    with Live(console=console, auto_refresh=False) as live:
        shown = Bars(Progress(run), file, live)
        console.print(shown.frame())
        shown.update()
        console.print(shown.frame())
    lines = [line.rstrip() for line in console.file.getvalue().splitlines()]
    assert any(line.endswith("working out what is to be done, 0.0 s") for line in lines)
    assert any(re.fullmatch(rf".*{run.name}: 2 of 4 steps, 0\.\d s", line) for line in lines)
    assert any(re.fullmatch(r"  corpus +━+ +2/2", line) for line in lines)
    assert any(
        re.fullmatch(r"  extract: dev by ge2e +(1 min 0|60|59) s  .* left; stores/ge2e/dev.*", line) for line in lines
    )
    assert any(r"WARNING: 3 recordings are \x1b[31mshort" in line for line in lines)


def test_events_that_cannot_be_written_disturb_nobody(tmp_path, monkeypatch):
    record = logging.makeLogRecord({"event": "job_finished", "job_id": 1})
    handler = LogHandler(None, None)
    handler.emit(record)  # nobody asks for them
    monkeypatch.setenv("RESEED_EVENTS", str(tmp_path / "no" / "events"))
    handler.emit(record)
    monkeypatch.setenv("RESEED_EVENTS", str(tmp_path / "events"))
    handler.emit(record)
    assert [event["event"] for event in Reader(tmp_path / "events").new()] == ["done"]


@pytest.mark.parametrize(
    ("seconds", "words"), [(0.04, "0.0 s"), (9.96, "10 s"), (59.6, "1 min 0 s"), (7500, "2 h 5 min")]
)
def test_times_are_said_in_words(seconds, words):
    assert duration(seconds) == words
