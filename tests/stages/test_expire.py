"""The states of a store on the command line: listed, looked into, copied, expired."""

import json
import shlex

import pytest
from click.testing import CliRunner

from reseed.cli import main
from reseed.store import EmbeddingStore
from tests.stages.stores import write_store


@pytest.fixture
def edited(tmp_path, monkeypatch):
    """A store of three views that has lost one and was compacted."""
    monkeypatch.chdir(tmp_path)
    store = write_store(tmp_path / "s", shards=3)
    call("drop s --view reverb")
    call("compact s")
    return store


def call(line, status=0):
    result = CliRunner().invoke(main, shlex.split(line), catch_exceptions=False)
    assert result.exit_code == status, result.output
    return result.output


def test_the_states_are_listed_with_what_made_them(edited):
    lines = call("info s --versions").splitlines()
    assert lines[0].split() == ["version", "made", "(UTC)", "by", "rows", "utterances"]
    assert [line.split()[-1] for line in lines[1:]] == ["kept", "kept", "present"]
    assert "drop view reverb" in lines[2]
    assert "compact to 1 shard " in lines[3]
    listed = json.loads(call("info s --versions --json"))
    assert [(each["number"], each["rows"], each["state"]) for each in listed] == [
        (1, 72, "kept"),
        (2, 48, "kept"),
        (3, 48, "present"),
    ]


def test_an_earlier_state_is_looked_into_verified_exported_and_copied(edited):
    assert "clean, noise, reverb" in call("info s --version 1")
    assert call("verify s --version 1") == "s: 72 vectors in 3 shards, all as sealed\n"
    assert "72 x 16 vectors" in call("export s --version 1 --output out.parquet")
    assert "reverb" in call("copy s back --version 1") + call("info back")
    said = call("info s --version 7", status=1)
    assert said == "reseed: s: there is no version 7; there are 1, 2, 3 (`reseed info --versions`)\n"


def test_an_edit_says_what_earlier_states_take_and_expire_frees_it(edited, tmp_path):
    said = call("compact s --dtype float16")
    assert "s: earlier versions take " in said
    assert "`reseed expire s` frees them" in said
    assert call("expire s --keep 9") == "s: no version to expire\n"
    assert call("expire s --before 2020-01-01") == "s: no version to expire\n"
    assert call("expire s --keep 2").startswith("s: versions 1, 2 expired, ")
    assert call("expire s").startswith("s: version 3 expired, ")
    assert [path.name for path in (tmp_path / "s" / "versions").iterdir()] == ["log.json"]
    EmbeddingStore("s").verify()
    assert "earlier versions" not in call("drop s --utterance utt-003")
    assert call("expire none", status=1).startswith("reseed: none is not a finished store")
    assert not (tmp_path / "none").exists()
