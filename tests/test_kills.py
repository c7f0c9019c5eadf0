"""Every command that writes, killed at any moment and called once more: it ends as if it had been left alone.

A kill comes before the n-th change of a file or directory: where RESEED_KILLS is 100 or more, before each of the first
thirty and at growing distances from there, and after any share of the command's time. In between a reader finds the old
state or the new one, or nothing.
"""

import os
import random
import time
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path

import pytest

from reseed.cli import main
from reseed.store import EmbeddingStore
from tests.runs import contents
from tests.verbs import READING, VERBS, WHOLE_RUNS, Verb, begin, write_house
from tests.warm import KILLED, ask

KILLS = int(os.environ.get("RESEED_KILLS", "0"))
EVERYTHING = KILLS >= 100
SHARE = ("init", "prepare-train.noise", "import-parquet", "drop")
NEEDED = ("prepare-train", "prepare-train.noise", "extract", "export-parquet")
EACH = [*range(1, 31), *(round(30 * 1.3**step) for step in range(1, 20))]

State = dict[str, object]


@dataclass(frozen=True)
class Ends:
    """The states before and after a command that is left alone, and how long it takes."""

    before: State
    after: State
    seconds: float


@pytest.fixture(scope="module")
def house(tmp_path_factory, request):
    """A folder in which each command has been called once."""
    house = tmp_path_factory.mktemp("house")
    finished = request.getfixturevalue("finished") if EVERYTHING else None
    write_house(house, finished, VERBS if EVERYTHING else NEEDED)
    return house


def test_every_command_is_known_to_write_or_to_read():
    assert {verb.command for verb in VERBS.values()} | READING | WHOLE_RUNS == set(main.commands)


@pytest.mark.parametrize("name", VERBS if EVERYTHING else SHARE)
def test_a_command_killed_before_any_change_and_repeated_ends_as_one_left_alone(house, name):
    ends = left_alone(VERBS[name], house)
    generator = random.Random(name)
    places = EACH if EVERYTHING else [generator.randint(1, 12)]
    kills = [*takewhile(lambda place: killed_and_repeated(VERBS[name], house, ends, KILLED_BEFORE=place), places)]
    print(f"{name}: {len(kills)} kills, each before a change")


@pytest.mark.parametrize("name", VERBS if EVERYTHING else ())
def test_a_command_killed_after_any_time_and_repeated_ends_as_one_left_alone(house, name):
    ends = left_alone(VERBS[name], house)
    generator = random.Random(name)
    kills = [
        killed_and_repeated(VERBS[name], house, ends, KILLED_AFTER_S=generator.uniform(0, ends.seconds))
        for _ in range(KILLS // 10)
    ]
    print(f"{name}: {sum(kills)} kills at some moment of {ends.seconds:.1f} s")


def left_alone(verb: Verb, house: Path) -> Ends:
    begin(verb, house)
    before, start = state(verb, house), time.monotonic()
    status, said = ask(*verb.line.split(), folder=house)
    assert status == 0, said
    return Ends(before, state(verb, house), time.monotonic() - start)


def killed_and_repeated(verb: Verb, house: Path, ends: Ends, **when: float) -> bool:
    """Kill a command and call it once more; says whether it was killed before it ended."""
    begin(verb, house)
    killed, _ = ask(*verb.line.split(), folder=house, **when)
    assert killed in (0, KILLED)
    check_whole(verb, house, ends)
    status, said = ask(*verb.line.split(), folder=house)
    assert status == 0 or (verb.refused and verb.refused in said), (when, said)
    found = state(verb, house)
    assert set(found) ^ set(ends.after) == set(), (when, "left behind or missing")
    assert [name for name, content in ends.after.items() if found[name] != content] == [], when
    return killed == KILLED


def check_whole(verb: Verb, house: Path, ends: Ends) -> None:
    """Check what a reader finds where a command was killed: each file as before or as after, a store of either."""
    for name, content in state(verb, house).items():
        if "shards" not in name and not any(part.startswith(".") for part in Path(name).parts):
            assert content in (ends.before.get(name), ends.after.get(name)), name
        if Path(name).name == "store.json":
            EmbeddingStore(house / Path(name).parent).verify()


def state(verb: Verb, house: Path) -> State:
    """Return what a command has made, and of all else in its folder when it was changed."""
    found: State = {}
    for path in house.rglob("*"):
        name = str(path.relative_to(house))
        is_made = any(name == made or name.startswith(f"{made}/") for made in verb.made)
        if path.is_dir():
            found[name] = None
        else:
            found[name] = contents(path) if is_made else path.stat().st_mtime_ns
    return found
