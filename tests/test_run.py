"""Whole runs, by the command line, through real Snakemake, on a small corpus: finished, repeated, changed, killed."""

import fcntl
import json
import os
import pty
import random
import re
import shlex
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from contextlib import suppress
from pathlib import Path

import pytest
import yaml

from reseed.pipeline import layout
from reseed.stages.audio.manifest import read_manifest
from reseed.store import EmbeddingStore
from tests.corpus import voice, write_wave
from tests.runs import VIEWS, reseed, times
from tests.store.stores import assert_same_files

RESEED = [sys.executable, "-m", "reseed.cli"]
STORES = ("stores/ge2e/train", "stores/ge2e/dev")


def test_a_run_ends_in_a_report_with_every_system_and_condition(finished):
    rows = json.loads((finished / "report" / "metrics.json").read_text())
    assert {(row["system"], row["condition"]) for row in rows} == {
        (system, view) for system in ("raw", "centre", "wccn", "quick") for view in VIEWS
    }
    assert all(0 <= row["eer"] <= 1 and row["trials"] == 4 * 4 * 2 * 2 for row in rows)
    assert "<html" in (finished / "report" / "index.html").read_text()


def test_every_step_leaves_a_log_and_its_time_and_memory(finished):
    for step in ("prepare.train.speech", "extract.ge2e.dev.0", "seal.ge2e.dev", "train.quick", "score.raw", "report"):
        assert (finished / "logs" / f"{step}.log").exists()
        named, used = (finished / "logs" / f"{step}.usage.tsv").read_text().splitlines()
        assert named.split("\t") == ["s", "cpu_s", "max_rss_mb"]
        seconds, computed_s, memory_mb = map(float, used.split("\t"))
        assert seconds > 0
        assert computed_s > 0
        assert 50 < memory_mb < 8000


def test_info_and_verify_read_the_stores_of_the_run(finished):
    described = json.loads(reseed("info", finished / STORES[0], "--json"))
    assert described["fingerprint"] == EmbeddingStore(finished / STORES[0]).fingerprint
    assert "clean, noise, reverb_babble" in reseed("info", finished / STORES[0])
    assert "96 vectors in 4 shards, all as sealed" in reseed("verify", finished / STORES[1])


def test_running_again_does_nothing(folder, copied):
    before = times(copied / "toy")
    assert "Nothing to be done" in reseed("run", folder / "toy.yaml", "--runs", copied)
    assert times(copied / "toy") == before


def test_changing_a_training_setting_trains_again_and_extracts_nothing(folder, copied):
    before = times(copied / "toy")
    said = reseed("run", folder / "toy.yaml", "--runs", copied, "--set", "train.quick.epochs=2").splitlines()
    assert any(re.fullmatch(r"1/4  train: quick \(.* s\)", line) for line in said)
    assert said[-4].startswith(json.loads((copied / "toy" / layout.CONCLUSIONS).read_text())[0]["sentence"][:20])
    assert said[-3] == f"report: {copied / 'toy' / layout.PAGE}"
    assert said[-2] == (
        "made: 1 store, 1 model and 1 score file; as before: 8 lists, 4 stores, 2 models and 3 score files"
    )
    assert re.fullmatch(r"4 steps: (train|enhance|score|report) .* s; in all .* s", said[-1])
    changed = {name for name, time_ns in times(copied / "toy").items() if before.get(name) != time_ns}
    assert {"models/quick/model.json", "scores/quick.parquet", "report/metrics.json"} <= changed
    kept = ("corpus/", "stores/ge2e/", "models/wccn/", "stores/ge2e+wccn/", "scores/raw", "scores/wccn")
    assert [name for name in changed if name.startswith(kept)] == []


