"""Every command, ended by a signal at any moment: one line, 128 and the signal's number, no process and nothing left.

RESEED_KILLS sets how many signals each command is given; without it one command is given one.
"""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.verbs import VERBS, Verb, begin, write_house

KILLS = int(os.environ.get("RESEED_KILLS", "0"))
WORDS = {signal.SIGINT: "interrupted", signal.SIGTERM: "terminated", signal.SIGHUP: "hung up"}
NEEDED = ("prepare-train", "prepare-train.noise", "extract")
_EXTRACT = "extract --config toy.yaml --utterances corpus/train.parquet --noise corpus/train.noise.parquet"
SPREAD = {"extract-dask": Verb(f"{_EXTRACT} --dask local:2 --store stores/spread", ("stores/spread",))}
ALL = {name: verb for name, verb in VERBS.items() if name != "compare"} | SPREAD  # that reads two finished runs


@pytest.fixture(scope="module")
def house(tmp_path_factory):
    house = tmp_path_factory.mktemp("signalled")
    write_house(house, None, [name for name in ALL if name in VERBS] if KILLS else NEEDED)
    return house


@pytest.mark.parametrize("name", ALL if KILLS else ["extract"])
def test_a_command_that_a_signal_ends_says_so_and_leaves_nothing(house, tmp_path, name):
    verb, generator, ended = ALL[name], random.Random(name), 0
    seconds = taken_s(verb, house, tmp_path) if KILLS else 0.0
    for _ in range(KILLS or 1):
        number = generator.choice([*WORDS])
        begin(verb, house)
        before = hidden(house, tmp_path)
        process = started(verb, house, tmp_path)
        while process.poll() is None and not hears(process):
            time.sleep(0.001)
        time.sleep(generator.uniform(0, seconds))
        signalled(process, number, generator)
        _, said = process.communicate()
        where = f"{name}, signal {number}, status {process.returncode}: {said}"
        assert "Traceback" not in said, where
        assert "Exception ignored" not in said, where
        assert process.returncode in (0, 128 + number), where
        if process.returncode:
            ended += 1
            (line,) = (line for line in said.splitlines() if line.startswith("reseed: "))
            assert line.startswith(f"reseed: {WORDS[number]};"), where
        assert processes_left(process) == [], where
        assert hidden(house, tmp_path) == before, where
    if KILLS:
        taken_s(verb, house, tmp_path)  # others read what it makes
    print(f"{name}: {ended} of {KILLS or 1} ended by the signal, the rest were done")


def taken_s(verb: Verb, house: Path, temporary: Path) -> float:
    """Return how long a command takes that is left alone."""
    begin(verb, house)
    start = time.monotonic()
    started(verb, house, temporary).communicate()
    return time.monotonic() - start


def started(verb: Verb, house: Path, temporary: Path) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-m", "reseed.cli", *verb.line.split()],
        cwd=house,
        env={**os.environ, "TMPDIR": str(temporary)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def hears(process: subprocess.Popen) -> bool:
    """Whether a process has a handler for SIGTERM, as a command has once it has begun."""
    status = Path(f"/proc/{process.pid}/status").read_text()
    caught = next((line.split()[1] for line in status.splitlines() if line.startswith("SigCgt")), "0")
    return bool(int(caught, 16) >> (signal.SIGTERM - 1) & 1)


def signalled(process: subprocess.Popen, number: int, generator: random.Random) -> None:
    """Signal a process, or its group as a terminal does; at times twice."""
    send = generator.choice([os.kill, os.killpg])
    for pause_s in (0, *([generator.uniform(0, 0.3)] if generator.random() < 0.3 else [])):
        time.sleep(pause_s)
        if process.poll() is None:
            send(process.pid, number)


def processes_left(process: subprocess.Popen) -> list[str]:
    command = ["ps", "-o", "args=", "--sid", str(process.pid)]
    found = subprocess.run(command, capture_output=True, text=True, check=False).stdout.splitlines()
    return [line for line in found if not line.startswith("[")]  # those have ended, and it is nobody's to wait for them


def hidden(house: Path, temporary: Path) -> set[Path]:
    """Return what is temporary; torch keeps a folder of its own."""
    return {*house.rglob(".*"), *(path for path in temporary.iterdir() if not path.name.startswith("torchinductor"))}
