"""A file that a command reads has a bit flipped, or is cut: the command does what it did, or ends with one line.

Every command of tests/verbs.py reads what those before it wrote. RESEED_KILLS=100 damages 2,500 files of all kinds,
each of them read by a process of its own, and prints a table by kind.
"""

import os
import random
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.runs import contents
from tests.verbs import VERBS, Verb, begin, remove, write_house
from tests.warm import ask

ROUNDS = int(os.environ.get("RESEED_KILLS", "0"))
EVERYTHING = ROUNDS >= 100
TRIALS = 25 * ROUNDS or 14
NEEDED = ("prepare-dev", "prepare-dev.noise", "trials-dev", "extract-dev", "score-raw")
SHARE = ("trials-dev", "score-raw", "threshold", "sql", "verify-dev", "info")
READERS = {
    "threshold": Verb("threshold scores/raw.parquet --false-accept 0.2 --json", ()),
    "sql": Verb("sql stores/dev", ()),
    "threshold-calibrated": Verb("threshold scores/calibrated.parquet --false-accept 0.2 --json", ()),
    "verify-dev": Verb("verify stores/dev", ()),
    "info": Verb("info stores/dev", ()),
}
_QUERY = "SELECT count(*), max(seed), min(snr_db), count(DISTINCT utterance_id) FROM catalogue"
_NOT_OURS = {"", "toy.yaml", "synthetic.yaml", "audio", "seed.pth"}
_SLOW = {"init", "synthesise", "replay", "train-backbone", "train-frontend", "denoise", "sweep", "compare"}
KINDS = (  # the first that fits
    ("store.json", "store.json"),
    ("vectors (HDF5)", "*.h5"),
    ("catalogue of a shard", "shards/*.parquet"),
    ("rejects", "*rejects.parquet"),
    ("trials", "*.trials.parquet"),
    ("enrolments", "*.enrolments.parquet"),
    ("manifest", "corpus/*.parquet"),
    ("ranks of identification", "*.identification.parquet"),
    ("calibrated scores", "*calibrated.parquet"),
    ("scores", "scores/*.parquet"),
    ("quality measures", "quality.parquet"),
    ("weights of a model or backbone", "*.safetensors"),
    ("JSON of a model or backbone", "*/model.json"),
    ("JSON of a model or backbone", "*/alignment.json"),
    ("JSON of a model or backbone", "*/backbone.json"),
    ("JSON of a model or backbone", "*/frontend.json"),
    ("export: Parquet", "exported.parquet"),
    ("export: directory", "exported.*/*"),
)

Outcome = tuple[int, str, dict[str, bytes]]  # exit status, what was printed, what was made


@dataclass(frozen=True)
class Reading:
    """One command, and a file that it reads."""

    name: str
    verb: Verb
    victim: Path
    kind: str


@pytest.fixture(scope="module")
def house(tmp_path_factory):
    """A folder in which each command has been called once."""
    house = tmp_path_factory.mktemp("house")
    write_house(house, None, [name for name in VERBS if name != "compare"] if EVERYTHING else NEEDED)
    return house


def test_damage_to_whatever_a_command_reads_changes_nothing_or_is_told_in_one_line(house):
    generator, counts, faults = random.Random(7), Counter(), []
    sound: dict[str, Outcome] = {}
    by_kind: dict[str, list[Reading]] = {}
    for reading in readings(house):
        by_kind.setdefault(reading.kind, []).append(reading)
    for trial in range(TRIALS):
        reading = generator.choice(by_kind[sorted(by_kind)[trial % len(by_kind)]])
        way = "cut" if trial // len(by_kind) % 6 == 5 else "flip"
        if reading.name not in sound:
            with as_it_was(reading.verb, house):
                begin(reading.verb, house)
                sound[reading.name] = outcome(reading.verb, house)
            assert sound[reading.name][0] == 0, sound[reading.name][1]
        found = damaged_outcome(reading, house, way, generator, sound[reading.name])
        counts[reading.kind, way, found.partition(":")[0]] += 1
        if found.startswith("fault"):
            faults.append(f"{reading.name}, {way} of {reading.victim}, {found}")
            print(faults[-1], flush=True)
    for (kind, way, found), count in sorted(counts.items()):
        print(f"{kind} | {way} | {found} | {count}")
    assert faults == []