def test_training_enhancing_scoring_and_reporting_open_no_audio(copied):
    """Whoever opens a recording fails, and so does the only decoder of the project: the cache alone is enough."""
    script = textwrap.dedent(
        """
        import sys, soundfile
        def refuse(*arguments, **keywords): raise AssertionError(f"audio was opened: {arguments}")
        soundfile.SoundFile.__init__ = soundfile.read = soundfile.info = refuse
        def hook(event, arguments):
            if event == "open" and str(arguments[0]).endswith((".flac", ".wav")): refuse(arguments)
        sys.addaudithook(hook)
        from reseed.cli import main
        for step in sys.argv[1:]:
            main([*step.split(), "--config", "config.yaml"], standalone_mode=False)
        """
    )
    steps = [
        "train --system quick --store stores/ge2e/train --model models/new",
        "enhance --store stores/ge2e/dev --model models/new --enhanced stores/new",
        "score --system quick --store stores/new --trials corpus/trials.parquet --scores scores/new.parquet"
        " --utterances corpus/dev/speech/utterances.parquet --identification scores/new.identification.parquet",
        "report --scores scores/new.parquet --identification scores/new.identification.parquet --store stores/new"
        " --utterances corpus/dev/speech/utterances.parquet --out new",
    ]
    command = [sys.executable, "-c", script, *steps]
    subprocess.run(command, cwd=copied / "toy", check=True, capture_output=True)
    assert (copied / "toy" / "new" / "metrics.json").exists()


@pytest.fixture
def unextracted(copied) -> Path:
    """A run whose manifests are there and whose training embeddings are not: it is at extraction soon."""
    for name in ("train", "train.jobs"):
        shutil.rmtree(copied / "toy" / "stores" / "ge2e" / name)
    return copied


def started(folder: Path, runs: Path, sealed_shards: int) -> subprocess.Popen:
    """Start to extract in a session of its own; return once so many shards are sealed and it is still at work."""
    command = [*RESEED, "run", str(folder / "toy.yaml"), "--runs", str(runs), f"{STORES[0]}/store.json"]
    process = subprocess.Popen(command, start_new_session=True, stderr=subprocess.DEVNULL)
    while len(list(runs.glob("toy/stores/ge2e/train/shards/*.parquet"))) < sealed_shards:
        assert process.poll() is None
        time.sleep(0.01)
    return process


