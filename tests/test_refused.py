"""Commands that write refuse whatever is not their own in the place of what they write: it stays as it is."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from reseed.cli import main
from tests.runs import RUN
from tests.stages.stores import write_store

REPORT = "report --config run.yaml --scores s --identification i --store store --utterances u"
SCORE = "score --config run.yaml --system raw --store store --trials t --utterances u"
# What each command writes, as OUT; `folder` or `file`. Inputs are in the folder that it runs in.
WRITERS = {
    "train": ("folder", "train --config run.yaml --system wccn --store store --model OUT"),
    "sweep": ("folder", "sweep --config run.yaml --system wccn --store store --out OUT"),
    "adopt": ("folder", "adopt seed.pth --store store --model OUT"),
    "export npy": ("folder", "export store --out OUT --format npy"),
    "export kaldi": ("folder", "export store --out OUT --format kaldi"),
    "export webdataset": ("folder", "export store --out OUT --format webdataset"),
    "synthesise": ("folder", "synthesise --config run.yaml --root OUT"),
    "import": ("folder", "import exported.parquet --store OUT"),
    "enhance": ("folder", "enhance --store store --model model --enhanced OUT"),
    "extract": ("folder", "extract --config run.yaml --utterances u.parquet --noise n.parquet --store OUT"),
    "report": ("folder", f"{REPORT} --out OUT"),
    "export parquet": ("file", "export store --out OUT"),
    "card": ("file", "card store --out OUT"),
    "card of a model": ("file", "card model --out OUT"),
    "export-model": ("file", "export-model model --out OUT"),
    "prepare": ("file", "prepare --config run.yaml --source speech --utterances OUT --rejects r.parquet"),
    "prepare rejects": ("file", "prepare --config run.yaml --source speech --utterances u2.parquet --rejects OUT"),
    "trials": ("file", "trials --config run.yaml --utterances u.parquet --trials OUT"),
    "enrolments": ("file", "trials --config run.yaml --utterances u.parquet --trials t.parquet --enrolments OUT"),
    "divide": ("file", "divide --config run.yaml --utterances u.parquet --held-out h.parquet --rest OUT"),
    "score": ("file", f"{SCORE} --scores OUT --identification i2"),
    "ranks": ("file", f"{SCORE} --scores s2 --identification OUT"),
    "quality": ("file", "quality --store store --reference store --utterances u.parquet --quality OUT"),
    "calibrate": ("file", "calibrate --config run.yaml --held-out h --scores s --calibrated OUT"),
    "all-pairs": ("file", "all-pairs store --out OUT"),
    "audit": ("file", "audit store --out OUT"),
    "replay": ("file", "replay store utt-000 --view clean --out OUT.wav"),
}  # fmt: skip
FOLDERS, FILES = ([name for name, (kind, _) in WRITERS.items() if kind == wanted] for wanted in ("folder", "file"))


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A folder with a store, a model, and a configuration."""
    folder = tmp_path_factory.mktemp("world")
    (folder / "run.yaml").write_text(RUN)
    write_store(folder / "store", utterances=20, crops=1)
    for line in (
        "train --config run.yaml --system wccn --store store --model model",
        "export store --out exported.parquet",
    ):
        assert (result := run(line, folder)).exit_code == 0, result.output
    return folder


def run(line: str, folder: Path):
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        return CliRunner().invoke(main, line.split())


def refused(line: str, folder: Path, *said: str) -> None:
    """Run a command; nothing changes and one line says why."""
    before = state(folder)
    result = run(line, folder)
    assert result.exit_code == 1, result.output
    assert re.fullmatch(r"reseed: [^\n]+\n", result.output), result.output
    assert "unexpected" not in result.output
    assert any(word in result.output for word in said), result.output
    assert state(folder) == before


def state(folder: Path) -> dict[str, object]:
    paths = sorted(folder.rglob("*"))
    return {str(path): path.readlink() if path.is_symlink() else path.is_file() and path.read_bytes() for path in paths}


DECOYS = {
    "model.json": "{}", "sweep.json": "[]", "export.json": "{}", "store.json": "{}", "index.html": "<html>",
    "README.md": "# My thesis", "synthesis.json": "{}", "thesis.tex": "years of work",
}  # fmt: skip


@pytest.mark.parametrize("name", FOLDERS)
def test_a_folder_of_somebody_is_not_replaced_whatever_it_holds(world, name):
    line = WRITERS[name][1].replace("OUT", "theirs")
    for files in (DECOYS, {**DECOYS, "model.json": (world / "model/model.json").read_text()}, {"README.md": "# Mine"}):
        theirs = world / "theirs"
        theirs.mkdir()
        for file, text in files.items():
            (theirs / file).write_text(text)
        if name != "report" or "index.html" in files:  # a report leaves what else there is
            refused(line, world, "theirs")
        for file in theirs.iterdir():
            file.unlink()
        theirs.rmdir()
    (world / "link").symlink_to(world / "store")
    (world / "file").write_text("x")
    if name not in ("import", "extract", "enhance"):  # a store is written into, so that a link to its folder will do
        refused(WRITERS[name][1].replace("OUT", "link"), world, "link")
    refused(WRITERS[name][1].replace("OUT", "file"), world, "file")
    (world / "link").unlink()
    (world / "file").unlink()


@pytest.mark.parametrize("name", FILES)
def test_a_file_of_somebody_is_not_replaced(world, name):
    line = WRITERS[name][1]
    mine = world / "mine.wav" if name == "replay" else world / "mine"
    for text in ("spk1 spk2 target\n", json.dumps({"a": 1})):
        mine.write_text(text)
        refused(line.replace("OUT", "mine"), world, "mine")
    mine.write_bytes((world / "exported.parquet").read_bytes())
    if name != "export parquet":
        refused(line.replace("OUT", "mine"), world, "mine")
    mine.unlink()
    mine.symlink_to(world / "run.yaml")
    refused(line.replace("OUT", "mine"), world, "symbolic link")
    mine.unlink()
    mine.mkdir()
    refused(line.replace("OUT", "mine"), world, "folder")
    mine.rmdir()


@pytest.mark.parametrize("text", ["replicas: 2\n", "- a\n- b\n", "", "{", "name: 5\n"])
def test_a_configuration_of_something_else_is_not_replaced_by_a_run(world, text):
    (world / "runs" / "mine").mkdir(parents=True, exist_ok=True)
    (world / "runs" / "mine" / "config.yaml").write_text(text)
    for more in ("", " --dry-run"):
        refused(f"run run.yaml{more}", world, "mine/config.yaml is not the configuration of a run")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full, which only Linux has")
@pytest.mark.parametrize("line", ["--help", "--version", "config --reference"])
def test_what_cannot_be_printed_is_one_line(line):
    command = [sys.executable, "-c", "from reseed.cli import main; main()", *line.split()]
    with Path("/dev/full").open("w") as full:
        result = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert (result.returncode, result.stderr.count("\n")) == (1, 1), result.stderr
    assert "No space left on device" in result.stderr


@pytest.mark.parametrize("name", [name for name, (_, line) in WRITERS.items() if " store" in line])
def test_nothing_is_written_into_a_store_that_is_read(world, name):
    refused(WRITERS[name][1].replace("OUT", "store/inside"), world, "store")


def test_what_a_command_itself_has_written_is_replaced(world):
    for line in (
        "export-model model --out model.onnx",
        "export-model model --out model.pt --format torchscript",
        "all-pairs store --out neighbours.parquet",
    ):
        for _ in range(2):
            assert (result := run(line, world)).exit_code == 0, (line, result.output)
