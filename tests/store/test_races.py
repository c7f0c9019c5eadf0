"""Edits of one store at the same time, and readers beside them: whatever the interleaving, all see whole states.

RESEED_KILLS says how many rounds of each pair of edits; processes are forked from one that has the libraries loaded.
"""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from itertools import combinations_with_replacement, count
from pathlib import Path

import pytest

from reseed.stages.verify import verify
from reseed.store import (
    Declaration,
    EmbeddingStore,
    Reject,
    StoreBusyError,
    StoreChangedError,
    append_shards,
    compact,
    convert,
    drop,
    edited,
    finalise,
)
from reseed.store.expiry import expire
from reseed.store.format import REJECTS_NAME
from reseed.store.lock import editing
from reseed.store.states import NEXT_REJECTS_NAME, complete_removal, use_rejects
from reseed.store.writer import read_rejects
from tests.store.stores import declare, write_shards
from tests.warm import die_before

ROOT = Path(__file__).resolve().parents[2]
ROUNDS = int(os.environ.get("RESEED_KILLS", "2"))
EVERYTHING = ROUNDS >= 20


def fresh(store: Path, **declared: str) -> None:
    declaration = declare(**declared)
    names = write_shards(store, [("u0", "u1"), ("u2", "u3"), ("u4",)], declaration)
    finalise(store, declaration, names, 6, [Reject("bad", "extract", "is silent")])


def append(store: Path, utterance: str) -> None:
    """Append as `reseed append` does."""
    with editing(store):
        complete_removal(store)
        before = EmbeddingStore(store)
        if utterance in before.utterance_ids():
            return
        declaration = edited(before.header.declaration, "append", utterance)
        first = max(shard.index for shard in before.shards) + 1
        names = write_shards(store, [(utterance,)], declaration, first)
        append_shards(store, names, declaration, before.header.expected + 1, before.rejects())


def verified(store: Path) -> None:
    """Verify as `reseed verify` does, which starts over where the store was changed."""
    try:
        verify(store=store)
    except StoreChangedError:
        verified(store)


def without_reverb(declaration: Declaration) -> Declaration:
    return replace(declaration, views={name: given for name, given in declaration.views.items() if name != "reverb"})


EDITS: dict[str, Callable[[Path], object]] = {
    "append": lambda store: append(store, "u5"),
    "append-other": lambda store: append(store, "u6"),
    "drop-speaker": lambda store: drop(store, speakers=["s1"]),
    "drop-rejected": lambda store: drop(store, utterances=["u0", "bad"]),
    "compact": lambda store: compact(store, rows_per_shard=10_000),
    "drop-view": lambda store: convert(store, "drop view reverb", without_reverb),
    "expire": lambda store: expire(store),
    "verify": lambda store: verified(store),
    "extract": lambda store: fresh(store, space="toy:2"),
}
# An edit removes the shards that an extraction by another recipe has written so far: that one is to be repeated.
PAIRS = [
    pair for pair in combinations_with_replacement(EDITS, 2) if "extract" not in pair or pair == ("verify", "extract")
]
CASES = PAIRS if EVERYTHING else [("drop-speaker", "drop-rejected"), ("append", "compact"), ("verify", "extract")]


@pytest.mark.parametrize("pair", CASES, ids=":".join)
def test_edits_at_once_are_done_one_after_the_other_or_refused_and_readers_see_whole_states(tmp_path, pair):
    code = "import sys, tests.store.test_races as races; races.rounds(*sys.argv[1:])"
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path), *pair], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    print(done.stdout)


@pytest.mark.parametrize("edit", EDITS if EVERYTHING else ("drop-rejected",))
def test_an_edit_killed_before_any_change_and_repeated_ends_as_one_left_alone(tmp_path, edit):
    code = "import sys, tests.store.test_races as races; races.kills(*sys.argv[1:])"
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path), edit], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    print(done.stdout)


def test_rejects_that_take_their_place_while_they_are_read_are_read(tmp_path):
    fresh(tmp_path / "store")
    store, header = tmp_path / "store", EmbeddingStore(tmp_path / "store").header
    (store / REJECTS_NAME).rename(store / NEXT_REJECTS_NAME)
    (store / REJECTS_NAME).write_bytes(b"those of the state before")

    def read(path: Path) -> list[Reject]:
        if path.name == NEXT_REJECTS_NAME:
            path.rename(store / REJECTS_NAME)
        return read_rejects(path)

    assert use_rejects(store, header, read) == EmbeddingStore(store).rejects() != []