def test_a_run_killed_again_and_again_during_extraction_ends_with_the_same_bytes(folder, finished, unextracted):
    generator = random.Random(0)
    for sealed_shards in (1, 3):
        process = started(folder, unextracted, sealed_shards)
        time.sleep(generator.random() / 20)
        os.killpg(process.pid, signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
        with (unextracted / "toy" / ".lock").open() as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # free once the last of the killed processes is gone
        assert not (unextracted / "toy" / STORES[0] / "store.json").exists()
    reseed("run", folder / "toy.yaml", "--runs", unextracted, f"{STORES[0]}/store.json")
    assert_same_files(unextracted / "toy" / STORES[0], finished / STORES[0])


def test_a_run_whose_head_alone_is_killed_is_gone_once_its_steps_are_done(folder, unextracted):
    process = started(folder, unextracted, sealed_shards=1)
    process.kill()
    process.wait()
    with (unextracted / "toy" / ".lock").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # which Snakemake holds
    assert (unextracted / "toy" / STORES[0] / "store.json").exists()
    while "reseed" in processes_of(process):  # the server of steps looks for an instant longer
        time.sleep(0.01)


def processes_of(session: subprocess.Popen) -> str:
    command = ["ps", "-o", "args=", "--sid", str(session.pid)]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout


def test_a_cluster_with_a_queue_gives_the_same_bytes_though_a_job_is_killed(folder, finished, unextracted):
    """Through the cluster-generic executor, with a queue that is a script on this machine."""
    queue = folder / "queue.sh"
    queue.write_text(f'#!/bin/sh\nsetsid sh "$1" >>{folder}/queue.log 2>&1 &\necho $!\n')
    queue.chmod(0o755)
    profile = folder / "queue"
    profile.mkdir()
    settings = {"executor": "cluster-generic", "cluster-generic-submit-cmd": str(queue), "jobs": 2}
    often = {"rerun-incomplete": True, "seconds-between-status-checks": 1}
    (profile / "config.yaml").write_text(yaml.safe_dump(settings | often))
    command = [*RESEED, "run", folder / "toy.yaml", "--runs", unextracted, "--profile", profile]
    chosen = ["--set", "extract.jobs=2", f"{STORES[0]}/store.json"]
    process = subprocess.Popen([*map(str, command), *chosen], stderr=subprocess.PIPE, text=True)
    shards = unextracted / "toy" / STORES[0] / "shards"
    while not list(shards.glob("*.parquet")) or not (jobs := extracting(unextracted / "toy")):
        assert process.poll() is None, process.communicate()[1]
        time.sleep(0.01)
    os.kill(jobs[-1], signal.SIGKILL)
    _, said = process.communicate()
    assert process.returncode == 0, said
    assert "Trying to restart job" in (folder / "queue.log").read_text()
    assert_same_files(unextracted / "toy" / STORES[0], finished / STORES[0])


def test_a_terminated_run_takes_its_steps_along(folder, unextracted):
    process = started(folder, unextracted, sealed_shards=1)
    process.terminate()
    assert process.wait() == 128 + signal.SIGTERM
    assert "reseed" not in processes_of(process)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_run_in_the_background_of_a_script_ends_by_a_signal(folder, unextracted, number):
    """Such a process starts with SIGINT ignored, and so would Snakemake and its jobs."""
    run = [*RESEED, "run", str(folder / "toy.yaml"), "--runs", str(unextracted), f"{STORES[0]}/store.json"]
    script = f"{shlex.join(run)} 2>{unextracted}/said & echo $!; wait $!; echo $?"
    shell = subprocess.Popen(["sh", "-c", script], stdout=subprocess.PIPE, text=True, start_new_session=True)
    process = int(shell.stdout.readline())
    while not list(unextracted.glob("toy/stores/ge2e/train/shards/*.parquet")):
        assert shell.poll() is None
        time.sleep(0.01)
    if number == signal.SIGINT:  # a script's background ignores it: it is for whoever is at the terminal
        os.kill(process, number)
    os.kill(process, signal.SIGTERM)
    assert int(shell.communicate()[0]) == 128 + signal.SIGTERM
    assert "reseed: terminated; run again to go on where it stopped" in (unextracted / "said").read_text()
    assert "reseed" not in processes_of(shell)


def test_a_terminal_sees_how_far_the_run_is_and_ctrl_c_ends_it(folder, unextracted):
    run = [*RESEED, "run", str(folder / "toy.yaml"), "--runs", str(unextracted), f"{STORES[0]}/store.json"]
    process, terminal = pty.fork()
    if process == 0:
        os.execvpe(run[0], run, {**os.environ, "TERM": "xterm", "COLUMNS": "120", "LINES": "30"})
    shown, is_ended = b"", False
    with os.fdopen(terminal, "r+b", buffering=0) as screen, suppress(OSError):  # EIO: the other end is closed
        while data := screen.read(1 << 16):
            shown += data
            if b"utterances/s, shard" in shown and not is_ended:
                is_ended = bool(screen.write(b"\x03"))
    assert os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) in (128 + signal.SIGINT, 0)
    frames = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown.decode()).replace("\r", "\n")
    assert re.search(
        r"toy: 0 of 2 steps, .* s *\n+  extract +━+ +0/2 *\n+  extract: train by ge2e, job 0 of 1 ", frames
    )
    assert "Traceback" not in frames
    assert "reseed: interrupted; run again to go on where it stopped" in frames or "report: " in frames


def extracting(run: Path) -> list[int]:
    """Return the processes that extract for a run: whose command lines say so, and that work in its folder."""
    pattern = f"extract .*{STORES[0]} --job"
    found = subprocess.run(["pgrep", "-f", pattern], capture_output=True, text=True, check=False).stdout.split()
    return [int(number) for number in found if Path(f"/proc/{number}/cwd").resolve() == run.resolve()]


