"""Commands on a store in a bucket: they do what they do on the same store here."""

import re
import shlex
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner

from reseed.cli import main
from reseed.store import EmbeddingStore
from tests.object_server import needs_s3, served, server
from tests.stages.stores import write_store
from tests.store.stores import assert_same_files

__all__ = ["served", "server"]

pytestmark = needs_s3
FAR = "s3://bucket/far"
READ = (
    "info {}",
    "verify {}",
    "audit {}",
    "sql {} 'select utterance_id, view from catalogue order by all limit 5'",
    "export {} --output out.parquet",
    "card {} --output out.md",
    "train --system mse --set train.mse.epochs=2 --store {} --model out",
    "train --system wccn --store {} --model out",
    "sweep --system mse --set train.mse.epochs=1 --vary lr=0.1,0.01 --store {} --sweep out",
    "enhance --store {} --model models/wccn --enhanced out",
    "trials --utterances {} --trials out.parquet",
    "score --store {} --trials trials.parquet --system raw --scores out.parquet",
    "all-pairs {} --neighbours out.parquet",
    "upgrade {0} --from {0} --to other --method ridge --model out --upgraded out.store",
    "copy {} out",
)
_TIMED = ("train.jsonl", "sweep.json", "sweep.csv")
_PLACES = ("card.md", "model.json", "alignment.json", "README.md", "index.html", "store.json")  # these name the store


def call(line, status=0):
    result = CliRunner().invoke(main, shlex.split(line), catch_exceptions=False)
    assert result.exit_code == status, result.output
    return result.output


@pytest.fixture
def places(served, tmp_path, monkeypatch):
    """A folder with a store, and the same store in a bucket."""
    monkeypatch.chdir(tmp_path)
    write_store(tmp_path / "near", utterances=40, shards=2)
    write_store(tmp_path / "other", utterances=40, shards=2, space="ge2e:bbbbbbbb")
    shutil.copytree(tmp_path / "near", served.root / "bucket" / "far")
    return served


def timeless(said):
    """What a command said, but for how long it took."""
    return re.sub(r"[\d.,]+ (s\b|pairs/s)", "", said)


def made():
    """The bytes of all that a command has written, but for the files that name the store or times; it is removed."""
    found = {}
    for path in Path().glob("out*"):
        files = [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]
        found |= {str(file): file.read_bytes() for file in files if file.name not in (*_PLACES, *_TIMED)}
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    return found


@pytest.mark.parametrize("line", READ, ids=lambda line: line.partition(" ")[0])
def test_a_command_makes_of_a_store_elsewhere_what_it_makes_of_one_here(places, line):
    if "models/wccn" in line:
        call("train --system wccn --store near --model models/wccn")
    if "trials.parquet" in line:
        call("trials --utterances near --trials trials.parquet")
    said, here = timeless(call(line.format("near"))), made()
    assert timeless(call(line.format(FAR))).replace(FAR, "near") == said
    there = made()
    assert there.keys() == here.keys()
    assert [name for name in here if there[name].replace(FAR.encode(), b"near") != here[name]] == []


def test_a_store_that_is_made_there_is_the_one_that_is_made_here(places, capsys):
    call("train --system wccn --store near --model model")
    call("enhance --store near --model model --enhanced here")
    call("enhance --store near --model model --enhanced s3://bucket/made")
    assert_same_files(Path("here"), places.root / "bucket" / "made")
    call("export near --output all.parquet")
    call("import all.parquet --store imported")
    assert "\ns3://bucket/imported: 40 utterances stored" in call("import all.parquet --store s3://bucket/imported")
    assert_same_files(Path("imported"), places.root / "bucket" / "imported")


def test_a_copy_says_what_was_copied(places):
    assert call("copy near s3://bucket/copied").startswith("s3://bucket/copied: the store near, 0.0 MB in ")
    assert call("copy near s3://bucket/copied").endswith(", 0 of them copied now\n")
    EmbeddingStore("s3://bucket/copied").verify()


def test_a_store_is_not_enhanced_into_itself_nor_extracted_there_by_jobs(places):
    call("train --system wccn --store near --model model")
    said = call(f"enhance --store {FAR} --model model --enhanced {FAR}", status=1)
    assert said == f"reseed: {FAR} is {FAR}, which is to be read; write it elsewhere\n"
    said = call(f"extract --config toy.yaml --utterances u.parquet --job 0/2 --store {FAR}", status=2)
    assert "Jobs write into one folder that all of them see; `reseed copy` it to a URL at the end." in said


def test_what_changes_a_store_asks_for_one_of_this_machine(places):
    said = call(f"drop {FAR} --utterance utt-0", status=2)
    assert "s3:// is an address; here a file or folder of this machine is meant" in said