def kills(folder: str, edit: str) -> None:
    """Kill an edit before each of its changes; a reader finds the old state or the new, the edit repeated the new."""
    here = Path(folder)
    fresh(here / "fresh")
    shutil.copytree(here / "fresh", here / "alone")
    EDITS[edit](here / "alone")
    seen, wanted = [look(here / "fresh"), look(here / "alone")], files(here / "alone")
    earlier = look_back(here / "alone")
    for number in count(1):
        store = here / "store"
        shutil.copytree(here / "fresh", store)
        status = os.waitpid(forked(die_in_edit, edit, store, number), 0)[1]
        if os.waitstatus_to_exitcode(status) == 0:
            break
        assert os.waitstatus_to_exitcode(status) == -signal.SIGKILL
        assert look(store) in seen, number
        assert os.waitpid(forked(run_edit, edit, store, 0), 0)[1] == 0, number
        assert files(store) == wanted, (number, sorted(files(store)), sorted(wanted))
        assert look_back(store) == earlier, number
        shutil.rmtree(store)
    print(f"{edit}: {number - 1} kills")


def die_in_edit(edit: str, store: Path, number: int) -> int:
    os.chdir(store)
    die_before(number)
    return run_edit(edit, store, 0)


def rounds(folder: str, first: str, second: str) -> None:
    """Run the rounds of one pair; ends with 1 and the reason where one goes wrong."""
    here = Path(folder)
    fresh(here / "fresh")
    orders = {"before": [], "first": [first], "second": [second], "both": [first, second], "both-back": [second, first]}
    for name, order in orders.items():
        shutil.copytree(here / "fresh", here / name)
        for edit in order:
            with suppress(Exception):
                EDITS[edit](here / name)
    states = {name: files(here / name) for name in orders}
    seen = [look(here / name) for name in orders]
    generator, counts = random.Random(first + second), {"refused": 0, "reads": 0, "changed": 0}
    for _ in range(ROUNDS):
        store = here / "store"
        shutil.copytree(here / "fresh", store)
        start = time.monotonic() + 0.002
        ends = [start + generator.uniform(0, 0.15) for _ in (first, second)]
        racing = [forked(run_edit, edit, store, at) for edit, at in zip((first, second), ends, strict=True)]
        reading, stop = os.pipe(), here / "stop"
        reader = forked(keep_reading, store, seen, stop, reading[1])
        os.close(reading[1])
        statuses = [os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) for process in racing]
        stop.touch()
        with os.fdopen(reading[0]) as said:
            counted = json.loads(said.read() or "{}")
        assert os.waitpid(reader, 0)[1] == 0, "a reader failed"
        ended = {(0, 0): ("both", "both-back"), (0, 3): ("first",), (3, 0): ("second",)}[*statuses]
        assert files(store) in [states[name] for name in ended], (ended, sorted(files(store)))
        counts["refused"] += statuses.count(3)
        counts = {key: number + counted.get(key, 0) for key, number in counts.items()}
        stop.unlink()
        shutil.rmtree(store)
    print(f"{first} and {second}: {ROUNDS} rounds, {counts}")


def forked(function: Callable[..., int], *arguments: object) -> int:
    process = os.fork()
    if process == 0:
        status = 1
        try:
            status = function(*arguments)
        except BaseException as error:
            print(f"{type(error).__name__}: {error}", file=sys.stderr, flush=True)
        os._exit(status)
    return process


def run_edit(edit: str, store: Path, at: float) -> int:
    """Do an edit at some time; 3 where it is refused because of another one."""
    while time.monotonic() < at:
        pass
    try:
        EDITS[edit](store)
    except StoreBusyError:
        return 3
    return 0


def keep_reading(store: Path, seen: list[object], stop: Path, out: int) -> int:
    """Read a store over and over: by the library, and by a command, which starts over where it was changed."""
    counts = {"reads": 0, "changed": 0}
    while not stop.exists():
        try:
            assert look(store) in seen, "a mixture was read"
            counts["reads"] += 1
        except StoreChangedError:
            counts["changed"] += 1
    os.write(out, json.dumps(counts).encode())
    return 0


def look(store: Path, version: int | None = None) -> object:
    """Return all that a reader sees of a store."""
    opened = EmbeddingStore(store, version=version)
    rows = opened.rows().to_pydict()
    opened.verify()
    return opened.fingerprint, opened.utterance_ids(), opened.vectors().tobytes(), rows, opened.rejects(), len(opened)


def look_back(store: Path) -> dict[int, object]:
    """Return all that a reader sees of the earlier states of a store."""
    kept = [each.number for each in EmbeddingStore(store).versions() if each.state == "kept"]
    return {number: look(store, number) for number in kept}


def files(store: Path) -> dict[str, bytes]:
    """Return the files of a store, its log without times; who writes shards removes no locks of other shards."""
    found = {str(path.relative_to(store)): path for path in store.rglob("*") if path.is_file()}
    return {name: path.read_bytes() if path.name != "log.json" else untimed(path) for name, path in found.items()}


def untimed(log: Path) -> bytes:
    """Return what a log of earlier states says but for when."""
    return json.dumps([{**each, "made": ""} for each in json.loads(log.read_text())["versions"]]).encode()