def readings(house: Path) -> Iterator[Reading]:
    """Yield every command with every file that its line names, or that lies below a folder that it names."""
    for name in VERBS | READERS if EVERYTHING else SHARE:
        verb = (VERBS | READERS)[name]
        words = {verb.start if word in verb.made else word for word in verb.line.split()[1:]} - _NOT_OURS
        named = [house / word for word in sorted(words) if not word.startswith("audio/")]
        for file in sorted({file for path in named for file in files_below(path)} if name not in _SLOW else ()):
            kinds = [kind for kind, pattern in KINDS if file.match(pattern)]
            if kinds and verb.start and file.is_relative_to(house / verb.start):
                file = house / verb.made[0] / file.relative_to(house / verb.start)
            if kinds:
                yield Reading(name, verb, file, kinds[0])


def outcome(verb: Verb, house: Path) -> Outcome:
    status, said = ask(*verb.line.split(), *([_QUERY] if verb.command == "sql" else []), folder=house)
    files = [file for name in verb.made for file in files_below(house / name)]
    return status, said, {str(file.relative_to(house)): contents(file) for file in files}


def damaged_outcome(reading: Reading, house: Path, way: str, generator: random.Random, sound: Outcome) -> str:
    """Damage a file, call the command, mend the file; says how that ended."""
    with as_it_was(reading.verb, house):
        begin(reading.verb, house)
        before = reading.victim.read_bytes()
        reading.victim.write_bytes(damaged(before, way, generator))
        status, said, made = outcome(reading.verb, house)
        if not any(reading.victim.is_relative_to(house / name) for name in reading.verb.made):
            reading.victim.write_bytes(before)
    if reading.verb.command == "audit" and status == 1 and "failed  files" in said:
        return "refused"  # the page names the file, and all other rules are answered without it
    if status == 0:
        differing = {name for name in sound[2].keys() | made.keys() if sound[2].get(name) != made.get(name)}
        differing -= {str(reading.victim.relative_to(house))}  # where an edit left it as it was: its readers are told
        is_same = not differing and (bool(reading.verb.made) or said == sound[1])
        return "no difference" if is_same else f"fault: a silent change of {sorted(differing) or said}"
    told = [line for line in said.splitlines() if line.startswith("reseed: ")]
    if status != 1 or len(told) != 1 or "Traceback" in said or "unexpected" in told[0]:
        return f"fault: exit {status}: {said[-400:]}"
    where = said if reading.verb.command == "verify" else told[0]  # which lists the problems
    names_it = reading.victim.name in where or str(reading.victim.parent.relative_to(house)) in where
    return "refused" if names_it else f"fault: does not name the file: {told[0]}"


@contextmanager
def as_it_was(verb: Verb, house: Path) -> Iterator[None]:
    """Put back afterwards what a command makes: others read it."""
    kept = {file: file.read_bytes() for name in verb.made for file in files_below(house / name)}
    yield
    for name in verb.made:
        remove(house / name)
    for file, content in kept.items():
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)


def damaged(data: bytes, way: str, generator: random.Random) -> bytes:
    place = generator.randrange(len(data))
    changed = bytes([data[place] ^ 1 << generator.randrange(8)])
    return data[:place] if way == "cut" else data[:place] + changed + data[place + 1 :]


def files_below(path: Path) -> list[Path]:
    """Return the file at a path, or all those below it; none where there is nothing."""
    return [file for file in (path, *path.rglob("*")) if file.is_file()]
