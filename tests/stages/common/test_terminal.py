"""What is printed: whatever names hold, a terminal is given nothing to obey and a line stays a line."""

import json
import shutil

import numpy as np
import pytest
from click.testing import CliRunner

from reseed.cli import main
from reseed.stages.common.terminal import lines, printable
from reseed.store import Reject
from reseed.store.inputs import Parent
from tests.stages.auditing.faults import altered, forge, relabelled
from tests.stages.auditing.generated import make_store

CONTROLS = [
    *range(0x20),
    *range(0x7F, 0xA0),
    0x061C,
    0x200B,
    *range(0x200E, 0x2010),
    *range(0x2028, 0x202F),
    *range(0x2066, 0x206A),
    0xFEFF,
    0xDC9B,
]


@pytest.mark.parametrize("character", [*map(chr, CONTROLS)], ids=ascii)
def test_what_a_terminal_would_obey_is_written_out(character):
    shown = printable(f"a{character}b")
    assert shown.isprintable()
    assert shown.startswith("a\\")
    assert shown.encode().decode("unicode_escape") == f"a{character}b"


def test_words_of_every_language_stay():
    for text in ("Ångström", "李雷", "Ελλάδα", "عربي", "naïve café", "\N{GRINNING FACE}"):
        assert printable(text) == text


def test_what_may_stay_stays():
    assert printable("a\n\tb\r", keep="\n\t") == "a\n\tb\\r"
    assert lines(["a\nb", "c"]) == "a\\nb\nc"


EVIL = "\x1b]0;owned\x07\x1b[31m\u202egnp\x9b2J\r\nreseed: all is well\n<script>alert(1)</script>$\\frac"


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """A store whose every name is hostile: of utterances, speakers, views, space, noises, what it was made from."""
    root = tmp_path_factory.mktemp("evil")
    views = {"clean": {}, f"noise{EVIL}": {"noise": 5.0}}
    parents = (Parent(role=f"utterances{EVIL}", path=f"/nowhere/{EVIL}", digest=EVIL),)
    rejects = (Reject(f"bad{EVIL}", EVIL, EVIL),)
    options = {"speakers": 4, "each": 3, "shards": 2, "views": views, "space": f"ge2e:{EVIL}", "prefix": EVIL}
    make_store(root / "plain", **options, lineage=parents, rejects=rejects)
    names = {f"s{speaker:04}": f"s{speaker}{EVIL}" for speaker in range(4)}
    return altered(root / "plain", root / "stores" / "ge2e" / "train", lambda _, v, rows: (v, relabelled(rows, names)))


def commands(store):
    name = f"{EVIL}s0000-0"
    forged = store.parent / "forged"
    if not forged.exists():
        shutil.copytree(store, forged)
        forge(forged, 0, lambda vectors: vectors.__setitem__(3, np.nan))
    return {
        "info": ["info", store],
        "verify": ["verify", store],
        "verify against": ["verify", store, "--utterances", store / "rejects.parquet"],
        "verify what is damaged": ["verify", forged],
        "audit": ["audit", store],
        "audit what is damaged": ["audit", forged],
        "sql": ["sql", store, "select * from catalogue"],
        "sql with nothing": ["sql", store, f"select '{EVIL}', \"{EVIL}\" from catalogue"],
        "replay": ["replay", store, name, "--view", "clean"],
        "replay of nothing": ["replay", store, f"no{name}", "--view", EVIL],
        "drop": ["drop", store, "--utterance", f"no{EVIL}"],
        "all-pairs": ["all-pairs", store, "--view", "clean", "--out", store.parent / f"n{EVIL[0]}.parquet"],
        "all-pairs of nothing": ["all-pairs", store, "--view", "no", "--out", store.parent / "n.parquet"],
        "export": ["export", store, "--format", "kaldi", "--out", store.parent / "kaldi"],
        "compact": ["compact", forged],
        "a store of no such name": ["info", store / EVIL.replace("/", "")],
    }


def test_no_command_prints_what_a_terminal_would_obey(store):
    for what, command in commands(store).items():
        said = CliRunner().invoke(main, [str(word) for word in command])
        printed = said.output.split("\n")
        assert all(line.isprintable() for line in printed), (what, said.output)
        assert not any(line.startswith("reseed: all is well") for line in printed), (what, said.output)


@pytest.mark.parametrize(
    "command", [["info"], ["audit"], ["sql", "select * from catalogue"]], ids=lambda words: words[0]
)
def test_json_says_names_as_they_are_and_is_printable(store, command):
    said = CliRunner().invoke(main, [command[0], str(store), *command[1:], "--json"])
    assert all(line.isprintable() for line in said.output.split("\n"))
    assert any(EVIL in text for text in _texts(json.loads(said.output)) if isinstance(text, str))


def _texts(found):
    if isinstance(found, dict | list):
        for item in [*found, *found.values()] if isinstance(found, dict) else found:
            yield from _texts(item)
    else:
        yield found