def test_a_failed_step_ends_in_its_one_line(folder, copied):
    (folder / "noises").mkdir()
    (folder / "noises" / "a.wav").touch()
    source = ("--set", f"corpus.sources={{noise/train: {{path: {folder / 'noises'}}}}}")
    target = "corpus/train/noise/utterances.parquet"
    output = reseed("run", folder / "toy.yaml", "--runs", copied, *source, target, ok=False)
    *_, failed, ends, how, why = output.splitlines()
    assert re.fullmatch(r"failed after .* s: prepare: noise of train", failed)
    assert re.fullmatch(
        rf"  to repeat it alone: \(cd {copied / 'toy'} && reseed prepare --config config.yaml .*\)", how
    )
    assert why.startswith(f"reseed: the run stopped: {folder / 'noises'}: no usable recording")
    log = copied / "toy" / "logs/prepare.train.noise.log"
    assert why.endswith(f"({log})")
    assert ends.startswith(f"  its log, {log}, ends: reseed: {folder / 'noises'}: no usable recording")


def test_a_step_that_is_killed_is_told_from_one_that_failed(folder, unextracted, monkeypatch):
    monkeypatch.setenv("KILLED_BEFORE", "1")
    output = reseed("run", folder / "toy.yaml", "--runs", unextracted, f"{STORES[0]}/store.json", ok=False)
    *_, failed, ends, how, why = output.splitlines()
    assert re.fullmatch(r"failed after .* s: extract: train by ge2e, job 0 of 1", failed)
    assert ends.endswith("ends: without a word")
    assert "&& reseed extract --config config.yaml" in how
    assert why.startswith("reseed: the run stopped: a step was killed, for want of memory most likely")


def test_a_trial_list_that_is_not_there_is_refused_before_any_step(folder):
    output = reseed("run", folder / "toy.yaml", "--runs", folder / "r", "--set", "trials.list=/nowhere.txt", ok=False)
    assert output == "reseed: trials.list: /nowhere.txt does not exist\n"


def test_a_run_reads_a_published_data_set_where_it_lies(folder, tmp_path):
    write_wave(tmp_path / "musan" / "noise" / "free-sound" / "noise-free-sound-0000.wav", voice(1, 1))
    source = f"corpus.sources={{noise/train: {{dataset: musan, path: {tmp_path / 'musan'}, split: all}}}}"
    target = "corpus/train/noise/utterances.parquet"
    reseed("run", folder / "toy.yaml", "--runs", tmp_path, "--set", source, target)
    (row,) = read_manifest(tmp_path / "toy" / target)
    assert row.path.endswith("noise-free-sound-0000.wav")


def test_a_corpus_that_lacks_a_folder_is_refused_before_any_step(folder):
    output = reseed("run", folder / "toy.yaml", "--runs", folder / "r", "--set", "corpus.evaluation=test", ok=False)
    assert output == (
        f"reseed: the corpus {folder / 'audio'} has no folder speech/test, noise/test, rir/test; "
        "it has speech/dev, speech/train\n"
    )


def test_a_mistyped_profile_is_refused(folder):
    output = reseed("run", folder / "toy.yaml", "--runs", folder / "runs", "--profile", "slrum", ok=False)
    assert output == "reseed: no profile 'slrum'; choose kubernetes, local, slurm, or give the path of one\n"


def test_a_dry_run_changes_nothing(folder, copied):
    before = times(copied / "toy")
    output = reseed("run", folder / "toy.yaml", "--runs", copied, "--set", "seed=9", "--dry-run")
    assert "extract" in output
    assert "Building DAG of jobs" in reseed("run", folder / "toy.yaml", "--runs", copied, "-n")
    assert times(copied / "toy") == before


def test_a_run_in_use_is_not_started_twice(folder, copied):
    with (copied / "toy" / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        output = reseed("run", folder / "toy.yaml", "--runs", copied, ok=False)
    assert "is in use by another `reseed run`" in output
